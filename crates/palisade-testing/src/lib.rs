//! A test kit for services behind [Palisade](https://docs.rs/palisade).
//!
//! - [`TestClient`] sends requests to any tower service in the same process: an axum router, a stack, a tonic service. No sockets.
//! - [`TestIssuer`] issues the tokens, valid, expired or forged, and publishes its keys with or without a [server](IssuerServer).
//! - [`RouteTable`] asks each route as each kind of caller, and fails if one decides about none.
//! - [`ManualClock`] moves the time of tokens, sessions and limits.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use axum::{Json, Router, routing::post};
//! use palisade::{WithAuth, auth::{Identity, Jwt}};
//! use palisade_testing::{ManualClock, TestClient, TestIssuer, TestToken};
//! use serde_json::{Value, json};
//!
//! /// The service under test: it takes what a test must choose.
//! fn app(auth: &Jwt<Value>) -> Router {
//!     let create = |user: Identity<Value>| async move {
//!         (axum::http::StatusCode::CREATED, Json(json!({ "by": user.principal().subject() })))
//!     };
//!     Router::new().route("/items", post(create).with_role(auth, ["admin"]))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
//! let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes")
//!     .for_audience("orders")
//!     .with_clock(&clock);
//! let auth = Jwt::with_keys(issuer.keys()).audience("orders").clock(Arc::new(clock.clone())).build()?;
//! let client = TestClient::new(app(&auth)).with_issuer(&issuer);
//!
//! let admin = client.as_user("ada").role("admin");
//! admin.post("/items").json(&json!({ "name": "lamp" })).await.assert_status(201).assert_json(&json!({ "by": "ada" }));
//! client.as_user("bob").post("/items").await.assert_rejected("FORBIDDEN");
//! let expired = admin.clone().with_token(TestToken::expired);
//! expired.post("/items").await.assert_rejected("UNAUTHENTICATED");
//!
//! // one token, ten minutes later
//! let client = admin.to_client();
//! clock.advance(Duration::from_secs(660));
//! client.post("/items").await.assert_rejected("UNAUTHENTICATED");
//! # Ok::<_, palisade::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! A failed assertion prints the request, the response, the policies that decided, and the log of Palisade with the reason:
//!
//! ```text
//! POST /items as bob (sent at tests/items.rs:21): expected status 201, got 403 Forbidden
//!
//! why: FORBIDDEN: access is denied
//!
//! policies: Jwt=granted, RequireRole=refused(FORBIDDEN)
//! …
//! ```
//!
//! # With other test libraries
//!
//! A token is a string, and a request is an `http::Request`, so nothing has to be sent by [`TestClient`]:
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use palisade_testing::TestIssuer;
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let app: Router = Router::new().route("/", get(|| async {}));
//! let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes");
//! // tower
//! let request = Request::get("/").header("authorization", issuer.token("ada").role("admin").bearer()).body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), 200);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! ```ignore
//! // axum-test
//! let server = axum_test::TestServer::new(app);
//! server.get("/").authorization_bearer(issuer.token("ada").role("admin").build()).await.assert_status_ok();
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `rust-crypto` (default) | tokens with EdDSA and ES256, signed by the RustCrypto crates |
//! | `aws-lc` | every algorithm, signed by AWS-LC, which needs a C compiler |
//! | `axum` | [`TestClient`] sets axum's `ConnectInfo` |
//!
//! Without a backend, [`TestIssuer::hs256`] remains.
#![cfg_attr(docsrs, feature(doc_cfg))]

/// The page of the guide. Its examples are tests.
#[cfg(any(not(doctest), all(feature = "axum", any(feature = "aws-lc", feature = "rust-crypto"))))]
#[doc = include_str!("../docs/testing.md")]
pub mod guide {}

mod client;
mod cookies;
mod http1;
mod issuer;
mod report;
mod request;
mod response;
mod routes;
mod server;
mod service;
mod token;
mod user;

pub use client::TestClient;
pub use issuer::TestIssuer;
#[doc(inline)]
pub use palisade_core::ManualClock;
pub use request::TestRequest;
pub use response::TestResponse;
pub use routes::{RouteReport, RouteTable};
pub use server::IssuerServer;
pub use token::TestToken;
pub use user::TestUser;
