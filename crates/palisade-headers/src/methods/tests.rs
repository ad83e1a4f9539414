use http::Request;
use palisade_core::Halt;

use super::*;

fn orders() -> Methods {
    Methods::at("/orders", [Method::GET, Method::POST])
        .at("/orders/{id}", [Method::GET, Method::PUT, Method::DELETE])
        .at("/hooks", [Method::POST, Method::OPTIONS])
        .build()
        .unwrap()
}

/// The status and `Allow` of an answer, or 200 where the service answers.
fn answer(methods: &Methods, method: &str, uri: &str, fields: &[&str]) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(uri);
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let (status, headers) = match methods.decide(&head) {
        Decision::Now(Ok(())) => return (200, String::new()),
        Decision::Now(Err(Halt::Refuse(error))) => (error.status(), error.headers().clone()),
        Decision::Now(Err(Halt::Reply(reply))) => {
            assert!(reply.body().is_empty());
            (reply.status(), reply.headers().clone())
        }
        Decision::Later(_) => panic!("it decides at once"),
    };
    let allow: Vec<_> = headers.get_all(header::ALLOW).iter().collect();
    assert!(allow.len() <= 1, "Allow comes once");
    let allow = allow.first().map_or("", |allow| allow.to_str().unwrap());
    (status.as_u16(), allow.to_owned())
}

#[test]
fn each_path_has_its_methods() {
    const ORDERS: &str = "GET, HEAD, POST, OPTIONS";
    const ORDER: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
    for (method, uri, status, allow) in [
        ("GET", "/orders", 200, ""),
        ("GET", "/orders?page=2", 200, ""),
        ("HEAD", "/orders", 200, ""),
        ("POST", "/orders", 200, ""),
        ("PUT", "/orders", 405, ORDERS),
        ("TRACE", "/orders", 405, ORDERS),
        ("CONNECT", "/orders", 405, ORDERS),
        ("get", "/orders", 405, ORDERS),
        ("PURGE", "/orders", 405, ORDERS),
        ("OPTIONS", "/orders", 204, ORDERS),
        ("DELETE", "/orders/7", 200, ""),
        ("POST", "/orders/7", 405, ORDER),
        ("OPTIONS", "/orders/7", 204, ORDER),
        ("POST", "/%6frders", 200, ""),
        ("DELETE", "/%6frders", 405, ORDERS),
        // no GET, so no HEAD; and the service answers OPTIONS itself
        ("HEAD", "/hooks", 405, "POST, OPTIONS"),
        ("OPTIONS", "/hooks", 200, ""),
        // elsewhere
        ("GET", "/", 404, ""),
        ("GET", "//orders", 404, ""),
        ("OPTIONS", "/elsewhere", 404, ""),
        ("POST", "/x/../orders", 404, ""),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    ] {
        let expected = (status, allow.to_owned());
        assert_eq!(answer(&orders(), method, uri, &[]), expected, "{method} {uri}");
    }
}

#[test]
fn preflight_passes_but_other_options_requests_do_not() {
    const ORIGIN: &str = "origin: https://app.example.com";
    const METHOD: &str = "access-control-request-method: DELETE";
    for (uri, fields, status) in [
        ("/orders", &[ORIGIN, METHOD][..], 200),
        ("/elsewhere", &[ORIGIN, METHOD], 200),
        ("/orders", &[ORIGIN], 204),
        ("/orders", &[METHOD], 204),
        ("/orders", &[], 204),
    ] {
        assert_eq!(answer(&orders(), "OPTIONS", uri, fields).0, status, "{uri} {fields:?}");
    }
    assert_eq!(answer(&orders(), "PATCH", "/orders", &[ORIGIN, METHOD]).0, 405);
}

#[test]
fn a_header_does_not_override_the_method() {
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        assert_eq!(answer(&orders(), "PATCH", "/orders", &[&format!("{name}: GET")]).0, 405);
        assert_eq!(answer(&orders(), "GET", "/orders", &[&format!("{name}: PATCH")]).0, 200);
    }
}

#[test]
fn general_methods_apply_to_paths_without_their_own() {
    let methods = Methods::allow([Method::GET]).at("/orders", [Method::POST]).build().unwrap();
    for (method, uri, expected) in [
        ("GET", "/", (200, "")),
        ("POST", "/", (405, "GET, HEAD, OPTIONS")),
        ("POST", "/orders", (200, "")),
        ("GET", "/orders", (405, "POST, OPTIONS")),
        ("OPTIONS", "*", (204, "POST, GET, HEAD, OPTIONS")),
    ] {
        let (status, allow) = expected;
        assert_eq!(
            answer(&methods, method, uri, &[]),
            (status, allow.to_owned()),
            "{method} {uri}"
        );
    }
}

#[test]
fn invalid_settings_are_config_errors() {
    let get = || Methods::allow([Method::GET]);
    for (builder, expected) in [
        (Methods::allow([]), "allow is not valid: list a method"),
        (Methods::at("/", []), "at is not valid: list a method"),
        (MethodsBuilder::default(), "at is not valid: list a method"),
        (Methods::allow([Method::TRACE]), "allow `TRACE`"),
        (
            Methods::allow([Method::from_bytes(b"Post").unwrap()]),
            "allow `Post` is not valid: write `POST`",
        ),
        (get().at("orders", [Method::GET]), "at `orders`"),
        (get().at("/x", [Method::GET]).at("/x", [Method::GET]), "at `/x` is not valid: an earlier"),
        (
            get().at("/{a}", [Method::GET]).at("/x", [Method::GET]),
            "at `/x` is not valid: an earlier",
        ),
    ] {
        let error = builder.build().expect_err(expected);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    assert!(get().at("/x", [Method::GET]).at("/{a}", [Method::GET]).build().is_ok());
    assert!(Methods::allow([Method::from_bytes(b"PURGE").unwrap()]).build().is_ok());
}
