//! The ways to find the address of a client.

use http::HeaderName;

// Statics, because a request looks them up by reference: a clone of a name may allocate.
pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) static FORWARDED: HeaderName = http::header::FORWARDED;

/// The most proxies that a request is followed through.
pub(super) const MOST_HOPS: usize = 32;

/// How the client's address is found.
#[derive(Clone, Debug)]
pub(super) enum Model {
    /// Behind the proxies that are trusted by their address.
    Networks(ListHeader),
    /// This many elements from the right.
    Hops(ListHeader, usize),
    /// In a header with a single address.
    Header(HeaderName),
}

/// The header to which each proxy appends the address of its peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListHeader {
    XForwardedFor,
    Forwarded,
}
