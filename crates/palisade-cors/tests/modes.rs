//! What can be set besides the lists, as responses to actual requests show it.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, Decision, Halt, Policy};
use palisade_cors::{Cors, CorsBuilder};
use tower::{Layer, ServiceExt, service_fn};

const APP: &str = "https://app.example.com";
const ADMIN: &str = "https://admin.example.com";
const EVIL: &str = "https://evil.example";
const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id";

type Fields = [(&'static str, &'static str)];

fn listed() -> CorsBuilder {
    Cors::allow_origins([APP, ADMIN])
}

fn head(method: &str, path: &str, fields: &Fields) -> http::request::Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// What the response says after the service wrote `inner`, or the error that came instead.
fn answer(
    cors: &Cors,
    method: &str,
    fields: &Fields,
    inner: &Fields,
) -> Result<HeaderMap, ApiError> {
    answer_at(cors, method, "/", fields, inner)
}

fn answer_at(
    cors: &Cors,
    method: &str,
    path: &str,
    fields: &Fields,
    inner: &Fields,
) -> Result<HeaderMap, ApiError> {
    match cors.decide(&head(method, path, fields)) {
        Decision::Now(Ok(grant)) => {
            let (mut response, ()) = Response::new(()).into_parts();
            for (name, value) in inner {
                response.headers.append(*name, value.parse().unwrap());
            }
            cors.finish(grant, &mut response);
            Ok(response.headers)
        }
        Decision::Now(Err(Halt::Refuse(error))) => Err(error),
        decision => panic!("{decision:?}"),
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn strict_mode_rejects_unlisted_origins() {
    let cors = listed().strict(true).build().unwrap();
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "CONNECT"] {
        for fields in [
            &[("origin", EVIL)] as &Fields,
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", APP), ("origin", APP)],
        ] {
            let error = answer(&cors, method, fields, &[]).unwrap_err();
            assert_eq!(error.status(), StatusCode::FORBIDDEN, "{method} {fields:?}");
            assert_eq!(error.code(), "ORIGIN_NOT_ALLOWED");
            assert_eq!(pairs(error.headers()), [("cache-control", "no-store"), ("vary", "Origin")]);
        }
        assert!(answer(&cors, method, &[("origin", APP)], &[]).is_ok());
        assert!(answer(&cors, method, &[], &[]).is_ok(), "no page of another origin sent it");
    }
}

#[test]
fn strict_mode_rejects_websockets_of_unlisted_origins() {
    let cors = listed().strict(true).build().unwrap();
    let handshake = |origin: &'static str| {
        let fields = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("origin", origin),
        ];
        answer(&cors, "GET", &fields, &[])
    };
    assert!(handshake(APP).is_ok());
    for origin in [EVIL, "null", "https://app.example.com.evil.example"] {
        assert_eq!(handshake(origin).unwrap_err().status(), StatusCode::FORBIDDEN, "{origin}");
    }
    // RFC 8441: over HTTP/2 it is a CONNECT
    let fields = [("sec-websocket-version", "13"), ("origin", EVIL)];
    assert!(answer(&cors, "CONNECT", &fields, &[]).is_err());

    let lax = listed().build().unwrap();
    assert!(answer(&lax, "GET", &[("upgrade", "websocket"), ("origin", EVIL)], &[]).is_ok());
}

#[tokio::test]
async fn strict_rejection_varies_and_skips_the_service() {
    let cors = listed().strict(true).build().unwrap();
    let service = cors.layer().layer(service_fn(|_: Request<Full<Bytes>>| async {
        panic!("the service runs");
        #[allow(unreachable_code)]
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let request = Request::post("/").header(header::ORIGIN, EVIL).body(Full::default()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[header::VARY], "Origin");
    assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("evil"), "{body:?}");
}

#[test]
fn debug_mode_gives_the_reason_for_an_unlisted_origin() {
    let cors = listed().debug(true).build().unwrap();
    let headers = answer(&cors, "GET", &[("origin", EVIL)], &[]).unwrap();
    assert!(headers["x-cors-refused"].to_str().unwrap().contains("allow_origin"));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    for fields in [&[("origin", APP)] as &Fields, &[]] {
        assert!(!answer(&cors, "GET", fields, &[]).unwrap().contains_key("x-cors-refused"));
    }
    let strict = listed().debug(true).strict(true).build().unwrap();
    let error = answer(&strict, "GET", &[("origin", EVIL)], &[]).unwrap_err();
    assert!(error.headers().contains_key("x-cors-refused"));
    assert!(
        !answer(&listed().build().unwrap(), "GET", &[("origin", EVIL)], &[])
            .unwrap()
            .contains_key("x-cors-refused")
    );
}

#[test]
fn null_origin_is_allowed_only_by_its_setting() {
    let null = [("origin", "null")];
    let allows = |cors: CorsBuilder| {
        let headers = answer(&cors.build().unwrap(), "GET", &null, &[]).unwrap();
        headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
    };
    assert_eq!(allows(listed().insecure_allow_null()).unwrap(), "null");
    assert_eq!(allows(listed()), None);
    assert_eq!(allows(Cors::builder().allow_origin_if(|_| true)), None);
    assert_eq!(allows(listed().allow_origin("https://*.example.com:*")), None);
}

#[test]
fn constant_headers_name_the_single_origin_without_vary() {
    let cors = Cors::allow_origins([APP]).static_origin().build().unwrap();
    for fields in [&[("origin", APP)] as &Fields, &[("origin", EVIL)], &[]] {
        let headers = answer(&cors, "GET", fields, &[]).unwrap();
        let expected =
            [("access-control-allow-origin", APP), ("access-control-expose-headers", EXPOSED)];
        assert_eq!(pairs(&headers), expected, "{fields:?}");
    }
}

#[test]
fn cors_headers_of_the_service_are_kept_if_configured() {
    let cors = listed().keep_service_headers(true).build().unwrap();
    let inner: &Fields = &[
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "X-Own"),
        ("vary", "Accept"),
    ];
    for origin in [APP, EVIL] {
        let headers = answer(&cors, "GET", &[("origin", origin)], inner).unwrap();
        assert_eq!(
            pairs(&headers),
            [
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "X-Own"),
                ("vary", "Accept, Origin"),
            ]
        );
    }
    // where it has decided nothing, the policy does
    let stray: &Fields = &[("access-control-allow-credentials", "true")];
    let headers = answer(&cors, "GET", &[("origin", APP)], stray).unwrap();
    assert_eq!(
        pairs(&headers),
        [
            ("access-control-allow-origin", APP),
            ("access-control-expose-headers", EXPOSED),
            ("vary", "Origin"),
        ]
    );
    let headers = answer(&cors, "GET", &[("origin", EVIL)], stray).unwrap();
    assert_eq!(pairs(&headers), [("vary", "Origin")]);
}

#[test]
fn vary_is_merged_and_never_doubled() {
    let cors = listed().build().unwrap();
    let vary = |inner: &Fields| {
        let headers = answer(&cors, "GET", &[], inner).unwrap();
        headers.get_all("vary").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(vary(&[]), ["Origin"]);
    assert_eq!(vary(&[("vary", "Accept-Encoding")]), ["Accept-Encoding, Origin"]);
    assert_eq!(vary(&[("vary", "Accept, ORIGIN")]), ["Accept, ORIGIN"]);
    assert_eq!(vary(&[("vary", "*")]), ["*"]);
}

#[test]
fn grpc_web_status_headers_are_exposed() {
    let cors = listed().grpc_web().expose_headers(["X-Request-Id"]).build().unwrap();
    let headers = answer(&cors, "POST", &[("origin", APP)], &[]).unwrap();
    assert_eq!(
        headers[header::ACCESS_CONTROL_EXPOSE_HEADERS],
        "X-Request-Id, grpc-status, grpc-message, grpc-status-details-bin"
    );
}

#[test]
fn same_origin_only_removes_cors_headers_without_vary() {
    let cors = Cors::same_origin_only();
    let inner: &Fields = &[("access-control-allow-origin", "*")];
    for fields in [&[("origin", APP)] as &Fields, &[]] {
        assert!(answer(&cors, "GET", fields, inner).unwrap().is_empty());
    }
}

#[test]
fn each_path_can_have_its_own_configuration() {
    let public = Cors::builder().any_origin().build().unwrap();
    let cors = listed()
        .allow_credentials(true)
        .on_path("/public", &public)
        .on_path("/public/internal", &Cors::same_origin_only())
        .build()
        .unwrap();
    let allowed = |path: &str, origin| {
        let headers = answer_at(&cors, "GET", path, &[("origin", origin)], &[]).unwrap();
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("access-control-allow-origin"), text("vary"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(allowed("/orders", APP), (some(APP), some("Origin")));
    assert_eq!(allowed("/orders", EVIL), (None, some("Origin")));
    for path in ["/public", "/public/logo.svg?x=/../y"] {
        assert_eq!(allowed(path, EVIL), (some("*"), None), "{path}");
    }
    assert_eq!(allowed("/public/internal/x", APP), (None, None));
    assert_eq!(allowed("/publicity", EVIL), (None, some("Origin")));
    // A path that a router may interpret differently has no configuration (CVE-2026-47676).
    for path in ["/%70ublic", "//public", "/public%2Finternal", "/public/../orders", "/%6Frders"] {
        for origin in [APP, EVIL] {
            assert_eq!(allowed(path, origin), (None, some("Origin")), "{path}");
        }
    }

    let preflight = |path: &str, origin| {
        let fields = [("origin", origin), ("access-control-request-method", "POST")];
        match cors.decide(&head("OPTIONS", path, &fields)) {
            Decision::Now(Err(Halt::Reply(reply))) => reply.status().as_u16(),
            decision => panic!("{decision:?}"),
        }
    };
    assert_eq!(preflight("/orders", APP), 204);
    assert_eq!(preflight("/orders", EVIL), 403);
    assert_eq!(preflight("/public/x", EVIL), 204);
    assert_eq!(preflight("/public/internal", APP), 403);
    assert_eq!(preflight("/public/%2e%2e/orders", APP), 403);
}

#[test]
fn recursive_path_configuration_terminates() {
    let cors = listed().build().unwrap();
    cors.handle().reconfigure(Cors::allow_origins([APP]).on_path("/a", &cors)).unwrap();
    let headers = answer_at(&cors, "GET", "/a/b", &[("origin", APP)], &[]).unwrap();
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
}
