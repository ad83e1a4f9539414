use axum::{
    Router,
    routing::{delete, get, post},
};
use palisade::{
    WithAuth,
    auth::{DenyUndecided, Jwt},
};
use palisade_testing::{RouteReport, RouteTable, TestClient, TestIssuer};
use serde_json::json;

use crate::{SECRET, message_of};

fn client(deny_undecided: bool) -> TestClient {
    let issuer = TestIssuer::hs256(SECRET);
    let auth = Jwt::<()>::with_keys(issuer.keys()).any_audience().build().unwrap();
    let app = Router::new()
        .route("/health", get(|| async {}).with_public())
        .route("/items", post(|| async { http::StatusCode::CREATED }).with_auth(&auth))
        .route("/items/{id}", delete(|| async {}).with_role(&auth, ["admin"]))
        .route("/forgotten", get(|| async { "secrets" }));
    let app = if deny_undecided { app.layer(DenyUndecided::new()) } else { app };
    TestClient::new(app).with_issuer(&issuer)
}

async fn report(client: &TestClient, routes: &[&'static str]) -> RouteReport {
    RouteTable::new(client)
        .routes(routes.iter().copied())
        .caller("admin", client.as_user("ada").role("admin"))
        .probe()
        .await
}

#[tokio::test]
async fn decided_routes_pass_and_are_shown_as_text() {
    let client = client(false);
    let report = report(&client, &["GET /health", "POST /items", "DELETE /items/{id}"]).await;
    report.assert_every_route_decides();
    let expected = "\
route               anonymous            admin  policies
GET /health         200                  200    Public
POST /items         401 UNAUTHENTICATED  201    Jwt, Decided
DELETE /items/{id}  401 UNAUTHENTICATED  200    Jwt, RequireRole
";
    assert_eq!(report.to_string(), expected);
}

#[tokio::test]
async fn undecided_routes_fail_with_the_table() {
    for (deny_undecided, shown) in [(false, "200 UNDECIDED"), (true, "403 UNDECIDED")] {
        let client = client(deny_undecided);
        let report = report(&client, &["GET /health", "GET /forgotten"]).await;
        let message = message_of(|| report.assert_every_route_decides());
        assert!(message.contains("come in at: GET /forgotten\n"), "{message}");
        assert!(message.contains("with_public") && message.contains(shown), "{message}");
        assert!(!message.contains("secrets"));
    }
}

#[tokio::test]
async fn routes_that_do_not_exist_fail() {
    let client = client(false);
    let report = report(&client, &["GET /nowhere", "POST /health"]).await;
    let message = message_of(|| report.assert_every_route_decides());
    assert!(message.contains("404 UNDECIDED"), "{message}");
    let empty = RouteTable::new(&client).probe().await;
    assert!(message_of(|| empty.assert_every_route_decides()).contains("no routes"));
}

#[tokio::test]
async fn operations_come_from_openapi_with_their_parameters() {
    let document = json!({
        "openapi": "3.1.0",
        "paths": {
            "/items": { "post": {}, "parameters": [] },
            "/items/{id}": { "delete": {} },
        },
    });
    let issuer = TestIssuer::hs256(SECRET);
    let seen = |path: axum::extract::Path<String>| async move { path.0 };
    let app = Router::new().route("/items/{id}", delete(seen).with_public());
    let client = TestClient::new(app).with_issuer(&issuer);
    let table = RouteTable::new(&client).openapi(&document).parameter("id", "42").probe().await;
    assert_eq!(table.to_string().lines().count(), 3, "{table}");
    let no_paths = message_of(|| drop(RouteTable::new(&client).openapi(&json!({}))));
    assert!(no_paths.contains("no operation"), "{no_paths}");
    let wrong = message_of(|| drop(RouteTable::new(&client).routes(["/items"])));
    assert!(wrong.contains("GET /items/{id}"), "{wrong}");
}
