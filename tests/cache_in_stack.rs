//! A cache in a stack, with routes of axum inside.

use std::time::Duration;

use axum::{Router, body::Body, response::Response, routing::get};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use palisade::{
    ErrorLayer, WithAuth,
    cache::Cache,
    headers::{ContentSecurityPolicy, CspNonce, SecurityHeaders},
    stack,
};
use tower::ServiceExt;

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn get_page(app: &Router, path: &str) -> Response {
    app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

fn status(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().unwrap()
}

#[tokio::test]
async fn hits_of_public_routes_pass_deny_undecided() {
    let cache = Cache::revalidate(Duration::from_secs(60)).build().unwrap();
    let app = Router::new()
        .route("/open", get(async || "open").with_public())
        .route("/forgotten", get(async || "forgotten"))
        .layer(stack().errors(ErrorLayer::new()).deny_undecided().cache(&cache));
    for expected in ["Palisade; fwd=miss; stored", "Palisade; hit", "Palisade; hit"] {
        let response = get_page(&app, "/open").await;
        assert_eq!((response.status(), status(&response)), (StatusCode::OK, expected));
    }
    for _ in 0..2 {
        assert_eq!(get_page(&app, "/forgotten").await.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn page_with_a_nonce_is_not_stored_and_others_are() {
    async fn page(nonce: CspNonce) -> String {
        format!("<script nonce=\"{nonce}\">start()</script>")
    }
    let policy =
        ContentSecurityPolicy::default_src(["'self'"]).script_src([ContentSecurityPolicy::NONCE]);
    let security = SecurityHeaders::pages().content_security_policy(policy).build().unwrap();
    let cache = Cache::revalidate(Duration::from_secs(60)).build().unwrap();
    let app = Router::new()
        .route("/page", get(page))
        .route("/data", get(async || "data"))
        .layer(stack().errors(ErrorLayer::new()).security_headers(&security).cache(&cache));
    for _ in 0..3 {
        let response = get_page(&app, "/page").await;
        assert_eq!(status(&response), "Palisade; fwd=miss; detail=nonce");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let page = text(response).await;
        let nonce = page.split('"').nth(1).unwrap();
        assert!(policy.contains(&format!("'nonce-{nonce}'")), "{policy} {page}");
    }
    for expected in ["Palisade; fwd=miss; stored", "Palisade; hit"] {
        let response = get_page(&app, "/data").await;
        assert_eq!(status(&response), expected);
        assert!(response.headers().contains_key("content-security-policy"));
    }
}
