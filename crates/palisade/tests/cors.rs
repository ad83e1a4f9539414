//! CORS where it stands in a stack, and in a router's routes.

#![cfg(all(feature = "axum", feature = "auth", feature = "rate-limit", feature = "testing"))]

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Method, Request, Response, StatusCode, header};
use palisade::{
    ErrorLayer, PeerAddr,
    auth::Jwt,
    cors::Cors,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use tower::ServiceExt;

const APP: &str = "https://app.example.com";
const SHOP: &str = "https://shop.example";

fn request(method: Method, path: &str, origin: &str) -> Request<Body> {
    let is_preflight = method == Method::OPTIONS;
    let mut request = Request::builder().method(method).uri(path).header(header::ORIGIN, origin);
    if is_preflight {
        request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
    request
}

/// The status, and which origin may read the answer.
async fn answer(app: &Router, method: Method, path: &str, origin: &str) -> (u16, Option<String>) {
    let response = app.clone().oneshot(request(method, path, origin)).await.unwrap();
    let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    (response.status().as_u16(), allowed.map(|value| value.to_str().unwrap().to_owned()))
}

fn some(origin: &str) -> Option<String> {
    Some(origin.to_owned())
}

#[tokio::test]
async fn preflight_needs_no_token_and_consumes_no_quota() {
    let auth = Jwt::<serde_json::Value>::hs256("a signing key of at least thirty-two bytes");
    let auth = auth.any_audience().build().unwrap();
    let cors = Cors::allow_origins([APP]).build().unwrap();
    let limit = RateLimit::per_address(Quota::per(2, Duration::from_secs(3600))).build().unwrap();
    let app = Router::new().route("/", get(|| async { "hello" })).layer(
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .cors(&cors)
            .rate_limit(&limit)
            .auth(&auth),
    );
    for _ in 0..10 {
        assert_eq!(answer(&app, Method::OPTIONS, "/", APP).await, (204, some(APP)));
        assert_eq!(answer(&app, Method::OPTIONS, "/", SHOP).await, (403, None));
    }
    // the page can read both refusals, which no handler made
    assert_eq!(answer(&app, Method::GET, "/", APP).await, (401, some(APP)));
    assert_eq!(answer(&app, Method::GET, "/", APP).await, (401, some(APP)));
    assert_eq!(answer(&app, Method::GET, "/", APP).await, (429, some(APP)));
    assert_eq!(answer(&app, Method::GET, "/", SHOP).await, (429, None));
}

#[tokio::test]
async fn each_route_can_have_its_own_policy() {
    let public = Cors::builder().any_origin().build().unwrap();
    let ours = Cors::allow_origins([APP]).allow_credentials(true).build().unwrap();
    let app = Router::new()
        .route("/logo", get(|| async { "for every page" }).layer(public.layer()))
        .route("/orders", get(|| async { "for ours" }).layer(ours.layer()));
    for (path, origin, allowed) in [
        ("/logo", SHOP, some("*")),
        ("/logo", APP, some("*")),
        ("/orders", APP, some(APP)),
        ("/orders", SHOP, None),
    ] {
        let status = if allowed.is_some() { 204 } else { 403 };
        assert_eq!(answer(&app, Method::OPTIONS, path, origin).await, (status, allowed.clone()));
        assert_eq!(answer(&app, Method::GET, path, origin).await, (200, allowed), "{path}");
    }
    assert_eq!(answer(&app, Method::GET, "/nowhere", APP).await, (404, None));
}

#[tokio::test]
async fn every_stack_applies_a_new_configuration() {
    let cors = Cors::allow_origins([APP]).build().unwrap();
    let route = || get(|| async { "hello" });
    let one =
        Router::new().route("/", route()).layer(stack().errors(ErrorLayer::new()).cors(&cors));
    let other = Router::new().route("/", route().layer(cors.layer()));
    for app in [&one, &other] {
        assert_eq!(answer(app, Method::GET, "/", APP).await, (200, some(APP)));
        assert_eq!(answer(app, Method::GET, "/", SHOP).await, (200, None));
    }
    cors.handle().reconfigure(Cors::allow_origins([SHOP])).unwrap();
    for app in [&one, &other] {
        assert_eq!(answer(app, Method::GET, "/", APP).await, (200, None));
        assert_eq!(answer(app, Method::GET, "/", SHOP).await, (200, some(SHOP)));
        assert_eq!(answer(app, Method::OPTIONS, "/", SHOP).await, (204, some(SHOP)));
    }
}

/// The error format renders the rejection again and keeps the headers for caches.
#[tokio::test]
async fn strict_rejection_has_the_error_format_and_varies() {
    let cors = Cors::allow_origins([APP]).strict(true).build().unwrap();
    let errors = ErrorLayer::new().format(palisade::ErrorFormat::Problem);
    let app = stack().observe(RequestIds::new()).errors(errors).cors(&cors).wrap(
        tower::service_fn(|_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        }),
    );
    let response = app.oneshot(request(Method::GET, "/", SHOP)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::VARY], "Origin");
}
