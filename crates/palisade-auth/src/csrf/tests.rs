use http::Request;

use super::*;

fn head(method: &str, fields: &[&str]) -> request::Parts {
    let request = Request::builder().method(method).uri("/orders");
    let request = fields.iter().fold(request, |request, field| {
        let (name, value) = field.split_once(": ").unwrap();
        request.header(name, value)
    });
    request.body(()).unwrap().into_parts().0
}

fn trusting() -> CsrfCheck {
    CsrfCheck::builder().trust_origin("https://app.example.com").build().unwrap()
}

const HOST: &str = "host: api.example.com";

#[test]
fn unsafe_request_must_come_from_the_own_origin() {
    #[rustfmt::skip]
    let table: &[(&[&str], bool)] = &[
        (&["sec-fetch-site: same-origin"], true),
        (&["sec-fetch-site: none"], true),
        (&["sec-fetch-site: cross-site"], false),
        (&["sec-fetch-site: same-site"], false),
        (&["sec-fetch-site: Same-Origin"], false),
        (&["sec-fetch-site: something-new"], false),
        (&["sec-fetch-site: "], false),
        (&["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"], false),
        (&["sec-fetch-site: cross-site", "origin: https://app.example.com"], true),
        (&["sec-fetch-site: same-site", "origin: https://app.example.com"], true),
        (&["sec-fetch-site: cross-site", "origin: https://evil.example"], false),
        (&["sec-fetch-site: same-site", "origin: https://www.example.com"], false),
        // A page on http://api.example.com: the scheme is visible only to the browser.
        (&["sec-fetch-site: cross-site", "origin: https://api.example.com"], false),
        (&["sec-fetch-site: cross-site", "origin: http://api.example.com"], false),
        (&["origin: https://api.example.com"], true),
        (&["origin: http://api.example.com"], true),
        (&["origin: https://app.example.com"], true),
        (&["origin: https://api.example.com:8443"], false),
        (&["origin: https://app.example.com."], false),
        (&["origin: https://app.example.com/"], false),
        (&["origin: http://app.example.com"], false),
        (&["origin: https://evil.example"], false),
        (&["origin: https://evilapi.example.com"], false),
        (&["origin: null"], false),
        (&["origin: "], false),
        (&["origin: https://api.example.com", "origin: https://api.example.com"], false),
        (&["origin: https://api.example.com", "origin: https://evil.example"], false),
        (&["referer: https://api.example.com/page"], false),
        (&[], false),
    ];
    for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "PROPPATCH"] {
        for (fields, expected) in table {
            let head = head(method, &[&[HOST], *fields].concat());
            let outcome = trusting().check(&head);
            assert_eq!(outcome.is_ok(), *expected, "{method} {fields:?}");
            if let Err(error) = outcome {
                assert_eq!((error.status().as_u16(), error.code()), (403, "CSRF"));
            }
        }
    }
}

#[tokio::test]
async fn layer_trusts_the_listed_origins() {
    use tower::{Layer, ServiceExt, service_fn};
    let service = trusting().layer().layer(service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    for (origin, status) in [("https://app.example.com", 200), ("https://evil.example", 403)] {
        let request = Request::post("/").header("origin", origin).body(String::new()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
}

#[test]
fn safe_methods_pass_from_any_origin() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
        for fields in [&[][..], &["sec-fetch-site: cross-site", "origin: https://evil.example"]] {
            assert!(CsrfCheck::new().check(&head(method, fields)).is_ok(), "{method}");
        }
    }
}

#[test]
fn unsafe_request_is_checked_for_any_content_type() {
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "a/b"] {
        let kind = format!("content-type: {kind}");
        assert!(CsrfCheck::new().check(&head("POST", &[&kind])).is_err());
        let evil = ["origin: https://evil.example", HOST, &kind];
        assert!(CsrfCheck::new().check(&head("POST", &evil)).is_err());
    }
}

#[test]
fn websocket_handshake_must_come_from_the_own_origin() {
    for upgrade in ["upgrade: websocket", "upgrade: WebSocket", "upgrade: h2c, websocket"] {
        let from = |origin| CsrfCheck::new().check(&head("GET", &[HOST, upgrade, origin]));
        assert!(from("origin: https://evil.example").is_err(), "{upgrade}");
        assert!(from("origin: https://api.example.com").is_ok(), "{upgrade}");
    }
    let other = head("GET", &[HOST, "upgrade: h2c", "origin: https://evil.example"]);
    assert!(CsrfCheck::new().check(&other).is_ok());
}

#[test]
fn host_of_the_target_precedes_the_host_field() {
    let check = |fields: &[&str]| {
        let mut head = head("POST", fields);
        head.uri = "https://api.example.com/orders".parse().unwrap();
        CsrfCheck::new().check(&head).is_ok()
    };
    assert!(check(&["origin: https://api.example.com"]));
    assert!(check(&["origin: https://api.example.com", "host: other.example"]));
    assert!(!check(&["origin: https://other.example", "host: other.example"]));
}

#[test]
fn missing_or_duplicate_host_matches_no_origin() {
    for hosts in [&[][..], &[HOST, HOST], &["host: "]] {
        let fields = [hosts, &["origin: https://api.example.com"]].concat();
        assert!(CsrfCheck::new().check(&head("POST", &fields)).is_err(), "{hosts:?}");
    }
}

#[test]
fn requests_without_origin_need_the_insecure_setting() {
    let lax = CsrfCheck::builder().insecure_allow_without_origin().build().unwrap();
    assert!(lax.check(&head("POST", &[HOST])).is_ok());
    for fields in
        [["origin: https://evil.example"], ["sec-fetch-site: cross-site"], ["origin: null"]]
    {
        assert!(lax.check(&head("POST", &fields)).is_err(), "{fields:?}");
    }
}

#[test]
fn malformed_or_opaque_origin_is_a_config_error() {
    for (origin, remedy) in [
        ("https://app.example.com/", "leave out the trailing slash: `https://app.example.com`"),
        ("*", "in full"),
        ("null", "sandboxed"),
        ("https://*.example.com", "no patterns"),
        ("http://app.example.com", "list https origins only"),
    ] {
        let error = CsrfCheck::builder().trust_origin(origin).build().unwrap_err();
        assert_eq!(error.setting(), "trust_origin");
        assert!(error.to_string().contains(remedy), "{error}");
    }
    for origin in ["https://app.example.com:8443", "http://localhost:3000", "http://[::1]:8080"] {
        assert!(CsrfCheck::builder().trust_origin(origin).build().is_ok(), "{origin}");
    }
}
