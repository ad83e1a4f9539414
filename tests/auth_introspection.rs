//! Opaque tokens through a real issuer, over HTTP.

use http::{StatusCode, Version};
use palisade_tests::{Client, Example};

#[tokio::test]
async fn example_introspects_tokens_at_its_issuer() {
    let mut example = Example::start("auth_introspection");
    let client = Client::new(example.address, Version::HTTP_11);
    let token = format!("authorization: Bearer {}", example.token("user"));
    let profile = client.get("/profile", &[&token]).await;
    assert_eq!((profile.status, &profile.json()["username"]), (StatusCode::OK, &"ada".into()));

    let reports = client.call(http::Method::POST, "/reports", &[&token]).await;
    assert_eq!(reports.status, StatusCode::FORBIDDEN);
    assert!(reports.header("www-authenticate").unwrap().contains("scope=\"reports:write\""));

    let made_up = client.get("/profile", &["authorization: Bearer made-up"]).await;
    assert_eq!(made_up.status, StatusCode::UNAUTHORIZED);
    assert!(made_up.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(client.get("/profile", &[]).await.error_code(), "UNAUTHENTICATED");
}
