mod settings;

use http::{Request, Response};
use palisade_core::{PeerAddr, TrustedProxies};

use super::*;
use crate::{
    ContentSecurityPolicy, CspNonce, EmbedderPolicy, Framing, OpenerPolicy, PermissionsPolicy,
    ReferrerPolicy, ResourcePolicy,
};

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The headers of a response on which the service wrote `own`, sorted.
fn written(security: &SecurityHeaders, request: &request::Parts, own: Pairs<'_>) -> Vec<String> {
    written_with_room(security, request, own, 0)
}

/// The same, for a response that has room for more headers, as behind other policies of a chain.
fn written_with_room(
    security: &SecurityHeaders,
    request: &request::Parts,
    own: Pairs<'_>,
    room: usize,
) -> Vec<String> {
    let Decision::Now(Ok(grant)) = security.decide(request) else { panic!("it rejects nothing") };
    let (mut response, ()) = Response::new(()).into_parts();
    response.headers.reserve(room);
    for (name, value) in own {
        let name: HeaderName = name.parse().unwrap();
        response.headers.append(name, value.parse().unwrap());
    }
    security.finish(grant, &mut response);
    let pairs = response.headers.iter();
    let mut pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    pairs.sort_unstable();
    pairs
}

fn request(uri: &str) -> request::Parts {
    Request::get(uri).body(()).unwrap().into_parts().0
}

fn over_https() -> request::Parts {
    request("https://api.example.com/")
}

/// All values of one header.
fn values(security: &SecurityHeaders, name: &str, own: Pairs<'_>) -> Vec<String> {
    let start = format!("{name}: ");
    let lines = written(security, &over_https(), own);
    lines.iter().filter_map(|line| line.strip_prefix(&start).map(str::to_owned)).collect()
}

#[test]
fn api_preset_writes_six_headers() {
    let security = SecurityHeaders::api().build().unwrap();
    assert_eq!(
        written(&security, &over_https(), &[]),
        [
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "cross-origin-resource-policy: same-origin",
            "referrer-policy: no-referrer",
            "strict-transport-security: max-age=31536000; includeSubDomains",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
        ]
    );
}

#[test]
fn page_headers_equal_helmet_with_a_stricter_csp() {
    let security = SecurityHeaders::pages().build().unwrap();
    assert_eq!(
        written(&security, &over_https(), &[]),
        [
            "content-security-policy: default-src 'self'; base-uri 'self'; form-action 'self'; \
             object-src 'none'; frame-ancestors 'self'",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "origin-agent-cluster: ?1",
            "referrer-policy: no-referrer",
            "strict-transport-security: max-age=31536000; includeSubDomains",
            "x-content-type-options: nosniff",
            "x-frame-options: SAMEORIGIN",
            "x-xss-protection: 0",
        ]
    );
}

#[test]
fn hsts_is_written_over_https_only() {
    const PROXY: [u8; 4] = [10, 0, 0, 1];
    const STRANGER: [u8; 4] = [203, 0, 113, 7];
    let by_uri = || SecurityHeaders::api();
    let always = || SecurityHeaders::api().always_https();
    let by_proxy = || {
        let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
        SecurityHeaders::api().https_by_proxy(&proxies)
    };
    for (security, uri, peer, protos, expected) in [
        (by_uri(), "/", PROXY, &[][..], false),
        (by_uri(), "/", PROXY, &["https"], false),
        (by_uri(), "http://a.example/", PROXY, &["https"], false),
        (by_uri(), "https://a.example/", STRANGER, &[], true),
        (always(), "/", STRANGER, &[], true),
        (always(), "http://a.example/", PROXY, &["http"], true),
        (by_proxy(), "/", PROXY, &[], false),
        (by_proxy(), "/", PROXY, &["https"], true),
        (by_proxy(), "/", PROXY, &["HTTPS"], true),
        (by_proxy(), "/", PROXY, &["https, https"], true),
        (by_proxy(), "/", PROXY, &["https, http"], false),
        (by_proxy(), "/", PROXY, &["http", "https"], false),
        (by_proxy(), "/", PROXY, &[""], false),
        (by_proxy(), "/", PROXY, &["httpsx"], false),
        (by_proxy(), "https://a.example/", PROXY, &[], true),
        (by_proxy(), "https://a.example/", PROXY, &["http"], false),
        (by_proxy(), "/", STRANGER, &["https"], false),
        (by_proxy(), "https://a.example/", STRANGER, &["http"], true),
    ] {
        let mut head = request(uri);
        head.extensions.insert(PeerAddr((peer, 4000).into()));
        for proto in protos {
            head.headers.append("x-forwarded-proto", proto.parse().unwrap());
        }
        let security = security.build().unwrap();
        let lines = written(&security, &head, &[]);
        let has = lines.iter().any(|line| line.starts_with("strict-transport-security: "));
        assert_eq!(has, expected, "{:?} {uri} {peer:?} {protos:?}", security.0.https);
        assert_eq!(lines.len(), if expected { 6 } else { 5 });
    }
}

#[test]
fn headers_of_the_service_are_kept_and_not_duplicated() {
    let security = SecurityHeaders::pages()
        .embedder_policy(EmbedderPolicy::RequireCorp)
        .permissions_policy(PermissionsPolicy::deny(["camera"]))
        .content_security_policy_report_only(
            ContentSecurityPolicy::default_src(["'none'"]).report_uri(["/reports"]),
        )
        .build()
        .unwrap();
    for (name, own) in [
        ("strict-transport-security", "max-age=0"),
        ("x-content-type-options", "none"),
        ("referrer-policy", "unsafe-url"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "default-src *"),
        ("content-security-policy-report-only", "default-src *"),
        ("cross-origin-opener-policy", "unsafe-none"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cross-origin-embedder-policy", "unsafe-none"),
        ("origin-agent-cluster", "?0"),
        ("permissions-policy", "camera=*"),
        ("x-xss-protection", "1"),
    ] {
        assert_eq!(values(&security, name, &[(name, own)]), [own]);
        assert_eq!(values(&security, name, &[(name, "")]), [""]);
        assert_eq!(values(&security, name, &[]).len(), 1, "{name}");
    }
    let two =
        [("content-security-policy", "default-src a"), ("content-security-policy", "img-src b")];
    assert_eq!(values(&security, "content-security-policy", &two), ["default-src a", "img-src b"]);
}

#[test]
fn unrelated_headers_of_the_service_are_unchanged() {
    let security = SecurityHeaders::api().build().unwrap();
    let own = [("set-cookie", "a=1"), ("etag", "x"), ("set-cookie", "b=2")];
    assert_eq!(values(&security, "set-cookie", &own), ["a=1", "b=2"]);
    assert_eq!(values(&security, "etag", &own), ["x"]);
    assert_eq!(values(&security, "x-frame-options", &own), ["DENY"]);
    // Without the preset's header, the one of the service still controls framing.
    let security = SecurityHeaders::api().without(header::X_FRAME_OPTIONS).build().unwrap();
    let own = [("x-frame-options", "SAMEORIGIN")];
    assert_eq!(values(&security, "content-security-policy", &own), ["default-src 'none'"]);
}

#[test]
fn headers_are_the_same_with_and_without_room() {
    let presets = [SecurityHeaders::api(), SecurityHeaders::pages().legacy_headers()];
    for security in presets.map(|preset| preset.build().unwrap()) {
        for own in [
            &[][..],
            &[("etag", "x"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
            &[("referrer-policy", "origin"), ("etag", "x")],
            &[("x-frame-options", "SAMEORIGIN")],
            &[("access-control-allow-origin", "*")],
            &[("access-control-allow-origin", "https://app.example.com"), ("vary", "Origin")],
        ] {
            for uri in ["/", "https://api.example.com/"] {
                let with_room = written_with_room(&security, &request(uri), own, 40);
                assert_eq!(with_room, written(&security, &request(uri), own), "{own:?}");
                assert!(with_room.len() >= own.len() + 4, "{with_room:?}");
            }
        }
    }
}

#[test]
fn framing_headers_of_the_service_take_precedence() {
    let security = SecurityHeaders::api().build().unwrap();
    let own = [("x-frame-options", "SAMEORIGIN")];
    assert_eq!(values(&security, "content-security-policy", &own), ["default-src 'none'"]);
    assert_eq!(values(&security, "x-frame-options", &own), ["SAMEORIGIN"]);
    // If the service's policy has no frame-ancestors, X-Frame-Options applies.
    let own = [("content-security-policy", "default-src 'self'")];
    assert_eq!(values(&security, "x-frame-options", &own), ["DENY"]);
}

#[test]
fn cors_star_relaxes_the_resource_policy() {
    let unsaid = SecurityHeaders::api().build().unwrap();
    let said = SecurityHeaders::api().resource_policy(ResourcePolicy::SameOrigin).build().unwrap();
    for (security, allow_origin, expected) in [
        (&unsaid, "*", "cross-origin"),
        (&unsaid, "https://app.example.com", "same-origin"),
        (&unsaid, "null", "same-origin"),
        (&said, "*", "same-origin"),
    ] {
        let own = [("access-control-allow-origin", allow_origin)];
        assert_eq!(values(security, "cross-origin-resource-policy", &own), [expected]);
    }
    let own = [("access-control-allow-origin", "*"), ("cross-origin-resource-policy", "same-site")];
    assert_eq!(values(&unsaid, "cross-origin-resource-policy", &own), ["same-site"]);
}

#[test]
fn invalid_x_frame_options_do_not_disable_frame_ancestors() {
    let security = SecurityHeaders::api().build().unwrap();
    let is_protected = |own: &[&str]| {
        let own: Vec<_> = own.iter().map(|value| ("x-frame-options", *value)).collect();
        values(&security, "content-security-policy", &own)[0].contains("frame-ancestors 'none'")
    };
    for own in ["SAMEORIGIN", "deny", " SameOrigin "] {
        assert!(!is_protected(&[own]), "{own}");
    }
    for own in [
        &["ALLOW-FROM https://partner.example"][..],
        &["ALLOWALL"],
        &[""],
        &["SAMEORIGIN, DENY"],
        &["SAMEORIGIN", "DENY"],
    ] {
        assert!(is_protected(own), "{own:?}");
    }
}

#[test]
fn request_and_response_share_a_fresh_nonce() {
    let csp = ContentSecurityPolicy::default_src(["'self'"])
        .script_src([ContentSecurityPolicy::NONCE, "'strict-dynamic'"])
        .style_src([ContentSecurityPolicy::NONCE]);
    let report_only =
        ContentSecurityPolicy::default_src([ContentSecurityPolicy::NONCE]).report_uri(["/reports"]);
    let security = SecurityHeaders::pages()
        .content_security_policy(csp)
        .content_security_policy_report_only(report_only)
        .build()
        .unwrap();
    let mut seen = Vec::new();
    for own in [None, Some("DENY")] {
        let mut head = request("/");
        let Decision::Now(Ok(mut grant)) = security.decide(&head) else { panic!("it passes") };
        security.admit(&mut grant, &mut head);
        let nonce = head.extensions.get::<CspNonce>().expect("the handler can read it").clone();
        let (mut response, ()) = Response::new(()).into_parts();
        if let Some(own) = own {
            response.headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static(own));
        }
        security.finish(grant, &mut response);
        let frames = if own.is_none() { "; frame-ancestors 'self'" } else { "" };
        assert_eq!(
            response.headers[header::CONTENT_SECURITY_POLICY],
            format!(
                "default-src 'self'; script-src 'nonce-{nonce}' 'strict-dynamic'; \
                 style-src 'nonce-{nonce}'{frames}"
            )
        );
        assert_eq!(
            response.headers[header::CONTENT_SECURITY_POLICY_REPORT_ONLY],
            format!("default-src 'nonce-{nonce}'; report-uri /reports")
        );
        assert!(!seen.contains(&nonce));
        seen.push(nonce);
    }
}

#[test]
fn full_header_map_gets_what_fits_and_never_panics() {
    let security = SecurityHeaders::pages().always_https().build().unwrap();
    for room in [0, 1, 3] {
        let Decision::Now(Ok(grant)) = security.decide(&request("/")) else { panic!("it passes") };
        let (mut response, ()) = Response::new(()).into_parts();
        for number in 0..24_576 - room {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            response.headers.insert(name, HeaderValue::from_static("1"));
        }
        security.finish(grant, &mut response);
        assert_eq!(response.headers.len(), 24_576);
        assert_eq!(response.headers.contains_key(header::CONTENT_SECURITY_POLICY), room > 0);
    }
}
