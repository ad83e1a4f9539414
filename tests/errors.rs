//! The example of errors, over HTTP/1.1 and HTTP/2.

use http::{Method, StatusCode, Version};
use palisade_tests::{Client, Example};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn all_errors_have_one_format() {
    let example = Example::start("errors");
    for client in Client::of_each_version(example.address) {
        for (method, path, status, code) in [
            (Method::GET, "/orders/1", 404, "ORDER_NOT_FOUND"),
            (Method::GET, "/orders/0", 503, "UNAVAILABLE"),
            (Method::GET, "/orders/8", 403, "FORBIDDEN"),
            (Method::GET, "/orders/seven", 400, "BAD_REQUEST"),
            (Method::GET, "/nowhere", 404, "NOT_FOUND"),
            (Method::DELETE, "/orders", 405, "METHOD_NOT_ALLOWED"),
            (Method::POST, "/orders", 415, "UNSUPPORTED_MEDIA_TYPE"),
            (Method::GET, "/panic", 500, "INTERNAL"),
        ] {
            let answer = client.call(method, path, &[]).await;
            let problem = answer.json();
            assert_eq!(
                (answer.status.as_u16(), &problem["code"]),
                (status, &code.into()),
                "{path}"
            );
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
            assert_eq!(answer.header("vary"), Some("Accept"), "{path}");
            let id = answer.header("x-request-id").unwrap();
            assert_eq!(problem["instance"], format!("urn:uuid:{id}"), "{path}");
            assert!(!answer.text().contains("hunter2"), "{path}");
            assert_eq!(answer.header("allow").is_some(), status == 405, "{path}");
        }
        let few = client.post_json("/orders", "{\"amount\":4}", &[]).await;
        assert_eq!(few.status, StatusCode::CONFLICT);
        assert_eq!(few.json()["type"], "https://api.example.com/problems/out-of-stock");
        assert_eq!(few.json()["detail"], "only 3 are left");
        let broken = client.post_json("/orders", "{", &[]).await;
        assert_eq!(broken.json()["code"], "INVALID_JSON");
        let enough = client.post_json("/orders", "{\"amount\":1}", &[]).await;
        assert_eq!(enough.text(), "1 are on their way\n");
    }
}

#[tokio::test]
async fn error_format_follows_the_accept_header() {
    let example = Example::start("errors");
    let client = Client::new(example.address, Version::HTTP_11);
    for (accept, content_type, body) in [
        ("accept: application/json", "application/json", "{\"error\":{\"code\":"),
        ("accept: text/plain", "text/plain; charset=utf-8", "there is no such order\n"),
        ("accept: text/html,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let answer = client.get("/orders/1", &[accept]).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.text().starts_with(body), "{}", answer.text());
        let head = client.call(Method::HEAD, "/orders/1", &[accept]).await;
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), Some(&*answer.body.len().to_string()));
    }
}

#[tokio::test]
async fn connection_survives_a_panic() {
    let example = Example::start("errors");
    let mut connection = tokio::net::TcpStream::connect(example.address).await.unwrap();
    for status in ["500", "200"] {
        let path = if status == "500" { "/panic" } else { "/orders/7" };
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 2048];
        let length = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
    }
}
