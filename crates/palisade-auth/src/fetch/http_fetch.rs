use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use palisade_core::{BoxError, BoxFuture, ConfigError};

use super::{Fetch, Fetched, MAX_DOCUMENT, cache_control, is_allowed};

const ACCEPT: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("palisade-auth/", env!("CARGO_PKG_VERSION")));

/// The HTTP client of [`Jwks`](crate::Jwks), unless it is given another: https only, HTTP/1.1, no redirects, no proxies,
/// documents of 256 KiB at most.
///
/// It trusts the certificate authorities that Mozilla does, as of the build. For an authority of your own, write a
/// [`Fetch`] over a client that trusts it.
///
/// ```
/// use palisade_auth::{HttpFetch, Jwks};
///
/// // what `Jwks` does by itself
/// let keys = Jwks::issuer("https://issuer.example").fetch(HttpFetch::new()?).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct HttpFetch {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    loopback_http: bool,
}

impl HttpFetch {
    /// A client for https.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot be set up.
    pub fn new() -> Result<Self, ConfigError> {
        // By name, and never the provider of the process: with two in the build there is none, and rustls panics.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(|error| {
                ConfigError::without_value("TLS", format!("no client can be set up: {error}"))
            })?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            // One request in minutes: by the next, an idle connection is one that the issuer has closed.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(64 * 1024)
            .build(connector);
        Ok(Self { client, loopback_http: false })
    }

    /// Takes plain http from addresses of this machine: for tests, and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        if !is_allowed(url, self.loopback_http) {
            let error = format!("{url} is not https");
            return Box::pin(async move { Err(error.into()) });
        }
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.clone();
        request.headers_mut().insert(header::ACCEPT, ACCEPT);
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        let answer = self.client.request(request);
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            // A redirect is refused with the rest: who may send us elsewhere may choose the keys.
            if head.status != StatusCode::OK {
                return Err(format!("the answer is {}, and only 200 is taken", head.status).into());
            }
            let max_age = cache_control::remaining(&head.headers);
            Ok(Fetched { body: collect(body).await?, max_age })
        })
    }
}

/// Reads a body up to the cap. One that says that it is longer is not read at all.
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
