use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use palisade_core::{BoxError, BoxFuture};
use tower_service::Service;

use crate::{
    TestIssuer,
    cookies::Cookies,
    http1::OverHttp1,
    service::{Answer, AnyService, Erased},
};

/// Sends requests to a service in the same process, without sockets.
///
/// The service is any tower service of HTTP requests whose body is generic: an axum `Router`, a stack around a service, a tonic
/// service; [`for_hyper`](Self::for_hyper) is for services that read hyper's own body. It is cloned for each request, as servers do. Requests come from 192.0.2.1 unless [`from_address`](Self::from_address)
/// says another address, and have `Host: localhost`.
///
/// ```
/// use axum::{Router, routing::post};
/// use palisade::{WithAuth, auth::Jwt};
/// use palisade_testing::{TestClient, TestIssuer};
/// use serde_json::{Value, json};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes").for_audience("orders");
/// // the service under test
/// let auth = Jwt::<Value>::with_keys(issuer.keys()).audience("orders").build()?;
/// let create = || async { axum::http::StatusCode::CREATED };
/// let app: Router = Router::new().route("/items", post(create).with_role(&auth, ["admin"]));
///
/// let client = TestClient::new(app).with_issuer(&issuer);
/// let item = json!({ "name": "lamp" });
/// client.as_user("ada").role("admin").post("/items").json(&item).await.assert_status(201);
/// client.as_user("bob").post("/items").json(&item).await.assert_rejected("FORBIDDEN");
/// client.post("/items").json(&item).await.assert_rejected("UNAUTHENTICATED");
/// # Ok::<_, palisade::ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct TestClient {
    service: Arc<dyn AnyService>,
    pub(crate) issuer: Option<TestIssuer>,
    pub(crate) peer: SocketAddr,
    pub(crate) headers: HeaderMap,
    pub(crate) cookies: Option<Cookies>,
    /// The caller in words, for the message of a failed assertion.
    pub(crate) caller: Option<String>,
}

impl TestClient {
    /// Creates a client of this service.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::erased(Arc::new(Erased(Mutex::new(service))))
    }

    /// Creates a client of a service that reads hyper's own body (`Request<Incoming>`). Each request travels over HTTP/1.1 through
    /// memory, and needs a tokio runtime.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use hyper::body::{Bytes, Incoming};
    /// use palisade_testing::TestClient;
    ///
    /// async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    ///     let body = request.into_body().collect().await?.to_bytes();
    ///     Ok(Response::new(Full::new(body)))
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let client = TestClient::for_hyper(tower::service_fn(echo));
    /// client.post("/").text("hello").await.assert_text("hello");
    /// # });
    /// ```
    pub fn for_hyper<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::erased(Arc::new(OverHttp1(Mutex::new(service))))
    }

    fn erased(service: Arc<dyn AnyService>) -> Self {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        Self {
            service,
            issuer: None,
            peer: ([192, 0, 2, 1], 49152).into(),
            headers,
            cookies: None,
            caller: None,
        }
    }

    /// Signs the tokens of [`as_user`](Self::as_user) with this issuer, which the service trusts.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &TestIssuer) -> Self {
        self.issuer = Some(issuer.clone());
        self
    }

    /// Sends requests from this address of a socket, for limits by address.
    #[must_use]
    pub fn from_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.peer.set_ip(address.into());
        self
    }

    /// Adds a header to each request, in place of one of the same name.
    ///
    /// # Panics
    ///
    /// If the name or the value is not valid.
    #[must_use]
    #[track_caller]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = parse_header(name, value);
        self.headers.insert(name, value);
        self
    }

    /// Stores the cookies that responses set, and sends them with later requests, as a browser does. Their path, domain and
    /// attributes are not regarded, except that `Max-Age=0` and an empty value remove one.
    #[must_use]
    pub fn keeping_cookies(mut self) -> Self {
        self.cookies = Some(Cookies::default());
        self
    }

    /// Sends requests with a token, key or session of your own: `Authorization: Bearer`.
    #[must_use]
    #[track_caller]
    pub fn with_bearer(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> BoxFuture<Answer> {
        self.service.send(request)
    }
}

#[track_caller]
pub(crate) fn parse_header(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    let name =
        HeaderName::try_from(name).unwrap_or_else(|_| panic!("`{name}` is not a header name"));
    let value = HeaderValue::try_from(value)
        .unwrap_or_else(|_| panic!("`{}` is not a value of {name}", value.escape_debug()));
    (name, value)
}

impl From<&Self> for TestClient {
    fn from(client: &Self) -> Self {
        client.clone()
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("issuer", &self.issuer)
            .field("peer", &self.peer)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
