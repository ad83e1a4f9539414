//! The most common mistakes that the compiler cannot see: each is an error of the start, or of the first request, and names
//! the remedy. Those that the compiler sees are in `order/` of the tests of the workspace.
#![cfg(all(feature = "auth", feature = "axum", feature = "cors", feature = "rate-limit"))]

use std::time::Duration;

use axum::{Router, routing::get};
use http::{Request, StatusCode};
use palisade::{
    ConfigError, TrustedProxies,
    auth::{Algorithm, Identity, Jwt, Keys},
    cors::Cors,
    rate_limit::{Quota, RateLimit},
    testing::Log,
};
use tower::ServiceExt;

const SECRET: &str = "a signing key of at least thirty-two bytes";

#[track_caller]
fn names<T>(result: Result<T, ConfigError>, setting: &str, remedy: &str) {
    let error = result.err().expect("a setting that cannot be right").to_string();
    assert!(
        error.starts_with(setting) && error.contains(remedy),
        "`{setting}`, `{remedy}`: {error}"
    );
}

#[test]
fn settings_that_cannot_be_right_name_the_remedy() {
    let short = Jwt::<()>::hs256("secret").audience("orders").build();
    names(short, "secret", "openssl rand -base64 32");
    names(Jwt::<()>::hs256(SECRET).build(), "audience", "audience(");
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let private = Jwt::<()>::with_keys(Keys::pem(Algorithm::Es256, private)).audience("orders");
    names(private.build(), "pem", "openssl pkey -pubout");
    let credentials = Cors::builder().any_origin().allow_credentials(true).build();
    names(credentials, "", "allow_credentials");
    names(
        Cors::allow_origins(["https://app.example.com/"]).build(),
        "allow_origin",
        "trailing slash",
    );
    let internet = TrustedProxies::networks(["0.0.0.0/0"]).build();
    names(internet, "networks", "list the networks of your proxies");
}

async fn send(app: Router) -> (StatusCode, String) {
    let log = Log::of_this_thread(tracing::Level::INFO);
    let request = Request::get("/").body(axum::body::Body::empty()).unwrap();
    let status = app.oneshot(request).await.unwrap().status();
    (status, log.text())
}

#[tokio::test]
async fn routes_that_cannot_work_name_the_missing_call_in_the_log() {
    // no `with_auth` on the route
    let profile = |user: Identity<()>| async move { user.principal().subject().to_owned() };
    let (status, log) = send(Router::new().route("/", get(profile))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log.contains(".with_auth(&auth)"), "{log}");

    // no `into_make_service_with_connect_info`
    let limit = RateLimit::per_address(Quota::per(1, Duration::from_secs(1))).build().unwrap();
    let app = Router::new().route("/", get(|| async {})).layer(limit.layer());
    let (status, log) = send(app).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log.contains("into_make_service_with_connect_info"), "{log}");
}
