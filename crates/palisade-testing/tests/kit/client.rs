use std::net::SocketAddr;

use axum::{
    Form, Json, Router,
    extract::{ConnectInfo, Query},
    http::{HeaderMap, Method, StatusCode, header::SET_COOKIE},
    routing::{any, get, post},
};
use palisade::PeerAddr;
use palisade_testing::{TestClient, TestIssuer};
use serde_json::{Value, json};

use crate::{SECRET, message_of, text_of};

/// Returns the request as JSON.
async fn echo(method: Method, uri: http::Uri, headers: HeaderMap, body: String) -> Json<Value> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    Json(json!({ "line": format!("{method} {uri}"), "headers": headers, "body": body }))
}

fn client() -> TestClient {
    TestClient::new(Router::new().route("/echo", any(echo)))
}

fn headers(echoed: &Value) -> Vec<&str> {
    echoed["headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn requests_carry_the_configured_fields_and_body() {
    let client = client().with_header("x-app", "1");
    let echoed: Value = client
        .patch("/echo?a=1")
        .query([("b", "x y"), ("a", "&")])
        .header("x-one", "first")
        .header("x-one", "second")
        .append_header("x-two", "a")
        .append_header("x-two", "b")
        .cookie("theme", "dark")
        .cookie("lang", "de")
        .json(&json!({ "name": "lamp" }))
        .await
        .assert_success()
        .json();
    assert_eq!(echoed["line"], "PATCH /echo?a=1&b=x+y&a=%26");
    assert_eq!(echoed["body"], r#"{"name":"lamp"}"#);
    let headers = headers(&echoed);
    for expected in [
        "host: localhost",
        "x-app: 1",
        "x-one: second",
        "x-two: a",
        "x-two: b",
        "cookie: theme=dark; lang=de",
        "content-type: application/json",
        "content-length: 15",
    ] {
        assert!(headers.contains(&expected), "{expected} in {headers:?}");
    }
    assert!(!headers.contains(&"x-one: first"));
}

#[tokio::test]
async fn each_method_sends_its_name() {
    let client = client();
    let requests = [
        (client.get("/echo"), "GET"),
        (client.post("/echo"), "POST"),
        (client.put("/echo"), "PUT"),
        (client.patch("/echo"), "PATCH"),
        (client.delete("/echo"), "DELETE"),
        (client.options("/echo"), "OPTIONS"),
        (client.request(Method::TRACE, "/echo"), "TRACE"),
    ];
    for (request, method) in requests {
        let echoed: Value = request.await.json();
        assert_eq!(echoed["line"], format!("{method} /echo"));
    }
    assert!(client.head("/echo").await.bytes().is_empty());
}

#[tokio::test]
async fn forms_and_texts_have_a_content_type_and_bytes_none() {
    let form = |Form(fields): Form<Vec<(String, String)>>| async move { Json(fields) };
    let app = Router::new().route("/form", post(form)).route("/echo", any(echo));
    let client = TestClient::new(app);
    let response = client.post("/form").form([("a", "1 2"), ("a", "3")]).await;
    response.assert_json(&json!([["a", "1 2"], ["a", "3"]]));
    let text: Value = client.post("/echo").text("hello").await.json();
    assert!(headers(&text).contains(&"content-type: text/plain; charset=utf-8"));
    let bytes: Value = client.post("/echo").bytes("hello").await.json();
    assert!(!bytes.to_string().contains("content-type"));
    assert_eq!(bytes["body"], "hello");
}

#[tokio::test]
async fn client_address_reaches_policies_and_axum() {
    let peers = |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: axum::extract::Request| async move {
        assert_eq!(PeerAddr::from_extensions(request.extensions()).unwrap().0, peer);
        peer.ip().to_string()
    };
    let client = TestClient::new(Router::new().route("/", get(peers)));
    client.get("/").await.assert_text("192.0.2.1");
    let elsewhere = client.from_address([203, 0, 113, 7]);
    elsewhere.get("/").await.assert_text("203.0.113.7");
    elsewhere.get("/").from_address([198, 51, 100, 1]).await.assert_text("198.51.100.1");
}

#[tokio::test]
async fn cookies_are_kept_only_if_enabled() {
    let app = Router::new()
        .route("/login", post(|| async { [(SET_COOKIE, "session=abc; Path=/; HttpOnly")] }))
        .route("/logout", post(|| async { [(SET_COOKIE, "session=; Max-Age=0")] }))
        .route(
            "/",
            get(|headers: HeaderMap| async move {
                headers
                    .get("cookie")
                    .map_or("none".to_owned(), |cookie| cookie.to_str().unwrap().to_owned())
            }),
        );
    let browser = TestClient::new(app).keeping_cookies();
    browser.post("/login").await.assert_header("set-cookie", "session=abc; Path=/; HttpOnly");
    browser.get("/").await.assert_text("session=abc");
    browser.get("/").cookie("theme", "dark").await.assert_text("session=abc; theme=dark");
    browser.post("/logout").await;
    browser.get("/").await.assert_text("none");
}

#[tokio::test]
async fn each_request_of_a_user_has_its_own_token() {
    let client = client().with_issuer(&TestIssuer::hs256(SECRET));
    let token = |response: Value| {
        let headers = headers(&response).join("\n");
        headers.split("authorization: Bearer ").nth(1).map(str::to_owned)
    };
    let ada = client.as_user("ada").role("admin").scope("a").scope("b").tenant("acme");
    let first = token(ada.get("/echo").await.json()).unwrap();
    let second = token(ada.get("/echo").await.json()).unwrap();
    assert_ne!(first, second, "each token has an id");
    assert_eq!(token(client.get("/echo").await.json()), None);
    let own = client.clone().with_bearer("key");
    assert_eq!(token(own.get("/echo").await.json()).as_deref(), Some("key"));
    let one = ada.to_client();
    let first = token(one.get("/echo").await.json());
    assert_eq!(first, token(one.get("/echo").await.json()));
}

#[tokio::test]
async fn panics_for_failures_and_misuse_name_the_request() {
    let failing = tower::service_fn(|_: http::Request<_>| async {
        Err::<axum::response::Response, _>(std::io::Error::other("the disk is full"))
    });
    let client = TestClient::new(failing);
    let sent = tokio::spawn(async move { client.get("/report").await });
    let message = text_of(&*sent.await.unwrap_err().into_panic());
    assert!(message.contains("GET /report") && message.contains("the disk is full"), "{message}");

    let client = self::client();
    let no_issuer = message_of(|| drop(client.as_user("ada")));
    assert!(no_issuer.contains("with_issuer"), "{no_issuer}");
    for (message, part) in [
        (message_of(|| drop(client.get("not a path"))), "`not a path` is not a URI"),
        (message_of(|| drop(client.get("/").header("a b", ""))), "`a b` is not a header name"),
        (message_of(|| drop(client.get("/").header("a", "\n"))), "is not a value of a"),
        (message_of(|| drop(client.get("/").json(&Bad))), "JSON"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

/// Cannot be written as JSON.
struct Bad;

impl serde::Serialize for Bad {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("bad"))
    }
}

#[tokio::test]
async fn queries_are_read_by_axum() {
    let app =
        Router::new().route("/", get(|Query(q): Query<Vec<(String, String)>>| async { Json(q) }));
    let response = TestClient::new(app).get("/").query([("page", "2")]).await;
    assert_eq!(
        response.assert_status(StatusCode::OK.as_u16()).json::<Value>(),
        json!([["page", "2"]])
    );
}
