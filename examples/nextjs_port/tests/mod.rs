//! Tests of handlers and layers together, without a socket: one for each pattern of the guide.

mod guide;
mod handlers;
mod layers;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, request},
};
use http_body_util::{BodyExt, Collected};
use palisade::PeerAddr;
use serde_json::Value;
use tower::ServiceExt;

use crate::{app::app, config::Config, token};

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The service, and tokens for it.
struct Api {
    router: Router,
    config: Config,
}

impl Api {
    fn new() -> Self {
        let config = Config::development();
        Self { router: app(&config).unwrap(), config }
    }

    fn bearer(&self, user: &str, roles: &[&str]) -> String {
        format!("Bearer {}", token(&self.config, user, roles, &["acme"]))
    }

    async fn send(&self, request: request::Builder, body: impl Into<Body>) -> Answer {
        // The address of the client, which the listener provides to the running service.
        let request = request.extension(PeerAddr(([127, 0, 0, 1], 4000).into()));
        let response =
            self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    async fn post_json(&self, path: &str, bearer: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.header("authorization", bearer), body.to_string()).await
    }
}
