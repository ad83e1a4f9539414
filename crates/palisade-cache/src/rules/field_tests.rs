//! Rows about header fields: which requests match, which fields are stored and updated, and what is invalidated.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::{
    directives::Directives,
    fields::remove_unstorable,
    invalidation::{invalidates, same_origin_target},
    tests::headers,
    validation::{freshen, make_conditional},
    vary::{matches, nominated},
};

/// Section 4.1.
#[test]
fn vary_compares_normalized_values() {
    let vary: &[(&str, &[&str], &[&str], bool)] = &[
        ("foo", &["foo: 1"], &["foo: 1"], true),
        ("foo", &["foo: 1"], &["foo: 2"], false),
        ("foo", &["foo: 1"], &[], false),
        ("foo", &[], &["foo: 1"], false),
        ("foo", &[], &["foo:"], false),
        ("foo", &[], &["bar: 1"], true),
        ("foo", &["foo: 1, 2"], &["foo: 1", "foo: 2"], true),
        ("foo", &["foo: 1,2"], &["foo:  1 , 2 "], true),
        ("foo", &["foo: a"], &["foo: A"], false),
        ("foo, bar", &["foo: 1", "bar: 2"], &["bar: 2", "foo: 1"], true),
        ("foo, bar", &["foo: 1", "bar: 2"], &["foo: 1", "bar: 3"], false),
        ("Accept-Language", &["accept-language: en, DE"], &["accept-language: EN,de"], true),
        ("Accept-Language", &["accept-language: en, de"], &["accept-language: de, en"], false),
    ];
    for (vary, stored, presented, expected) in vary {
        let response = headers(&[&format!("vary: {vary}")]);
        let stored = nominated(&headers(stored), &response).unwrap();
        assert_eq!(matches(&stored, &headers(presented)), *expected, "{vary}: {presented:?}");
    }
}

/// Section 3.1.
#[test]
fn connection_and_per_request_fields_are_not_stored() {
    let mut fields = headers(&[
        "connection: x-hop, close",
        "x-hop: 1",
        "keep-alive: timeout=5",
        "transfer-encoding: chunked",
        "upgrade: h2c",
        "proxy-authenticate: Basic",
        "set-cookie: a=b",
        "access-control-allow-origin: https://a.example",
        "access-control-allow-credentials: true",
        "x-request-id: 7",
        "ratelimit: \"default\";r=1",
        "ratelimit-policy: \"default\";q=1",
        "x-ratelimit-remaining: 1",
        "strict-transport-security: max-age=1",
        "content-security-policy: default-src 'self'",
        "x-frame-options: DENY",
        "cache-status: inner; hit",
        "x-secret: 1",
        "x-other: 2",
        "etag: \"a\"",
    ]);
    let directives = Directives::of_headers(&headers(&["cache-control: no-cache=\"x-secret\""]));
    remove_unstorable(&mut fields, &directives, &[header::X_FRAME_OPTIONS, header::SET_COOKIE]);
    let mut left: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["etag", "x-frame-options", "x-other"]);
}

/// Section 4.3.1.
#[test]
fn stored_validators_replace_conditions_of_the_client() {
    let stored = headers(&["etag: \"a\"", "last-modified: Sun, 06 Nov 1994 08:49:37 GMT"]);
    let mut request = headers(&["if-none-match: \"b\", \"c\"", "if-range: \"b\"", "accept: */*"]);
    assert!(make_conditional(&mut request, &stored));
    let expected =
        ["accept: */*", "if-none-match: \"a\"", "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"];
    assert_eq!(request, headers(&expected));
    assert!(!make_conditional(&mut request, &HeaderMap::new()));
    assert_eq!(request, headers(&["accept: */*"]));
}

/// Sections 3.2 and 4.3.4.
#[test]
fn a_304_updates_all_fields_but_those_of_the_content() {
    let before = ["etag: \"a\"", "content-length: 5", "x-a: 1", "x-b: 1", "age: 70"];
    let none = Directives::default();
    let mut stored = headers(&before);
    let update =
        headers(&["etag: W/\"a\"", "content-length: 0", "x-a: 2", "x-a: 3", "x-request-id: 7"]);
    assert!(freshen(&mut stored, &update, &none, &[]));
    assert_eq!(
        stored,
        headers(&["etag: \"a\"", "content-length: 5", "x-a: 2", "x-a: 3", "x-b: 1"])
    );

    let mut stored = headers(&before);
    assert!(!freshen(&mut stored, &headers(&["etag: \"other\"", "x-a: 2"]), &none, &[]));
    assert_eq!(stored, headers(&before));
}

/// Section 4.4.
#[test]
fn successful_unsafe_requests_invalidate() {
    for (method, status, expected) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 303, true),
        ("PATCH", 200, true),
        ("M-SEARCH", 200, true),
        ("POST", 404, false),
        ("POST", 500, false),
        ("GET", 200, false),
        ("HEAD", 200, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
        ("QUERY", 200, false),
    ] {
        let (method, status) =
            (Method::try_from(method).unwrap(), StatusCode::from_u16(status).unwrap());
        assert_eq!(invalidates(&method, status), expected, "{method} {status}");
    }
}

/// Section 4.4: only URIs of the same origin. RFC 3986, section 5.2.
#[test]
fn locations_of_the_same_origin_are_resolved() {
    for (location, expected) in [
        ("/b", Some("/b")),
        ("/b?x=1#part", Some("/b?x=1")),
        ("c", Some("/posts/c")),
        ("../c", Some("/c")),
        ("./", Some("/posts/")),
        ("?x=1", Some("/posts/1?x=1")),
        ("", Some("/posts/1?old")),
        ("https://api.example/b", Some("/b")),
        ("//API.example/b", Some("/b")),
        ("https://other.example/b", None),
        ("https://api.example.evil/b", None),
    ] {
        let response = headers(&[&format!("location: {location}")]);
        let resolved =
            same_origin_target(&response, &header::LOCATION, "api.example", "/posts/1?old");
        assert_eq!(resolved.as_deref(), expected, "{location}");
    }
}
