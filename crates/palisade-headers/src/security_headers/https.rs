use http::{HeaderMap, HeaderName, request, uri::Scheme};
use palisade_core::TrustedProxies;

/// How the policy finds out that a client uses https.
#[derive(Clone, Debug)]
pub(super) enum Https {
    /// By the scheme of the request's URI.
    ByUri,
    /// There is no other way in.
    Always,
    /// These proxies say so.
    AsTheProxiesSay(TrustedProxies),
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Https {
    #[inline]
    pub(super) fn is_of(&self, request: &request::Parts) -> bool {
        let uri_says = || request.uri.scheme() == Some(&Scheme::HTTPS);
        match self {
            Self::Always => true,
            Self::ByUri => uri_says(),
            // The URI's scheme is that of the last hop.
            Self::AsTheProxiesSay(proxies) if proxies.trust_peer_of(&request.extensions) => {
                forwarded_by_https(&request.headers).unwrap_or_else(uri_says)
            }
            Self::AsTheProxiesSay(_) => uri_says(),
        }
    }
}

/// Returns true if all hops in the header used https. `None` without a header.
fn forwarded_by_https(headers: &HeaderMap) -> Option<bool> {
    let lines = headers.get_all(X_FORWARDED_PROTO).iter();
    let mut hops = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).peekable();
    hops.peek()?;
    Some(hops.all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https")))
}
