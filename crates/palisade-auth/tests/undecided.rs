//! Routes that do not say who may come in, on an axum router.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    handler::Handler,
    routing::get,
};
use http::{Request, StatusCode};
use palisade_auth::{
    Authenticate, Decided, DenyUndecided, Jwt, RequireRole, public, require_decision,
    rules::{Rule, role},
    testing::sign_hs256,
};
use palisade_core::{
    ApiError, Decision, Policy, PolicyLayer, Principal, any_of, shadow,
    testing::{Contract, Deferred, Log, Script},
    when,
};
use serde_json::json;
use tower::ServiceExt;
use tracing::Level;

const SECRET: &str = "a signing key of at least thirty-two bytes";

#[derive(serde::Deserialize)]
struct Claims {}

fn auth() -> Jwt<Claims> {
    Jwt::hs256(SECRET).any_audience().build().unwrap()
}

fn token() -> String {
    let claims = json!({"sub": "ada", "exp": u32::MAX, "roles": ["editor"]});
    format!("Bearer {}", sign_hs256(SECRET, &claims))
}

async fn answer(app: &Router, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn status(app: &Router, path: &str, token: Option<&str>) -> u16 {
    answer(app, path, token).await.0
}

/// Leaves a principal, as an authentication of one's own would.
struct Known;

impl Policy for Known {
    type Grant = ();
    fn decide(&self, _: &http::request::Parts) -> Decision<()> {
        Decision::grant(())
    }
    fn admit(&self, (): &mut (), request: &mut http::request::Parts) {
        request.extensions.insert(Principal::new("ada").with_roles(["editor"]));
    }
}

fn layer<P: palisade_core::Stage>(policy: P) -> PolicyLayer<P> {
    PolicyLayer::new(policy)
}

#[tokio::test]
async fn only_undecided_responses_are_withheld() {
    let hello = || get(|| async { "hello" });
    let app = Router::new()
        .route("/public", hello().layer(public().layer()))
        .route("/handler", get((|| async { "hello" }).layer(public().layer())))
        .route("/auth", hello().layer(layer(auth().then(Decided))))
        .route("/role", hello().layer(layer(auth().then(RequireRole::any(["editor"])))))
        .route(
            "/later",
            hello().layer(layer(Known.then(Deferred::new(RequireRole::any(["editor"]), 3)))),
        )
        .route("/rule", hello().layer(layer(Known.then(role("editor").authorize()))))
        .route("/forbidden", hello().layer(layer(Known.then(role("admin").authorize()))))
        .route("/either", hello().layer(layer(Known.then(any_of(role("x").authorize(), public())))))
        .route("/forgotten", hello())
        .route("/error", get(|| async { ApiError::conflict() }))
        .route("/bare", hello().layer(auth().layer()))
        .route("/optional", hello().layer(layer(auth().optional())))
        .route("/shadow", hello().layer(layer(shadow(public()))))
        .route("/unasked", hello().layer(layer(when(|_| false, public()))))
        .layer(DenyUndecided::new());
    let token = token();
    #[rustfmt::skip]
    let table = [
        ("/public", 200, 200), ("/handler", 200, 200), ("/auth", 401, 200), ("/role", 401, 200), ("/later", 200, 200),
        ("/rule", 200, 200), ("/forbidden", 403, 403), ("/either", 200, 200), ("/forgotten", 403, 403),
        ("/error", 403, 403), ("/bare", 401, 403), ("/optional", 403, 403), ("/shadow", 403, 403),
        ("/unasked", 403, 403), ("/nowhere", 403, 403),
    ];
    for (path, anonymous, known) in table {
        assert_eq!(status(&app, path, None).await, anonymous, "{path}");
        assert_eq!(status(&app, path, Some(&token)).await, known, "{path}");
    }
    let (_, body) = answer(&app, "/forgotten", None).await;
    assert!(body.contains("\"FORBIDDEN\"") && !body.contains("hello"), "{body}");
}

#[tokio::test]
async fn decision_counts_outside_inside_and_in_nested_layers() {
    let inside = Router::new()
        .route("/a", get(|| async { "a" }))
        .layer(public().layer())
        .layer(DenyUndecided::new())
        .layer(DenyUndecided::new());
    assert_eq!(status(&inside, "/a", None).await, 200);
    let outside = Router::new()
        .route("/a", get(|| async { "a" }))
        .layer(DenyUndecided::new())
        .layer(public().layer());
    assert_eq!(status(&outside, "/a", None).await, 200);
    let nested = Router::new()
        .nest("/api", Router::new().route("/a", get(|| async { "a" })))
        .route("/b", get(|| async { "b" }).layer(public().layer()))
        .layer(DenyUndecided::new());
    assert_eq!(status(&nested, "/api/a", None).await, 403);
    assert_eq!(status(&nested, "/b", None).await, 200);
}

#[tokio::test]
async fn require_decision_rejects_before_the_handler_runs() {
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        move || async move {
            runs.fetch_add(1, Ordering::SeqCst);
            "ran"
        }
    };
    let gate = require_decision().layer();
    let app = Router::new()
        .route("/forgotten", get(handler.clone().layer(gate.clone())))
        .route("/decided", get(handler.clone().layer(gate.clone())).layer(public().layer()))
        .route("/after", get(handler).layer(DenyUndecided::new()));
    assert_eq!(status(&app, "/forgotten", None).await, 403);
    assert_eq!(runs.load(Ordering::SeqCst), 0, "it was refused before it ran");
    assert_eq!(status(&app, "/decided", None).await, 200);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(status(&app, "/after", None).await, StatusCode::FORBIDDEN.as_u16());
    assert_eq!(runs.load(Ordering::SeqCst), 2, "the net is outside, and says so");
}

#[tokio::test]
async fn log_names_method_and_path_without_the_query() {
    let app = Router::new().route("/forgotten", get(|| async {})).layer(DenyUndecided::new());
    let log = Log::of_this_thread(Level::INFO);
    assert_eq!(status(&app, "/forgotten?token=secret", None).await, 403);
    let log = log.text();
    assert!(log.contains("ERROR palisade::auth:"), "{log}");
    assert!(log.contains("method=GET path=\"/forgotten\""), "{log}");
    assert!(log.contains("with_public") && !log.contains("secret"), "{log}");
}

#[test]
fn the_layers_keep_the_contract() {
    let contract = Contract::new(|| Request::get("/").body(Script::empty()).unwrap());
    contract.check_policy(public);
    contract.check_policy(|| Decided);
    contract.check(|| layer(public().then(require_decision())));
    contract.check(|| {
        tower::ServiceBuilder::new()
            .layer(DenyUndecided::new())
            .layer(public().layer())
            .into_inner()
    });
}
