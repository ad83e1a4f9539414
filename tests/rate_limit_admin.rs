//! The example of an operator's routes, as operators and clients meet it.

use http::{Method, Version};
use palisade_tests::{Client, Example};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

const CLIENT: &str = "/admin/limits/127.0.0.1";

/// A server of its own, since all clients have one address here; and the field with its operator's key.
fn start(version: Version) -> (Example, Client, String) {
    let mut example = Example::start("rate_limit_admin");
    let key = format!("x-api-key: {}", example.credential("operator key"));
    let client = Client::new(example.address, version);
    (example, client, key)
}

#[tokio::test]
async fn operators_read_and_reset_a_quota() {
    for version in VERSIONS {
        let (_example, client, key) = start(version);
        let remaining = async || client.get(CLIENT, &[&key]).await.json()[0]["remaining"].clone();
        assert_eq!(remaining().await, 5);
        for left in (0..5).rev() {
            let answer = client.get("/", &[]).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()[0]["remaining"]),
                (200, &left.into())
            );
        }
        assert_eq!(client.get("/", &[]).await.status, 429);
        assert_eq!(remaining().await, 0);
        let reset = client.call(Method::POST, &format!("{CLIENT}/reset"), &[&key]).await;
        assert_eq!(reset.status, 204);
        assert_eq!(remaining().await, 5);
        assert_eq!(client.get("/", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn operators_block_and_unblock() {
    for version in VERSIONS {
        let (_example, client, key) = start(version);
        let block = format!("{CLIENT}/block");
        assert_eq!(client.post_json(&block, r#"{"seconds":600}"#, &[&key]).await.status, 204);
        let refused = client.get("/", &[]).await;
        assert_eq!((refused.status.as_u16(), &*refused.error_code()), (429, "RATE_LIMITED"));
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((500..=600).contains(&wait), "{wait}");
        assert_eq!(client.call(Method::DELETE, &block, &[&key]).await.status, 204);
        assert_eq!(client.get("/", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn banned_client_can_be_unblocked_by_an_operator() {
    let (_example, client, key) = start(Version::HTTP_11);
    for _ in 0..25 {
        client.get("/", &[]).await;
    }
    // A reset gives the quota back, and does not end the ban.
    client.call(Method::POST, &format!("{CLIENT}/reset"), &[&key]).await;
    assert_eq!(client.get("/", &[]).await.status, 429);
    client.call(Method::DELETE, &format!("{CLIENT}/block"), &[&key]).await;
    assert_eq!(client.get("/", &[]).await.status, 200);
}

#[tokio::test]
async fn operators_replace_the_quota_and_keep_the_counts() {
    let (_example, client, key) = start(Version::HTTP_11);
    for _ in 0..3 {
        assert_eq!(client.get("/", &[]).await.status, 200);
    }
    assert_eq!(client.post_json("/admin/quota", r#"{"limit":9}"#, &[&key]).await.status, 204);
    assert_eq!(client.get("/", &[]).await.json()[0]["remaining"], 5);
    assert_eq!(client.post_json("/admin/quota", r#"{"limit":70000}"#, &[&key]).await.status, 400);
    assert_eq!(client.get("/", &[]).await.json()[0]["remaining"], 4);
}

#[tokio::test]
async fn only_operators_may_use_the_routes() {
    let (_example, client, _) = start(Version::HTTP_11);
    for (method, path) in [
        (Method::GET, CLIENT.to_owned()),
        (Method::POST, format!("{CLIENT}/reset")),
        (Method::POST, format!("{CLIENT}/block")),
        (Method::DELETE, format!("{CLIENT}/block")),
        (Method::POST, "/admin/quota".to_owned()),
    ] {
        for fields in [&[][..], &["x-api-key: acme_wrong"]] {
            let answer = client.call(method.clone(), &path, fields).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
    }
}
