use http::{HeaderMap, HeaderName, request, uri::Scheme};
use palisade_core::TrustedProxies;

/// How it is known that a client speaks https.
#[derive(Clone, Debug)]
pub(super) enum Https {
    /// The request's URI says so, or nothing does.
    AsTheUriSays,
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
            Self::AsTheUriSays => uri_says(),
            // The URI's scheme is that of the last hop.
            Self::AsTheProxiesSay(proxies) if proxies.trust_peer_of(&request.extensions) => {
                forwarded_by_https(&request.headers).unwrap_or_else(uri_says)
            }
            Self::AsTheProxiesSay(_) => uri_says(),
        }
    }
}

/// Whether all hops that are told used https. `None` where none is told.
fn forwarded_by_https(headers: &HeaderMap) -> Option<bool> {
    let lines = headers.get_all(X_FORWARDED_PROTO).iter();
    let mut hops = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).peekable();
    hops.peek()?;
    Some(hops.all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https")))
}
