use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Channel, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A client of one server, over HTTP/1.1 or HTTP/2.
#[derive(Clone, Debug)]
pub struct Client {
    client: HyperClient<HttpConnector, Body>,
    address: SocketAddr,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client that speaks `version`.
    pub fn new(address: SocketAddr, version: Version) -> Self {
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder.http2_only(version == Version::HTTP_2);
        Self { client: builder.build_http(), address }
    }

    /// One of each version.
    pub fn of_each_version(address: SocketAddr) -> [Self; 2] {
        [Version::HTTP_11, Version::HTTP_2].map(|version| Self::new(address, version))
    }

    /// Sends a request and answers the response, whose body is still to come.
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn start<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let (mut head, body) = request.into_parts();
        let target = format!("http://{}{}", self.address, head.uri);
        head.uri = target.parse().expect("a path");
        let request = Request::from_parts(head, body.boxed_unsync());
        self.client.request(request).await.expect("the server answers")
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let (head, body) = self.start(request).await.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A request without a body. Header fields are `name: value`.
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn call(&self, method: Method, path: &str, fields: &[&str]) -> Answer {
        self.send(request(method, path, fields).body(Full::default()).expect("a request")).await
    }

    /// GET.
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn get(&self, path: &str, fields: &[&str]) -> Answer {
        self.call(Method::GET, path, fields).await
    }

    /// POST of JSON.
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn post_json(&self, path: &str, body: impl Into<Bytes>, fields: &[&str]) -> Answer {
        let request =
            request(Method::POST, path, fields).header("content-type", "application/json");
        self.send(request.body(Full::new(body.into())).expect("a request")).await
    }

    /// POST of JSON that declares to have `length` bytes, of which none is sent before there is an answer. What is
    /// refused for its length would otherwise meet a connection that closes, and the answer may be lost (RFC 9112,
    /// section 9.6).
    ///
    /// # Panics
    ///
    /// If the connection fails.
    pub async fn declare_json(&self, path: &str, length: u64, fields: &[&str]) -> Answer {
        let (held_back, body) = Channel::<Bytes>::new(1);
        let request = request(Method::POST, path, fields)
            .header("content-type", "application/json")
            .header("content-length", length);
        let answer = self.send(request.body(body).expect("a request")).await;
        drop(held_back);
        answer
    }
}

fn request(method: Method, path: &str, fields: &[&str]) -> http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    fields.iter().fold(request, |request, field| {
        let (name, value) = field.split_once(": ").expect("`name: value`");
        request.header(name, value)
    })
}

impl Answer {
    /// A header field that is there once, or else nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok();
        values.next().is_none().then_some(value).flatten()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an error in the envelope. It must say it is JSON and carry the request id of the header.
    ///
    /// # Panics
    ///
    /// If the answer is no such error.
    pub fn error_code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let error = &self.json()["error"];
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert!(error["message"].is_string(), "{self:?}");
        error["code"].as_str().expect("a code").to_owned()
    }
}
