//! Rules about paths inside of axum's `Router::nest`, whose inner router sees a shorter path.

use axum::{Router, body::Body, routing::get};
use http::{Request, header};
use palisade::cors::Cors;
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
async fn on_path_sees_the_whole_path_inside_of_a_nested_router() {
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
