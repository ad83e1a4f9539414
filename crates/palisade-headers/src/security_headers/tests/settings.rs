//! The settings of the builder.

use super::*;

#[test]
fn each_setting_writes_its_header() {
    let pages = SecurityHeaders::pages;
    let referrer = pages().referrer_policy(ReferrerPolicy::StrictOrigin);
    let opener = pages().opener_policy(OpenerPolicy::SameOriginAllowPopups);
    let embedder = pages().embedder_policy(EmbedderPolicy::Credentialless);
    let permissions = pages().permissions_policy(PermissionsPolicy::deny(["usb"]));
    let resource = pages().resource_policy(ResourcePolicy::SameSite);
    let csp = pages().content_security_policy(ContentSecurityPolicy::default_src(["https:"]));
    for (builder, name, expected) in [
        (referrer, "referrer-policy", "strict-origin"),
        (opener, "cross-origin-opener-policy", "same-origin-allow-popups"),
        (embedder, "cross-origin-embedder-policy", "credentialless"),
        (permissions, "permissions-policy", "usb=()"),
        (resource, "cross-origin-resource-policy", "same-site"),
        (csp, "content-security-policy", "default-src https:; frame-ancestors 'self'"),
    ] {
        assert_eq!(values(&builder.build().unwrap(), name, &[]), [expected]);
    }
}

#[test]
fn framing_by_origins_omits_x_frame_options() {
    let framing = Framing::by(["https://portal.example.com"]);
    let security = SecurityHeaders::api().framing(framing).build().unwrap();
    assert!(values(&security, "x-frame-options", &[]).is_empty());
    assert_eq!(
        values(&security, "content-security-policy", &[]),
        ["default-src 'none'; frame-ancestors https://portal.example.com"]
    );
}

#[test]
fn removed_header_is_not_written() {
    for name in [
        "strict-transport-security",
        "x-content-type-options",
        "content-security-policy",
        "cross-origin-resource-policy",
        "x-frame-options",
        "x-xss-protection",
    ] {
        let security = SecurityHeaders::pages().without(name.parse().unwrap()).build().unwrap();
        assert!(values(&security, name, &[]).is_empty(), "{name}");
        assert_eq!(written(&security, &over_https(), &[]).len(), 8, "{name}");
    }
}

#[test]
fn invalid_settings_are_config_errors() {
    let api = SecurityHeaders::api;
    let csp = |source| ContentSecurityPolicy::default_src([source]);
    let value = || HeaderValue::from_static("1");
    for (builder, expected) in [
        (api().without(header::SERVER), "without `server`"),
        (api().without(header::X_XSS_PROTECTION), "without `x-xss-protection`"),
        (
            api().without(header::X_FRAME_OPTIONS).without(header::X_FRAME_OPTIONS),
            "without `x-frame-options`",
        ),
        (
            api()
                .framing(Framing::by(["https://a.example"]))
                .without(header::CONTENT_SECURITY_POLICY),
            "without `content-security-policy`",
        ),
        (api().framing(Framing::by(["a.example"])), "framing `a.example`"),
        (api().content_security_policy(csp("none")), "default_src `none`"),
        (api().content_security_policy_report_only(csp("self")), "default_src `self`"),
        (
            api().content_security_policy_report_only(csp("'self'")),
            "content_security_policy_report_only is",
        ),
        (api().content_security_policy(csp("'self'").report_to("csp")), "report_to `csp`"),
        (
            api()
                .content_security_policy_report_only(csp("'self'").report_to("csp"))
                .reporting_endpoint("other", "/a"),
            "report_to `csp`",
        ),
        (api().permissions_policy(PermissionsPolicy::deny([""; 0])), "permissions_policy is"),
        (
            api().content_security_policy_report_only(csp("'self'").upgrade_insecure_requests()),
            "upgrade_insecure_requests is",
        ),
        (api().reporting_endpoint("CSP", "https://a.example"), "reporting_endpoint `CSP`"),
        (api().reporting_endpoint("csp", "http://a.example"), "reporting_endpoint `http://a"),
        (api().reporting_endpoint("csp", "https://a\", x=\"b"), "reporting_endpoint `https://a"),
        (
            api().reporting_endpoint("csp", "/a").reporting_endpoint("csp", "/b"),
            "reporting_endpoint `csp`",
        ),
        (
            api().header(header::CONTENT_SECURITY_POLICY, value()),
            "header `content-security-policy`",
        ),
        (api().header(header::CONTENT_LENGTH, value()), "header `content-length`"),
        (api().header(header::SET_COOKIE, value()), "header `set-cookie`"),
        (
            api().header(header::ACCESS_CONTROL_ALLOW_ORIGIN, value()),
            "header `access-control-allow-origin`",
        ),
        (api().header(header::SERVER, value()).header(header::SERVER, value()), "header `server`"),
        (api().hsts(crate::Hsts::default().this_host_only().preload()), "hsts `max-age"),
    ] {
        let error = builder.build().expect_err(expected);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn legacy_headers_are_optional() {
    let security = SecurityHeaders::pages().legacy_headers().build().unwrap();
    let lines = written(&security, &over_https(), &[]);
    assert_eq!(lines.len(), 12);
    for line in [
        "x-dns-prefetch-control: off",
        "x-download-options: noopen",
        "x-permitted-cross-domain-policies: none",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line}");
    }
}

#[test]
fn extra_headers_are_written_unless_the_service_sets_them() {
    let value = HeaderValue::from_static;
    let security = SecurityHeaders::api()
        .header(header::SERVER, value("palisade"))
        .header(header::REFERRER_POLICY, value("unsafe-url"))
        .header(HeaderName::from_static("permissions-policy"), value("new-feature=()"))
        .reporting_endpoint("csp", "https://a.example/csp")
        .reporting_endpoint("other", "/other")
        .build()
        .unwrap();
    assert_eq!(values(&security, "server", &[]), ["palisade"]);
    assert_eq!(values(&security, "server", &[("server", "own")]), ["own"]);
    assert_eq!(values(&security, "referrer-policy", &[]), ["unsafe-url"]);
    assert_eq!(values(&security, "permissions-policy", &[]), ["new-feature=()"]);
    assert_eq!(
        values(&security, "reporting-endpoints", &[]),
        ["csp=\"https://a.example/csp\", other=\"/other\""]
    );
}
