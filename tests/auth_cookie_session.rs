//! The example of a session in a cookie, as it answers to curl and to browsers.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use palisade_tests::{Answer, Client, Example};
use serde_json::json;

fn basic(user: &str, password: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The cookie field that a browser would send after this answer.
fn cookie(login: &Answer) -> String {
    let set = login.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    for needed in ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age="] {
        assert!(attributes.contains(needed), "{needed} is not in {attributes}");
    }
    format!("cookie: {pair}")
}

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("auth_cookie_session");
    let output = example.output_until("Log out");
    for needed in ["password:", "/login", "/me", "/logout", "Origin:", "Sec-Fetch-Site"] {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
}

#[tokio::test]
async fn session_lasts_from_login_to_logout() {
    let mut example = Example::start("auth_cookie_session");
    let ada = basic("ada", &example.credential("password"));
    let own = format!("origin: http://{}", example.address);
    for client in Client::of_each_version(example.address) {
        let post =
            async |path: &str, fields: &[&str]| client.call(Method::POST, path, fields).await;
        let login = post("/login", &[&ada, &own]).await;
        assert_eq!(login.status, StatusCode::NO_CONTENT);
        let session = cookie(&login);

        let me = client.get("/me", &[&session]).await;
        assert_eq!((me.status, me.json()), (StatusCode::OK, json!({ "name": "ada" })));
        assert_eq!(me.header("cache-control"), Some("private, no-store"));
        assert_eq!(client.get("/", &[&session]).await.text(), "hello ada\n");
        assert_eq!(client.get("/", &[]).await.text(), "hello stranger\n");

        // another login is another session, and lives on
        let other = cookie(&post("/login", &[&ada, &own]).await);
        assert_ne!(session, other);

        let logout = post("/logout", &[&session, &own]).await;
        assert_eq!(logout.status, StatusCode::NO_CONTENT);
        assert!(logout.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert_eq!(client.get("/me", &[&session]).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(client.get("/me", &[&other]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn request_without_a_session_is_unauthenticated() {
    let example = Example::start("auth_cookie_session");
    for client in Client::of_each_version(example.address) {
        for fields in
            [&[][..], &["cookie: session=made-up"], &["cookie: session="], &["cookie: a=b"]]
        {
            let me = client.get("/me", fields).await;
            assert_eq!(
                (me.status, &*me.error_code()),
                (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED")
            );
            assert_eq!(me.header("www-authenticate"), Some("Cookie realm=\"api\""));
        }
        let planted = client.get("/me", &["cookie: session=a; session=b"]).await;
        assert_eq!(planted.status, StatusCode::BAD_REQUEST);
        // present and invalid is not anonymous
        let stale = client.get("/", &["cookie: session=made-up"]).await;
        assert_eq!(stale.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn cross_site_login_and_logout_are_rejected() {
    let mut example = Example::start("auth_cookie_session");
    let ada = basic("ada", &example.credential("password"));
    let own = format!("origin: http://{}", example.address);
    for client in Client::of_each_version(example.address) {
        let post =
            async |path: &str, fields: &[&str]| client.call(Method::POST, path, fields).await;
        let session = cookie(&post("/login", &[&ada, "sec-fetch-site: same-origin"]).await);
        for (path, credentials) in [("/login", &ada), ("/logout", &session)] {
            for fields in [
                &[][..],
                &["origin: https://evil.example"],
                &["origin: null"],
                &["sec-fetch-site: cross-site"],
                &["sec-fetch-site: same-site", &own],
                &["content-type: application/json", "origin: https://evil.example"],
            ] {
                let refused = post(path, &[&[&**credentials], fields].concat()).await;
                assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {fields:?}");
                assert_eq!(refused.error_code(), "CSRF");
                assert!(refused.header("set-cookie").is_none());
            }
        }
        assert_eq!(client.get("/me", &[&session]).await.status, StatusCode::OK, "still there");
    }
}

#[tokio::test]
async fn wrong_password_gets_a_challenge_and_attempt_11_is_429() {
    let example = Example::start("auth_cookie_session");
    let own = format!("origin: http://{}", example.address);
    let [client, _] = Client::of_each_version(example.address);
    let attempt = async |fields: &[&str]| client.call(Method::POST, "/login", fields).await;
    assert_eq!(attempt(&[&own]).await.status, StatusCode::UNAUTHORIZED);
    for guess in 1..10 {
        let wrong = attempt(&[&own, &basic("ada", &guess.to_string())]).await;
        assert_eq!(
            (wrong.status, &*wrong.error_code()),
            (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED")
        );
        let challenge = wrong.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"api\", charset=\"UTF-8\""));
    }
    let eleventh = attempt(&[&own, &basic("ada", "x")]).await;
    assert_eq!(eleventh.status, StatusCode::TOO_MANY_REQUESTS);
}
