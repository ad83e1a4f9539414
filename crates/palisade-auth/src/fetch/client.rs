use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use palisade_core::{BoxError, BoxFuture};

/// The longest answer that is accepted from an issuer. Real key sets have a few KiB.
#[cfg(feature = "jwks")]
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// The HTTP client of [`Jwks`](crate::Jwks) and of introspection.
/// [`HttpFetch`](crate::HttpFetch) is one (feature `jwks-http`); implement this trait for a client of your own.
///
/// A client must not follow redirects, because keys and tokens are trusted for the address they come from. It must
/// return an error for every status but 200, best an [`UnexpectedStatus`], and stop reading after 256 KiB, because a longer answer is rejected in any
/// case. It needs no timeout: if it takes too long, its future is dropped.
///
/// ```
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
    /// Gets the document at this address.
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>>;

    /// Sends this request, a `POST` of a form. Introspection needs it; the default returns an error.
    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        let error =
            format!("the client for {} cannot POST: implement `Fetch::post`", request.uri());
        Box::pin(async move { Err(error.into()) })
    }
}

/// Shares a client.
impl<F: Fetch + ?Sized> Fetch for Arc<F> {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        F::fetch(self, url)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        F::post(self, request)
    }
}

/// The body of an answer with status 200.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The document.
    pub body: Bytes,
    /// How long the document may be stored, if the response contains `max-age` (RFC 9111, section 5.2.2.1).
    pub max_age: Option<Duration>,
}

impl Fetched {
    /// Creates a document without a `max-age`.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), max_age: None }
    }

    /// Sets how long the document may be kept.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

/// The error of a [`Fetch`] whose answer has another status than 200.
///
/// Return it from your own client, so that introspection can distinguish a rejected question from an issuer that is out of
/// order.
///
/// ```
/// use http::StatusCode;
/// use palisade_auth::UnexpectedStatus;
///
/// let error = UnexpectedStatus::new(StatusCode::BAD_GATEWAY);
/// assert_eq!(error.to_string(), "the answer is 502 Bad Gateway; only 200 is accepted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedStatus(StatusCode);

impl UnexpectedStatus {
    /// Creates the error for an answer with this status.
    pub fn new(status: StatusCode) -> Self {
        Self(status)
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0
    }
}

impl fmt::Display for UnexpectedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer is {}; only 200 is accepted", self.0)
    }
}

impl Error for UnexpectedStatus {}
