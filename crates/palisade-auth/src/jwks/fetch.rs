use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use palisade_core::{BoxError, BoxFuture};

/// The longest document that is taken from an issuer. Real key sets have a few KiB.
pub(super) const MAX_DOCUMENT: usize = 256 * 1024;

/// The HTTP client of [`Jwks`](crate::Jwks): one `GET`. [`HttpFetch`](crate::HttpFetch) is one (feature `jwks-http`);
/// write this for a client of your own, with its proxies and certificates.
///
/// What it must do: follow no redirects, since the issuer's address is what keys are trusted for; give an error for every
/// status but 200; and stop reading after 256 KiB, because a longer document is refused anyway. It need not watch the
/// time: when it takes too long, its future is dropped.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http::Uri;
/// use palisade_auth::{Fetch, Fetched, Jwks};
/// use palisade_core::{BoxError, BoxFuture};
///
/// /// Keys that a sidecar keeps in a file.
/// struct FromFile;
///
/// impl Fetch for FromFile {
///     fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
///         let file = format!("/run/keys{}", url.path());
///         Box::pin(async move { Ok(Fetched::new(std::fs::read(file)?)) })
///     }
/// }
///
/// let keys = Jwks::url("https://issuer.example/jwks.json").fetch(FromFile).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub trait Fetch: Send + Sync + 'static {
    /// Gets what is at this address.
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>>;
}

/// A client that somebody else holds as well.
impl<F: Fetch + ?Sized> Fetch for Arc<F> {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        F::fetch(self, url)
    }
}

/// A document that was fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// What it says.
    pub body: Bytes,
    /// How long it may be kept, if the answer says so (`max-age`: RFC 9111, section 5.2.2.1).
    pub max_age: Option<Duration>,
}

impl Fetched {
    /// A document that does not say how long it may be kept.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), max_age: None }
    }

    /// Says how long it may be kept.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}
