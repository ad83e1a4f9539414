//! One clock for the whole stack, and limits by address and by user.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use palisade::{
    ManualClock,
    auth::{Identity, Jwt},
    body::BodyLimit,
    cors::Cors,
    observe::Observe,
    rate_limit::{Quota, RateLimit},
    stack,
};
use palisade_testing::{RouteTable, TestClient, TestIssuer};

#[tokio::test]
async fn tokens_and_limits_share_one_clock() {
    let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
    let issuer = TestIssuer::new().with_clock(&clock);
    let shared: Arc<ManualClock> = Arc::new(clock.clone());
    let auth =
        Jwt::<()>::with_keys(issuer.keys()).audience("test").clock(shared.clone()).build().unwrap();
    let minute = |requests| Quota::per(requests, Duration::from_secs(60));
    let by_address = RateLimit::per_address(minute(4)).clock(shared.clone()).build().unwrap();
    let by_user = RateLimit::per_principal(minute(1)).clock(shared).build().unwrap();
    let cors = Cors::allow_origins(["https://app.example"]).build().unwrap();
    let layers = stack()
        .errors(palisade::ErrorLayer::new())
        .cors(&cors)
        .rate_limit(&by_address)
        .auth(&auth)
        .rate_limit(&by_user)
        .body_limit(BodyLimit::new(1024));
    let me = |user: Identity<()>| async move { user.principal().subject().to_owned() };
    let app = layers.wrap(Router::new().route("/", get(me)));

    let client = TestClient::new(app).with_issuer(&issuer);
    let (ada, bob) = (client.as_user("ada"), client.as_user("bob"));
    ada.get("/").header("origin", "https://app.example").await.assert_text("ada");
    ada.get("/")
        .header("origin", "https://app.example")
        .await
        .assert_rejected("RATE_LIMITED")
        .assert_header("access-control-allow-origin", "https://app.example");
    bob.get("/").await.assert_text("bob");
    client.get("/").await.assert_rejected("UNAUTHENTICATED");
    bob.get("/").await.assert_status(429);
    let elsewhere = client.clone().from_address([203, 0, 113, 7]);
    elsewhere.as_user("eve").get("/").await.assert_text("eve");
    let token = ada.to_client();
    clock.advance(Duration::from_secs(61));
    token.get("/").await.assert_text("ada");
    clock.advance(Duration::from_secs(600));
    token.get("/").await.assert_rejected("UNAUTHENTICATED");
}

#[tokio::test]
async fn table_has_the_policies_behind_an_observer() {
    let issuer = TestIssuer::new();
    let auth = Jwt::<()>::with_keys(issuer.keys()).audience("test").build().unwrap();
    let layers = stack()
        .observe(Observe::new())
        .errors(palisade::ErrorLayer::new())
        .auth(&auth)
        .role(["admin"]);
    let app = layers.wrap(Router::new().route("/", get(|| async {})));
    let client = TestClient::new(app).with_issuer(&issuer);
    let admin = client.as_user("ada").role("admin");
    let table = RouteTable::new(&client).routes(["GET /"]).caller("admin", admin).probe().await;
    let expected = "\
route  anonymous            admin  policies
GET /  401 UNAUTHENTICATED  200    Observe, Jwt, RequireRole
";
    assert_eq!(table.to_string(), expected);
    table.assert_every_route_decides();
}
