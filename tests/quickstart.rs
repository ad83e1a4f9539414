//! The quickstart, as it answers to curl: over HTTP/1.1 and HTTP/2.

use std::process::Command;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Channel, Full};
use palisade_tests::{Client, Example, installed};
use serde_json::json;

const ITEM: &str = r##"{"name":"lamp","email":"ada@example.com","color":"#00fF00"}"##;

#[tokio::test]
async fn prints_tokens_and_commands_for_every_policy() {
    let mut example = Example::start("quickstart");
    let output = example.output_until("/boom");
    for needed in
        ["user token:", "admin token:", "/profile", "/items/7", "/search", "OPTIONS", "/events"]
    {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
    assert!(output.lines().filter(|line| line.contains("curl ")).count() >= 12);
}

/// The heading of each group of commands announces their statuses. The commands are pasted in order, as a reader does.
#[test]
fn printed_commands_give_the_announced_statuses() {
    if !installed(&["bash", "curl"]) {
        return;
    }
    let mut example = Example::start("quickstart");
    let output = example.output_until("/boom");
    let (mut announced, mut given) = (Vec::new(), Vec::new());
    for line in output.lines() {
        if let Some(command) = line.strip_prefix("  ") {
            given.extend(statuses_of(command));
        } else {
            let statuses = line.split('(').filter_map(|text| text.split_once(')'));
            announced.extend(statuses.map(|(status, _)| status.to_owned()));
        }
    }
    assert!(announced.len() > 12, "{output}");
    assert_eq!(given, announced, "{output}");
}

/// Runs a command, and returns the statuses that it shows. A status that follows itself is one.
fn statuses_of(command: &str) -> Vec<String> {
    let output = Command::new("bash").args(["-c", command]).output().expect("bash runs");
    let output = String::from_utf8_lossy(&output.stdout);
    let mut statuses: Vec<_> = match output.strip_prefix("HTTP/1.1 ") {
        Some(head) => vec![head[..3].to_owned()],
        None => output.split_whitespace().map(ToOwned::to_owned).collect(),
    };
    statuses.dedup();
    statuses
}

#[tokio::test]
async fn explanation_names_the_policy_that_rejected() {
    let mut example = Example::start("quickstart");
    let user = format!("authorization: Bearer {}", example.token("user"));
    let output = example.output_until("X-Explain: ");
    let secret = output.split("X-Explain: ").nth(1).and_then(|text| text.split('\'').next());
    let secret = format!("x-explain: {}", secret.expect("a secret is printed"));
    let client = Client::new(example.address, Version::HTTP_11);
    let asked = client.call(Method::DELETE, "/items/7", &[&user, &secret]).await;
    let explained = asked.header("x-palisade-explain").unwrap();
    assert!(explained.contains("RequireRole=refused(FORBIDDEN)"), "{explained}");
    let other = client.call(Method::DELETE, "/items/7", &[&user, "x-explain: guessed"]).await;
    assert!(other.header("x-palisade-explain").is_none());
}

#[tokio::test]
async fn every_response_has_a_request_id_and_rate_limit_fields() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        let health = client.get("/health", &[]).await;
        assert_eq!((health.status, health.text()), (StatusCode::OK, "ok".to_owned()));
        assert_eq!(health.header("x-request-id").unwrap().len(), 36);
        assert_eq!(health.header("ratelimit-policy"), Some("\"default\";q=100;w=10"));
        let named = client.get("/health", &["x-request-id: req-42"]).await;
        assert_eq!(named.header("x-request-id"), Some("req-42"));
    }
}

#[tokio::test]
async fn profile_requires_a_valid_token() {
    let mut example = Example::start("quickstart");
    let token = format!("authorization: Bearer {}", example.token("user"));
    for client in Client::of_each_version(example.address) {
        let profile = client.get("/profile", &[&token]).await;
        assert_eq!(profile.status, StatusCode::OK);
        let claims = profile.json();
        assert_eq!((&claims["sub"], &claims["roles"]), (&json!("ada"), &json!(["user"])));

        let nobody = client.get("/profile", &[]).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
        assert_eq!(nobody.error_code(), "UNAUTHENTICATED");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"api\""));

        let forged = format!("{}x", &token[..token.len() - 1]);
        let forged = client.get("/profile", &[&forged]).await;
        assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
        assert!(forged.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn only_admins_delete_items() {
    let mut example = Example::start("quickstart");
    let user = format!("authorization: Bearer {}", example.token("user"));
    let admin = format!("authorization: Bearer {}", example.token("admin"));
    for client in Client::of_each_version(example.address) {
        let delete = async |fields: &[&str]| client.call(Method::DELETE, "/items/7", fields).await;
        assert_eq!(delete(&[&admin]).await.status, StatusCode::NO_CONTENT);
        let forbidden = delete(&[&user]).await;
        assert_eq!(
            (forbidden.status, &*forbidden.error_code()),
            (StatusCode::FORBIDDEN, "FORBIDDEN")
        );
        assert_eq!(delete(&[]).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn item_is_validated_before_it_is_created() {
    let example = Example::start("quickstart");
    let client = Client::new(example.address, Version::HTTP_11);
    let created = client.post_json("/items", ITEM, &[]).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.json(), serde_json::from_str::<serde_json::Value>(ITEM).unwrap());
    let unknown = ITEM.replacen('{', "{\"admin\":true,", 1);
    let created = client.post_json("/items", unknown, &[]).await;
    assert_eq!((created.status, &created.json()["admin"]), (StatusCode::CREATED, &json!(null)));

    let bad =
        client.post_json("/items", r#"{"name":"","email":"nobody","color":"green"}"#, &[]).await;
    assert_eq!((bad.status, &*bad.error_code()), (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"));
    let issues = bad.json()["error"]["issues"].clone();
    let mut paths: Vec<_> =
        issues.as_array().unwrap().iter().map(|issue| issue["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["color", "email", "name"]);

    let empty = client.post_json("/items", "{}", &[]).await;
    assert_eq!(empty.json()["error"]["issues"].as_array().unwrap().len(), 2);
    let broken = client.post_json("/items", "{", &[]).await;
    assert_eq!((broken.status, &*broken.error_code()), (StatusCode::BAD_REQUEST, "INVALID_JSON"));
    let long = format!(r#"{{"name":"{}","email":"a@b.cc"}}"#, "é".repeat(100));
    assert_eq!(client.post_json("/items", long, &[]).await.status, StatusCode::CREATED);
    let text = Request::post("/items").header("content-type", "text/plain").body(Full::from(ITEM));
    let text = client.send(text.unwrap()).await;
    assert_eq!(text.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn search_has_defaults_and_bounds() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        let search = client.get("/search?q=a%20lamp", &[]).await;
        assert_eq!(search.json(), json!({"q": "a lamp", "page": 1, "limit": 20}));
        let search = client.get("/search?q=lamp&page=3&limit=100", &[]).await;
        assert_eq!(search.json(), json!({"q": "lamp", "page": 3, "limit": 100}));
        for query in ["limit=101", "limit=0", "page=0", "page=two"] {
            let refused = client.get(&format!("/search?{query}"), &[]).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (StatusCode::BAD_REQUEST, "VALIDATION_ERROR")
            );
        }
    }
}

const APP: &str = "origin: https://app.example.com";

#[tokio::test]
async fn only_the_allowed_origin_may_read() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        let preflight = async |origin: &str, method: &str| {
            let method = format!("access-control-request-method: {method}");
            let headers = "access-control-request-headers: authorization,content-type";
            client.call(Method::OPTIONS, "/items", &[origin, &method, headers]).await
        };
        let allowed = preflight(APP, "DELETE").await;
        assert_eq!(allowed.status, StatusCode::NO_CONTENT);
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(allowed.header("access-control-allow-methods"), Some("DELETE"));
        assert_eq!(
            allowed.header("access-control-allow-headers"),
            Some("authorization,content-type")
        );
        assert!(allowed.header("vary").unwrap().contains("Origin"));
        assert!(allowed.header("ratelimit").is_none(), "a preflight costs no quota");

        for refused in
            [preflight("origin: https://evil.example", "POST").await, preflight(APP, "PUT").await]
        {
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
            let cors = |name: &http::HeaderName| name.as_str().starts_with("access-control");
            assert!(!refused.headers.keys().any(cors), "{refused:?}");
        }

        let read = client.get("/health", &[APP]).await;
        assert_eq!(read.header("access-control-allow-origin"), Some("https://app.example.com"));
        for fields in [&[][..], &["origin: https://evil.example"]] {
            let other = client.get("/health", fields).await;
            assert_eq!((other.status, other.header("vary")), (StatusCode::OK, Some("Origin")));
            assert!(other.header("access-control-allow-origin").is_none());
        }
        // what is no preflight goes to the service
        let options = client.call(Method::OPTIONS, "/health", &[APP]).await;
        assert_eq!(options.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn errors_are_readable_by_the_allowed_origin() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        for (answer, status) in [
            (client.get("/profile", &[APP]).await, 401),
            (client.get("/nothing", &[APP]).await, 404),
            (client.declare_json("/items", 1024 * 1024 + 1, &[APP]).await, 413),
            (client.get("/boom", &[APP]).await, 500),
        ] {
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("https://app.example.com"),
                "{status}"
            );
            assert!(answer.header("x-request-id").is_some(), "{status}");
        }
    }
}

#[tokio::test]
async fn request_101_and_item_11_are_rejected_with_retry_after() {
    let example = Example::start("quickstart");
    let client = Client::new(example.address, Version::HTTP_2);
    for _ in 0..10 {
        assert_eq!(client.post_json("/items", ITEM, &[]).await.status, StatusCode::CREATED);
    }
    let eleventh = client.post_json("/items", ITEM, &[APP]).await;
    assert_eq!(
        (eleventh.status, &*eleventh.error_code()),
        (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED")
    );
    assert_eq!(eleventh.header("access-control-allow-origin"), Some("https://app.example.com"));

    let mut refused = None;
    for sent in 11..=100 {
        let answer = client.get("/health", &[]).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((sent, answer));
            break;
        }
        assert_eq!(answer.status, StatusCode::OK);
    }
    let (sent, answer) = refused.expect("the 101st request is refused");
    assert_eq!(sent, 100, "100 pass, items and refused items included");
    assert_eq!(answer.error_code(), "RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
}

#[tokio::test]
async fn body_of_a_mebibyte_passes_and_one_more_byte_is_413() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        let limit = 1024 * 1024;
        let exact = client.post_json("/items", vec![b' '; limit], &[]).await;
        assert_eq!((exact.status, &*exact.error_code()), (StatusCode::BAD_REQUEST, "INVALID_JSON"));
        let over = client.declare_json("/items", limit as u64 + 1, &[]).await;
        assert_eq!(
            (over.status, &*over.error_code()),
            (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE")
        );

        // without a declared length
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let sent = tokio::spawn(async move {
            for size in [32 * 1024; 32].into_iter().chain([1]) {
                if sender.send_data(Bytes::from(vec![b' '; size])).await.is_err() {
                    break;
                }
            }
            // it has not ended when the answer comes, so that nothing is on the way then
            sender
        });
        let request = Request::post("/items").header("content-type", "application/json").body(body);
        let over = client.send(request.unwrap()).await;
        drop(sent.await);
        assert_eq!(
            (over.status, &*over.error_code()),
            (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE")
        );
    }
}

#[tokio::test]
async fn events_are_streamed_while_other_requests_are_served() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        let response = client.start(Request::get("/events").body(Full::default()).unwrap()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let mut arrived = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap_or_default();
            if data.is_empty() {
                continue; // the end of a stream over HTTP/2
            }
            arrived.push(String::from_utf8(data.to_vec()).unwrap());
            if arrived.len() == 1 {
                // The stream is open and four events are to come; another request comes and goes meanwhile.
                assert_eq!(client.get("/health", &[]).await.status, StatusCode::OK);
                arrived.push("health".to_owned());
            }
        }
        let expected = [
            "data: tick 1\n\n",
            "health",
            "data: tick 2\n\n",
            "data: tick 3\n\n",
            "data: tick 4\n\n",
            "data: tick 5\n\n",
        ];
        assert_eq!(arrived, expected, "each event is a frame of its own");
    }
}

#[tokio::test]
async fn panic_is_500_and_the_server_continues() {
    let example = Example::start("quickstart");
    for client in Client::of_each_version(example.address) {
        for _ in 0..3 {
            let boom = client.get("/boom", &[]).await;
            assert_eq!(boom.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(boom.error_code(), "INTERNAL");
            assert_eq!(boom.json()["error"]["message"], "internal error");
            assert_eq!(client.get("/health", &[]).await.status, StatusCode::OK);
        }
    }
}
