use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower_service::Service;

use crate::Recorder;

/// Serves the requests of a [`Recorder`]. Created by [`Recorder::page`].
#[derive(Clone, Debug)]
pub struct RecorderService {
    recorder: Recorder,
}

impl Recorder {
    /// Returns a service that shows the requests: HTML, or JSON for `Accept: application/json` and for `?format=json`; one of
    /// them with `?id=` and its id.
    pub fn page(&self) -> RecorderService {
        RecorderService { recorder: self.clone() }
    }
}

impl RecorderService {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let parameter = |name: &str| {
            let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let id = parameter("id");
        let as_json = parameter("format") == Some("json")
            || accepts.is_some_and(|accepts| accepts.starts_with("application/json"));
        let (media_type, text) = if as_json {
            ("application/json", self.recorder.json_of(id).to_string())
        } else {
            ("text/html; charset=utf-8", self.recorder.html_of(id))
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let fields = [
            (header::CONTENT_TYPE, media_type),
            (header::CACHE_CONTROL, "no-store"),
            // Blocks all scripts, also if the page contains one.
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
            ),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        for (name, value) in fields {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl<B> Service<Request<B>> for RecorderService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}
