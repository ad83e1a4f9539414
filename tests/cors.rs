//! The CORS example: its API, as a client that does not keep to what a browser would do.

use http::{Method, StatusCode};
use palisade_tests::{Answer, Client, Example};

/// The example, its page's origin as a header field, and a client of each version.
fn start() -> (Example, String, [Client; 2]) {
    let mut example = Example::start("cors");
    let page = format!("origin: {}", example.credential("page"));
    let clients = Client::of_each_version(example.address);
    (example, page, clients)
}

const EVIL: &str = "origin: https://evil.example";

async fn preflight(client: &Client, path: &str, origin: &str, asks: &[&str]) -> Answer {
    client.call(Method::OPTIONS, path, &[&[origin], asks].concat()).await
}

fn has_cors_headers(answer: &Answer) -> bool {
    answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn only_the_listed_origin_may_read() {
    let (_example, page, clients) = start();
    for client in clients {
        let allowed = client.get("/orders", &[&page]).await;
        assert_eq!(allowed.status, StatusCode::OK);
        assert_eq!(allowed.header("access-control-allow-origin"), page.strip_prefix("origin: "));
        assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(allowed.header("vary"), Some("Origin"));

        for origin in [EVIL, "origin: null", &format!("{page}0"), &page.replace("http:", "https:")]
        {
            let refused = client.get("/orders", &[origin]).await;
            assert_eq!(refused.status, StatusCode::OK, "the service runs");
            assert!(!has_cors_headers(&refused), "{refused:?}");
            assert_eq!(refused.header("vary"), Some("Origin"));
        }
        let no_page = client.get("/orders", &[]).await;
        assert!(!has_cors_headers(&no_page));
        assert_eq!(no_page.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn preflights_are_answered_before_auth_limits_and_routing() {
    let (_example, page, clients) = start();
    let put = "access-control-request-method: PUT";
    for client in clients {
        for path in ["/orders/7", "/me", "/limited", "/fail", "/nowhere"] {
            for _ in 0..5 {
                let granted = preflight(&client, path, &page, &[put]).await;
                assert_eq!(granted.status, StatusCode::NO_CONTENT, "{path}");
                assert_eq!(granted.header("access-control-allow-methods"), Some("PUT"));
                assert_eq!(granted.header("access-control-max-age"), Some("600"));
                assert!(granted.body.is_empty());
            }
            let refused = preflight(&client, path, EVIL, &[put]).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
            assert!(!has_cors_headers(&refused), "{refused:?}");
            assert!(refused.body.is_empty());
        }
        // fifteen preflights have spent nothing
        assert!(client.get("/limited", &[&page]).await.status.is_success());

        let plain = client.call(Method::OPTIONS, "/orders/7", &[&page]).await;
        assert_eq!(plain.status, StatusCode::METHOD_NOT_ALLOWED, "the router's to answer");
        assert!(plain.header("allow").unwrap().contains("PUT"));
    }
}

#[tokio::test]
async fn rejects_a_list_of_a_thousand_requested_headers() {
    let (_example, page, clients) = start();
    let put = "access-control-request-method: PUT";
    for client in clients {
        for list in
            [format!("x{}", ",a".repeat(1000)), ",".repeat(4000), "content-type,".repeat(300)]
        {
            let asks = format!("access-control-request-headers: {list}");
            let answer = preflight(&client, "/orders/7", &page, &[put, &asks]).await;
            assert!(answer.header("access-control-allow-headers").is_none(), "{answer:?}");
            assert!(answer.header("x-cors-refused").is_some());
        }
    }
}

#[tokio::test]
async fn inner_errors_are_readable_by_the_page() {
    let (_example, page, clients) = start();
    for client in clients {
        for (path, status) in [
            ("/me", StatusCode::UNAUTHORIZED),
            ("/fail", StatusCode::INTERNAL_SERVER_ERROR),
            ("/nowhere", StatusCode::NOT_FOUND),
        ] {
            let answer = client.get(path, &[&page]).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), page.strip_prefix("origin: "));
            let exposed = answer.header("access-control-expose-headers").unwrap();
            for name in ["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"] {
                assert!(exposed.contains(name), "{exposed}");
            }
        }
        let large = client.post_json("/orders", vec![b'x'; 2000], &[&page]).await;
        assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(has_cors_headers(&large));
    }
}

#[test]
fn invalid_origin_in_the_settings_ends_the_program() {
    let started = std::panic::catch_unwind(|| {
        Example::start_with("cors", &[("PALISADE_ORIGINS", "https://app.example.com/")])
    });
    assert!(started.is_err());
}
