//! The example of API keys, as it answers to curl.

use http::{Method, StatusCode};
use palisade_tests::{Client, Example};

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("auth_api_keys");
    let output = example.output_until("Rotation");
    for needed in ["reader key:", "admin key:", "user token:", "X-Api-Key", "Authorization: ApiKey"]
    {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
}

#[tokio::test]
async fn only_valid_keys_pass_in_either_header() {
    let mut example = Example::start("auth_api_keys");
    let (reader, admin) = (example.credential("reader key"), example.credential("admin key"));
    for client in Client::of_each_version(example.address) {
        let header = format!("x-api-key: {reader}");
        let authorization = format!("authorization: ApiKey {reader}");
        for field in [&header, &authorization] {
            let answer = client.get("/invoices", &[field]).await;
            assert_eq!((answer.status, &answer.json()["for"]), (StatusCode::OK, &"billing".into()));
            assert!(reader.contains(answer.json()["key"].as_str().unwrap()));
        }
        let unknown = format!("x-api-key: acme_0000000000000000.{}", "A".repeat(43));
        for fields in [&[][..], &[&*format!("{header}x")], &[&*unknown], &["x-api-key: nonsense"]] {
            let answer = client.get("/invoices", fields).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{fields:?}");
            assert_eq!(answer.error_code(), "UNAUTHENTICATED");
            assert_eq!(answer.header("www-authenticate"), Some("ApiKey realm=\"api\""));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let other = format!("authorization: ApiKey {admin}");
        let two = client.get("/invoices", &[&header, &other]).await;
        assert_eq!(two.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_key_has_the_roles_of_its_owner() {
    let mut example = Example::start("auth_api_keys");
    let reader = format!("x-api-key: {}", example.credential("reader key"));
    let admin = format!("x-api-key: {}", example.credential("admin key"));
    for client in Client::of_each_version(example.address) {
        let delete = async |key: &str| client.call(Method::DELETE, "/invoices/7", &[key]).await;
        assert_eq!(delete(&admin).await.status, StatusCode::NO_CONTENT);
        assert_eq!(delete(&reader).await.error_code(), "FORBIDDEN");
    }
}

#[tokio::test]
async fn either_a_key_or_a_token_is_accepted() {
    let mut example = Example::start("auth_api_keys");
    let reader = format!("x-api-key: {}", example.credential("reader key"));
    let token = format!("authorization: Bearer {}", example.token("user"));
    for client in Client::of_each_version(example.address) {
        assert_eq!(client.get("/whoami", &[&reader]).await.text(), "billing\n");
        assert_eq!(client.get("/whoami", &[&token]).await.text(), "ada\n");
        let nobody = client.get("/whoami", &[]).await;
        let challenges: Vec<_> = nobody.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer realm=\"api\"", "ApiKey realm=\"api\""]);
    }
}

#[tokio::test]
async fn key_is_rotated_without_interruption() {
    let mut example = Example::start("auth_api_keys");
    let reader = format!("x-api-key: {}", example.credential("reader key"));
    let old = format!("x-api-key: {}", example.credential("admin key"));
    for client in Client::of_each_version(example.address) {
        assert_eq!(
            client.call(Method::POST, "/keys", &[&reader]).await.status,
            StatusCode::FORBIDDEN
        );
        let made = client.call(Method::POST, "/keys", &[&old]).await;
        assert_eq!(made.status, StatusCode::CREATED);
        let (made, new) =
            (made.json(), format!("x-api-key: {}", made.json()["key"].as_str().unwrap()));
        for key in [&old, &new] {
            let answer = client.call(Method::DELETE, "/invoices/7", &[key]).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
        let path = format!("/keys/{}", made["id"].as_str().unwrap());
        let withdraw = async || client.call(Method::DELETE, &path, &[&old]).await.status;
        assert_eq!(withdraw().await, StatusCode::NO_CONTENT);
        assert_eq!(withdraw().await, StatusCode::NOT_FOUND);
        let answer = client.call(Method::DELETE, "/invoices/7", &[&new]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}
