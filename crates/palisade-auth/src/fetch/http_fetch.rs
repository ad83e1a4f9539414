use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use palisade_core::{BoxError, BoxFuture, ConfigError};

use super::{
    Fetch, Fetched, MAX_DOCUMENT, UnexpectedStatus, cache_control, connector::Connector,
    http_builder::HttpFetchBuilder, is_allowed,
};

const ACCEPT: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("palisade-auth/", env!("CARGO_PKG_VERSION")));

/// An HTTP client for issuers: https only, HTTP/1.1, without redirects, answers of at most 256 KiB.
///
/// It trusts Mozilla's certificate authorities, as of the build. [`builder`](Self::builder) adds authorities of your own
/// or uses the platform's, and sets a proxy and request headers.
///
/// ```
/// use palisade_auth::{HttpFetch, Jwks};
///
/// // the default client of `Jwks`
/// let keys = Jwks::issuer("https://issuer.example").fetch(HttpFetch::new()?).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct HttpFetch {
    pub(super) client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    pub(super) headers: HeaderMap,
    pub(super) loopback_http: bool,
}

impl HttpFetch {
    /// Creates a client with the default settings.
    ///
    /// # Errors
    ///
    /// Returns an error if the TLS library cannot be set up.
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Returns a builder for a client with other certificates, a proxy or request headers.
    pub fn builder() -> HttpFetchBuilder {
        HttpFetchBuilder::new()
    }

    /// Accepts plain http from loopback addresses, for tests and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    fn send(&self, mut request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        if !is_allowed(request.uri(), self.loopback_http) {
            let error = format!("{} is not https", request.uri());
            return Box::pin(async move { Err(error.into()) });
        }
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        headers.entry(header::ACCEPT).or_insert(ACCEPT);
        headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        let answer = self.client.request(request.map(Full::new));
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            // Redirects are rejected too: the address determines whose keys are trusted.
            if head.status != StatusCode::OK {
                return Err(UnexpectedStatus::new(head.status).into());
            }
            let max_age = cache_control::remaining(&head.headers);
            Ok(Fetched { body: collect(body).await?, max_age })
        })
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        self.send(request)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        self.send(request)
    }
}

/// Reads a body up to the cap. A body whose declared length is over the cap is not read at all.
async fn collect<B>(mut body: B) -> Result<Bytes, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let too_long = || format!("the document has more than {MAX_DOCUMENT} bytes");
    if body.size_hint().lower() > MAX_DOCUMENT as u64 {
        return Err(too_long().into());
    }
    let mut document = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
        if document.len() + data.len() > MAX_DOCUMENT {
            return Err(too_long().into());
        }
        document.extend_from_slice(&data);
    }
    Ok(document.freeze())
}

impl fmt::Debug for HttpFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetch")
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}
