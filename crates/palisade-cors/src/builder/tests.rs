use super::*;

fn app() -> CorsBuilder {
    Cors::allow_origins([APP])
}

const APP: &str = "https://app.example.com";

/// Invalid configurations, and parts of their errors.
#[test]
fn invalid_settings_are_config_errors() {
    let any = || Cors::builder().any_origin();
    let table: &[(&str, CorsBuilder, &str)] = &[
        // origins
        ("no origin", Cors::builder(), "allow_origins is not valid: the list is empty"),
        ("an empty list", Cors::allow_origins([""; 0]), "allow_origins is not valid"),
        ("an empty origin", Cors::allow_origins([""]), "allow_origin `` is"),
        ("a star", app().allow_origin("*"), "any_origin()"),
        ("null", app().allow_origin("null"), "allow_origin `null`"),
        (
            "a path",
            app().allow_origin("https://b.com/x"),
            "`https://b.com/x` is not valid: leave out path",
        ),
        ("the second is wrong", app().allow_origin("https://b.com/"), "`https://b.com/`"),
        ("a query", app().allow_origin("https://b.com?x"), "leave out path, query"),
        ("user info", app().allow_origin("https://me@b.com"), "leave out user name"),
        ("upper case", app().allow_origin("https://B.com"), "lower case, `b.com`"),
        ("Unicode", app().allow_origin("https://b\u{fc}cher.example"), "Punycode (`xn--...`)"),
        ("the default port", app().allow_origin("https://b.com:443"), "leave out the port"),
        ("http's default port", app().allow_origin("http://b.com:80"), "leave out the port"),
        ("port 0", app().allow_origin("https://b.com:0"), "from 1 to 65535"),
        ("port 65536", app().allow_origin("https://b.com:65536"), "from 1 to 65535"),
        ("a long IPv6", app().allow_origin("http://[0:0:0:0:0:0:0:1]"), "`[::1]`"),
        ("a short IPv4", app().allow_origin("http://127.1"), "four decimal numbers"),
        ("a file", app().allow_origin("file:///x"), "local web server"),
        // patterns
        ("a star in a label", app().allow_origin("https://a*.b.com"), "whole labels"),
        (
            "a public suffix",
            app().allow_origin("https://*.co.uk"),
            "any person can register a name below `co.uk`",
        ),
        (
            "a private suffix",
            app().allow_origin("https://*.github.io"),
            "insecure_allow_public_suffixes()",
        ),
        (
            "a public suffix with credentials",
            Cors::allow_origins(["https://*.github.io"])
                .allow_credentials(true)
                .insecure_allow_public_suffixes(),
            "would read what the user can",
        ),
        (
            "all subdomains over http, with credentials",
            Cors::allow_origins(["http://*.example.com"]).allow_credentials(true),
            "serve it over https",
        ),
        (
            "null into a private network",
            app().insecure_allow_null().allow_private_network(true),
            "would reach the private network",
        ),
        // any origin
        ("any and listed", app().any_origin(), "`https://app.example.com`"),
        ("any and null", any().insecure_allow_null(), "insecure_allow_null"),
        ("any and a predicate", any().allow_origin_if(|_| true), "allow_origin_if"),
        ("any with credentials", any().allow_credentials(true), "allow_credentials `true`"),
        ("any into a private network", any().allow_private_network(true), "allow_private_network"),
        ("any and strict", any().strict(true), "strict `true`"),
        ("any, alike", any().static_origin(), "static_origin"),
        // credentials
        (
            "credentials over http",
            Cors::allow_origins(["http://app.example.com"]).allow_credentials(true),
            "allow_origin `http://app.example.com` is not valid: serve it over https",
        ),
        (
            "credentials for null",
            app().insecure_allow_null().allow_credentials(true),
            "insecure_allow_null is not valid",
        ),
        (
            "a private network over http",
            Cors::allow_origins(["http://app.example.com"]).allow_private_network(true),
            "remove allow_private_network()",
        ),
        (
            "all exposed with credentials",
            app().expose_headers(["*"]).allow_credentials(true),
            "expose_headers `*`",
        ),
        (
            "all methods with credentials",
            app().any_method().allow_credentials(true),
            "any_method `*`",
        ),
        (
            "all headers with credentials",
            app().any_header_but_authorization().allow_credentials(true),
            "allow_headers `*`",
        ),
        (
            "no credentials over http",
            app().insecure_allow_credentials_over_http(),
            "credentials are not allowed",
        ),
        // methods and headers
        ("Authorization under a star", app().any_header(), "does not cover Authorization"),
        (
            "Authorization listed and left out",
            app().any_header_but_authorization().allow_headers(["Authorization"]),
            "take any_header()",
        ),
        ("methods twice", app().any_method().allow_methods([Method::PUT]), "any_method `*`"),
        ("a trace", app().allow_methods([Method::TRACE]), "allow_methods `TRACE`"),
        ("a connect", app().allow_methods([Method::CONNECT]), "allow_methods `CONNECT`"),
        ("not a token", app().allow_headers(["x trace"]), "allow_headers `x trace`"),
        ("a star header", app().allow_headers(["*"]), "call any_header()"),
        ("a cookie", app().allow_headers(["Cookie"]), "allow_headers `Cookie`"),
        ("an answered cookie", app().expose_headers(["Set-Cookie"]), "expose_headers `Set-Cookie`"),
        // the rest
        ("too long", app().max_age(Duration::from_secs(86_401)), "max_age `86401s`"),
        (
            "half a second",
            app().max_age(Duration::from_millis(500)),
            "max_age `500ms` is not valid: use whole",
        ),
        ("a redirect", app().success_status(StatusCode::FOUND), "success_status `302`"),
        ("a switch", app().success_status(StatusCode::SWITCHING_PROTOCOLS), "success_status `101`"),
        ("a made-up refusal", app().refused_preflight_status(StatusCode::NOT_FOUND), "`404`"),
        ("two, alike", app().allow_origin("https://b.com").static_origin(), "exactly one origin"),
        (
            "a pattern, alike",
            Cors::allow_origins(["http://localhost:*"]).static_origin(),
            "without a `*`",
        ),
        (
            "credentials, alike",
            app().allow_credentials(true).static_origin(),
            "allow_credentials()",
        ),
        ("strict, alike", app().strict(true).static_origin(), "strict()"),
        (
            "a predicate, alike",
            app().allow_origin_if(|_| true).static_origin(),
            "exactly one origin",
        ),
        ("no path", app().on_path("public", &Cors::same_origin_only()), "on_path `public`"),
        ("a slash too many", app().on_path("/public/", &Cors::same_origin_only()), "at the end"),
        ("a template", app().on_path("/public/{*rest}", &Cors::same_origin_only()), "no patterns"),
        (
            "an encoded path",
            app().on_path("/%70ublic", &Cors::same_origin_only()),
            "as clients send it",
        ),
        (
            "a path twice",
            app().on_path("/a", &Cors::same_origin_only()).on_path("/a", &Cors::same_origin_only()),
            "one configuration",
        ),
    ];
    for (what, builder, expected) in table {
        let error = builder.clone().build().expect_err(what);
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
}

#[test]
fn order_of_builder_calls_does_not_matter() {
    assert!(Cors::builder().allow_credentials(true).any_origin().build().is_err());
    assert!(Cors::builder().allow_credentials(true).allow_origin("http://b.com").build().is_err());
}

#[test]
fn harmless_settings_build() {
    let table: &[(&str, CorsBuilder)] = &[
        ("a list", app().allow_origin("https://b.com")),
        ("an origin twice", app().allow_origin("https://app.example.com")),
        ("plain http", Cors::allow_origins(["http://app.example.com"])),
        (
            "loopback with credentials",
            app().allow_origin("http://localhost:3000").allow_credentials(true),
        ),
        ("loopback by address", app().allow_origin("http://[::1]:3000").allow_credentials(true)),
        ("all exposed", app().expose_headers(["*"])),
        ("a day", app().max_age(Duration::from_secs(86_400))),
        ("no time", app().max_age(Duration::ZERO)),
        ("no headers", app().allow_headers([""; 0])),
        ("no methods", app().allow_methods([])),
        ("any origin", Cors::builder().any_origin()),
        ("subdomains", app().allow_origin("https://*.example.com").allow_credentials(true)),
        (
            "every port of this machine",
            app().allow_origin("http://localhost:*").allow_credentials(true),
        ),
        (
            "subdomains of this machine",
            app().allow_origin("http://*.localhost:3000").allow_credentials(true),
        ),
        ("a predicate alone", Cors::builder().allow_origin_if(|_| false)),
        (
            "a lookup alone, with credentials",
            Cors::builder()
                .allow_origin_lookup(|_| async { Ok::<_, std::io::Error>(false) })
                .allow_credentials(true),
        ),
        ("null", app().insecure_allow_null()),
        ("null alone", Cors::builder().insecure_allow_null()),
        (
            "plain http with credentials, written down",
            Cors::allow_origins(["http://app.example.com"])
                .allow_credentials(true)
                .insecure_allow_credentials_over_http(),
        ),
        (
            "a public suffix, written down",
            Cors::allow_origins(["https://*.github.io"]).insecure_allow_public_suffixes(),
        ),
        (
            "all that can be any",
            Cors::builder().any_origin().any_method().any_header_but_authorization(),
        ),
        ("grpc-web with credentials", app().grpc_web().allow_credentials(true)),
        ("a query", app().allow_methods([Method::from_bytes(b"QUERY").unwrap()])),
        ("a path", app().on_path("/public", &Cors::same_origin_only())),
        ("a path of its own host", app().on_path("/v1/a_b-c.d~e", &Cors::same_origin_only())),
        ("one, alike", app().static_origin()),
    ];
    for (what, builder) in table {
        assert!(builder.clone().build().is_ok(), "{what}");
    }
}
