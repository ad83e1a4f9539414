use std::{
    fmt,
    future::{IntoFuture, poll_fn},
    net::{IpAddr, SocketAddr},
    panic::Location,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use palisade_auth::testing::DecisionProbe;
use palisade_core::{BoxFuture, PeerAddr, SystemClock, Trail, testing::Log};
use serde::Serialize;
use tracing::{Dispatch, Level, dispatcher, subscriber::NoSubscriber};

use crate::{TestClient, TestResponse, client::parse_header, report::Sent, service::Answer};

/// Writes a method for each HTTP method.
macro_rules! methods {
    () => {
        crate::request::methods! {
            /// Begins a GET request.
            get = GET;
            /// Begins a HEAD request.
            head = HEAD;
            /// Begins a POST request.
            post = POST;
            /// Begins a PUT request.
            put = PUT;
            /// Begins a PATCH request.
            patch = PATCH;
            /// Begins a DELETE request.
            delete = DELETE;
            /// Begins an OPTIONS request.
            options = OPTIONS;
        }
    };
    ($(#[doc = $doc:literal] $name:ident = $method:ident;)*) => {
        $(
            #[doc = $doc]
            ///
            /// # Panics
            ///
            /// If the path is not a valid URI.
            #[track_caller]
            pub fn $name(&self, path: &str) -> crate::TestRequest {
                self.request(http::Method::$method, path)
            }
        )*
    };
}
pub(crate) use methods;

/// A request that is about to be sent: `.await` sends it. Made by [`TestClient`].
///
/// ```
/// use palisade_testing::TestClient;
/// # use {bytes::Bytes, http::{Request, Response}, http_body_util::Full};
/// # let service = tower::service_fn(|request: Request<Full<Bytes>>| async move {
/// #     let shown = format!("{} {}", request.uri(), request.headers()["cookie"].to_str().unwrap());
/// #     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(shown))))
/// # });
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let client = TestClient::new(service);
/// let response = client
///     .get("/items")
///     .query([("page", "2"), ("sort", "name asc")])
///     .header("accept-language", "de")
///     .cookie("theme", "dark")
///     .await;
/// response.assert_text("/items?page=2&sort=name+asc theme=dark");
/// # });
/// ```
#[must_use = "a request is sent by `.await`"]
pub struct TestRequest {
    client: TestClient,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    cookies: Vec<String>,
    body: Bytes,
    peer: SocketAddr,
    location: &'static Location<'static>,
    is_logged: bool,
}

impl TestClient {
    /// Begins a request.
    ///
    /// # Panics
    ///
    /// If the path is not a valid URI.
    #[track_caller]
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        TestRequest::new(self.clone(), method, path)
    }

    methods!();
}

impl TestRequest {
    #[track_caller]
    pub(crate) fn new(client: TestClient, method: Method, path: &str) -> Self {
        let uri =
            Uri::try_from(path).unwrap_or_else(|error| panic!("`{path}` is not a URI: {error}"));
        Self {
            method,
            uri,
            headers: client.headers.clone(),
            cookies: client
                .cookies
                .as_ref()
                .map(crate::cookies::Cookies::pairs)
                .unwrap_or_default(),
            body: Bytes::new(),
            peer: client.peer,
            location: Location::caller(),
            is_logged: true,
            client,
        }
    }

    /// Sets a header, in place of one of the same name.
    ///
    /// # Panics
    ///
    /// If the name or the value is not valid.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = parse_header(name, value);
        self.headers.insert(name, value);
        self
    }

    /// Adds a line of a header, beside others of the same name.
    ///
    /// # Panics
    ///
    /// If the name or the value is not valid.
    #[track_caller]
    pub fn append_header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = parse_header(name, value);
        self.headers.append(name, value);
        self
    }

    /// Adds a cookie.
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.push(format!("{name}={value}"));
        self
    }

    /// Adds parameters to the query, which are encoded.
    ///
    /// # Panics
    ///
    /// Never: an encoded query is valid.
    pub fn query<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = form_urlencoded::Serializer::new(
            self.uri.query().map(str::to_owned).unwrap_or_default(),
        );
        let query = query.extend_pairs(pairs).finish();
        let uri = format!("{}?{query}", self.uri.path());
        self.uri = Uri::try_from(uri).expect("an encoded query is valid");
        self
    }

    /// Sets the body to a value as JSON.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON.
    #[track_caller]
    pub fn json(self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.content("application/json", json),
            Err(error) => panic!("the value cannot be written as JSON: {error}"),
        }
    }

    /// Sets the body to the fields of a form.
    pub fn form<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.content("application/x-www-form-urlencoded", form)
    }

    /// Sets the body to a text.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content("text/plain; charset=utf-8", text.into())
    }

    /// Sets the body to bytes, without a content type.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Sets the body to one gRPC message, and the headers of a gRPC request.
    pub fn grpc_message(mut self, message: impl AsRef<[u8]>) -> Self {
        let message = message.as_ref();
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(message);
        self.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        self.content("application/grpc", frame)
    }

    /// Sends the request without a subscriber: an `Observe` then records nothing, and the trail of the request has each policy.
    pub(crate) fn without_log(mut self) -> Self {
        self.is_logged = false;
        self
    }

    fn content(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Sends this request from another address of a socket.
    pub fn from_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.peer.set_ip(address.into());
        self
    }

    /// Returns the request, for a service that is called in another way, such as with `tower::ServiceExt::oneshot`.
    ///
    /// ```
    /// # use {bytes::Bytes, http::{Request, Response}, http_body_util::Full};
    /// # use palisade_testing::TestClient;
    /// use tower::ServiceExt;
    /// # let service = tower::service_fn(|_: Request<Full<Bytes>>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
    /// # });
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let request = TestClient::new(service).post("/items").text("lamp").into_request();
    /// assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If a cookie is not a valid header value.
    #[track_caller]
    pub fn into_request(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        if !self.cookies.is_empty() {
            let (name, value) = parse_header("cookie", &self.cookies.join("; "));
            request.headers_mut().append(name, value);
        }
        // A client says the length of a body that it has, and of an empty one if the method usually has a body.
        let expects_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let is_known = request.headers().contains_key(header::CONTENT_LENGTH);
        if !is_known && (expects_body || !self.body.is_empty()) {
            request.headers_mut().insert(header::CONTENT_LENGTH, self.body.len().into());
        }
        request.extensions_mut().insert(PeerAddr(self.peer));
        #[cfg(feature = "axum")]
        request.extensions_mut().insert(axum::extract::ConnectInfo(self.peer));
        request
    }
}

/// Sends the request.
impl IntoFuture for TestRequest {
    type Output = TestResponse;
    type IntoFuture = BoxFuture<TestResponse>;

    #[track_caller]
    fn into_future(self) -> BoxFuture<TestResponse> {
        let client = self.client.clone();
        let (location, body, is_logged) = (self.location, self.body.clone(), self.is_logged);
        let mut request = self.into_request();
        let trail = Trail::new(SystemClock::shared());
        request.extensions_mut().insert(trail.clone());
        let probe = DecisionProbe::attach(request.extensions_mut());
        let sent = Sent::new(&request, body, client.caller.clone(), location);
        Box::pin(async move {
            let (answer, log) = match is_logged {
                true => send(&client, request).await,
                false => (send_unlogged(&client, request).await, String::new()),
            };
            let response = match answer {
                Ok(response) => response,
                Err(error) => panic!("{}", sent.failure(&*error, &log)),
            };
            if let Some(cookies) = &client.cookies {
                cookies.update(response.headers());
            }
            TestResponse::new(response, sent.with_outcome(trail.steps(), log), probe.is_decided())
        })
    }
}

/// Sends a request, and returns what Palisade logs meanwhile: the reason of a rejection. A subscriber of the test keeps its events.
async fn send(client: &TestClient, request: Request<Full<Bytes>>) -> (Answer, String) {
    let has_subscriber = dispatcher::get_default(|dispatch| !dispatch.is::<NoSubscriber>());
    let answer = client.send(request);
    if has_subscriber {
        (answer.await, "(see the subscriber of the test)\n".to_owned())
    } else {
        Log::during_future(Level::DEBUG, answer).await
    }
}

/// Sends a request, and lets no subscriber see it.
async fn send_unlogged(client: &TestClient, request: Request<Full<Bytes>>) -> Answer {
    let (none, mut answer) = (Dispatch::none(), client.send(request));
    poll_fn(|cx| dispatcher::with_default(&none, || answer.as_mut().poll(cx))).await
}

impl fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}
