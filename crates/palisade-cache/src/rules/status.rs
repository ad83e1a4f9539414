use http::{HeaderMap, HeaderName, HeaderValue};

use super::storing::NotStored;

/// What the cache did with a request ([RFC 9211, section 2](https://www.rfc-editor.org/rfc/rfc9211#section-2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheStatus {
    /// A stored response was fresh.
    Hit,
    /// A stored response was stale, and is being renewed.
    StaleHit,
    /// A stored response was stale, and the service failed.
    StaleOnError,
    /// The response of another request was used.
    Collapsed,
    /// The service confirmed the stored response.
    Validated,
    /// The service replaced the stored response.
    Renewed,
    /// There was no response for this URI. It is stored now.
    Stored,
    /// There was no response for this URI, and its response is not stored.
    NotStored(NotStored),
    /// The response is stored if it ends before it is too long.
    Streamed,
    /// The request is one that the cache does not answer.
    Bypass,
    /// The method is one that the cache does not answer.
    Method,
    /// The client accepts stored responses only, and the cache has no usable one.
    OnlyIfCached,
}

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

impl CacheStatus {
    pub(crate) fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Hit => "Palisade; hit",
            Self::StaleHit => "Palisade; hit; detail=stale-while-revalidate",
            Self::StaleOnError => "Palisade; fwd=stale; detail=stale-if-error",
            Self::Collapsed => "Palisade; fwd=miss; collapsed",
            Self::Validated => "Palisade; fwd=stale; fwd-status=304",
            Self::Renewed => "Palisade; fwd=stale; stored",
            Self::Stored => "Palisade; fwd=miss; stored",
            Self::Streamed => "Palisade; fwd=miss; detail=streamed",
            Self::Bypass => "Palisade; fwd=bypass",
            Self::Method => "Palisade; fwd=method",
            Self::OnlyIfCached => "Palisade; detail=only-if-cached",
            Self::NotStored(reason) => match reason {
                NotStored::Authenticated => "Palisade; fwd=miss; detail=authenticated",
                NotStored::ByStore => "Palisade; fwd=miss; detail=store",
                NotStored::Cookie => "Palisade; fwd=miss; detail=cookie",
                NotStored::Incomplete => "Palisade; fwd=miss; detail=incomplete",
                NotStored::MadeByPolicy => "Palisade; fwd=miss; detail=made-by-policy",
                NotStored::NoLifetime => "Palisade; fwd=miss; detail=no-lifetime",
                NotStored::NoStore => "Palisade; fwd=miss; detail=no-store",
                NotStored::Nonce => "Palisade; fwd=miss; detail=nonce",
                NotStored::Private => "Palisade; fwd=miss; detail=private",
                NotStored::SetCookie => "Palisade; fwd=miss; detail=set-cookie",
                NotStored::Stale => "Palisade; fwd=miss; detail=stale",
                NotStored::Status => "Palisade; fwd=miss; detail=status",
                NotStored::TooLong => "Palisade; fwd=miss; detail=too-long",
                NotStored::Vary => "Palisade; fwd=miss; detail=vary",
            },
        })
    }

    /// Adds this cache after those that the response has passed before.
    pub(crate) fn append(self, headers: &mut HeaderMap) {
        // A map that is full stays unchanged.
        let _ = headers.try_append(CACHE_STATUS, self.value());
    }
}
