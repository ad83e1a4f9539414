//! Rules about paths inside of axum's `Router::nest`, whose inner router sees a shorter path.

use axum::{
    Router,
    body::Body,
    routing::{any, get},
};
use http::{Method, Request, header};
use palisade::{cors::Cors, headers::Methods};
use tower::ServiceExt;

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

async fn allowed(app: &Router, path: &str, origin: &str) -> bool {
    let request = Request::get(path).header(header::ORIGIN, origin).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

#[tokio::test]
async fn on_path_matches_the_full_path_in_a_nested_router() {
    // Any page may read, except below `/v1/internal`.
    let cors = Cors::builder()
        .any_origin()
        .on_path("/v1/internal", &Cors::same_origin_only())
        .on_path("/v1/partners", &Cors::allow_origins([APP]).build().unwrap())
        .build()
        .unwrap();
    let routes = || {
        Router::new()
            .route("/internal/users", get(|| async { "users" }))
            .route("/partners", get(|| async { "partners" }))
            .route("/logo", get(|| async { "logo" }))
    };
    let inside = Router::new().nest("/v1", routes().layer(cors.layer()));
    let outside = Router::new().nest("/v1", routes()).layer(cors.layer());
    let inner = Router::new().nest(
        "/internal",
        Router::new().route("/users", get(|| async { "users" })).layer(cors.layer()),
    );
    let twice = Router::new().nest("/v1", inner);
    let service = Router::new().nest_service("/v1", routes().layer(cors.layer()));
    for app in [&inside, &outside, &twice, &service] {
        assert!(!allowed(app, "/v1/internal/users", EVIL).await);
    }
    for app in [&inside, &outside, &service] {
        assert!(allowed(app, "/v1/logo", EVIL).await);
        assert!(allowed(app, "/v1/partners", APP).await);
        assert!(!allowed(app, "/v1/partners", EVIL).await);
    }
}

#[tokio::test]
async fn methods_match_the_full_path_in_a_nested_router() {
    let methods = Methods::at("/v1/admin", [Method::GET])
        .allow([Method::GET, Method::POST, Method::DELETE])
        .build()
        .unwrap();
    let routes = Router::new().route("/admin", any(|| async {})).route("/items", any(|| async {}));
    let app = Router::new().nest("/v1", routes.layer(methods.layer()));
    for (method, path, status) in [
        (Method::GET, "/v1/admin", 200),
        (Method::DELETE, "/v1/admin", 405),
        (Method::DELETE, "/v1/items", 200),
    ] {
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
    }
}
