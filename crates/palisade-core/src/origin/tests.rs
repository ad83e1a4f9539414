use http::HeaderValue;
use proptest::{prelude::*, sample::Index};

use super::*;

#[test]
fn accepts_origins_as_browsers_send_them() {
    let long = format!("https://{}.{}.example", "a".repeat(63), "b".repeat(63));
    for origin in [
        "https://example.com",
        "https://app.example.com",
        "https://example.com:8443",
        "https://example.com:80",
        "http://example.com:443",
        "http://example.com:1",
        "http://example.com:65535",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://[2001:db8::1]",
        "https://[2001:db8:0:1:1:1:1:1]",
        "https://[::ffff:102:304]",
        "https://[::102:304]",
        "https://[::ffff:0:0]",
        "https://[::]",
        "https://xn--bcher-kva.example",
        "https://my_app.example-1.com",
        "https://1.example",
        "https://1e100.net",
        "https://0x.example",
        &long,
    ] {
        let parsed = Origin::parse(origin).unwrap_or_else(|error| panic!("{origin}: {error}"));
        assert_eq!(parsed.as_str(), origin);
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        assert_eq!(format!("{}{port}", parsed.without_port()), origin);
        assert!(parsed.without_port().ends_with(parsed.host()));
        assert_eq!(parsed.is_https(), origin.starts_with("https"));
        assert_eq!(Origin::from_header(&HeaderValue::from_str(origin).unwrap()), Some(parsed));
    }
}

#[test]
fn accepts_origins_of_extensions_and_apps() {
    for (text, scheme, host, port) in [
        (
            "chrome-extension://knldjmfmopnpolahpmmgbagdohdnhkik",
            "chrome-extension",
            "knldjmfmopnpolahpmmgbagdohdnhkik",
            None,
        ),
        (
            "moz-extension://53b1d2e0-0f39-4f7c-8f4c-0c0a2f0b0f0a",
            "moz-extension",
            "53b1d2e0-0f39-4f7c-8f4c-0c0a2f0b0f0a",
            None,
        ),
        (
            "safari-web-extension://53B1D2E0-0F39-4F7C-8F4C-0C0A2F0B0F0A",
            "safari-web-extension",
            "53B1D2E0-0F39-4F7C-8F4C-0C0A2F0B0F0A",
            None,
        ),
        ("capacitor://localhost", "capacitor", "localhost", None),
        ("ionic://localhost:80", "ionic", "localhost", Some(80)),
        ("tauri://localhost", "tauri", "localhost", None),
        ("vscode-webview://0fvr4b7g2k", "vscode-webview", "0fvr4b7g2k", None),
        ("app://obsidian.md", "app", "obsidian.md", None),
        ("com.example.app+1://127.0.0.1", "com.example.app+1", "127.0.0.1", None),
    ] {
        let origin = Origin::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((origin.as_str(), origin.scheme(), origin.host()), (text, scheme, host));
        assert_eq!(origin.port(), port);
        assert!(!origin.is_https() && !origin.is_forgeable() && !origin.is_loopback(), "{text}");
        let host = text.split_once("://").unwrap().1;
        assert!(!origin.is_of_host(host) && !origin.is_of_host(origin.host()), "{text}");
        assert_eq!(Origin::from_header(&HeaderValue::from_static(text)), Some(origin));
    }
}

#[test]
fn origin_that_never_matches_is_an_error_with_a_remedy() {
    let long_label = format!("https://{}.example", "a".repeat(64));
    let long_host = format!("https://{}example", "a.".repeat(130));
    let table: &[(&str, &str)] = &[
        ("*", "write it in full"),
        ("null", "sandboxed"),
        ("NULL", "sandboxed"),
        ("file:", "local web server"),
        ("file:///home/me/index.html", "local web server"),
        ("", "write it in full"),
        ("example.com", "write it in full"),
        ("localhost:3000", "write it in full"),
        ("//example.com", "write it in full"),
        ("https:example.com", "write it in full"),
        ("ftp://example.com", "no page has an origin of the scheme ftp"),
        ("wss://example.com", "no page has an origin of the scheme wss"),
        ("data://x", "no page has an origin of the scheme data"),
        ("blob:https://example.com", "begin it with a scheme"),
        (" https://example.com", "begin it with a scheme"),
        ("://example.com", "begin it with a scheme"),
        ("1app://localhost", "begin it with a scheme"),
        ("app_1://localhost", "begin it with a scheme"),
        ("Chrome-Extension://abcdef", "lower case, `chrome-extension`"),
        ("chrome-extension://", "name a host"),
        ("chrome-extension://abcdef/", "trailing slash: `chrome-extension://abcdef`"),
        ("chrome-extension://abcdef/page.html", "leave out path"),
        ("chrome-extension://*", "no patterns"),
        ("chrome-extension://me@abcdef", "user name"),
        ("tauri://local%68ost", "letters, digits"),
        ("tauri://b\u{fc}cher", "letters, digits"),
        ("app://[::1]", "letters, digits"),
        ("capacitor://localhost:", "a port is a number"),
        ("capacitor://localhost:0", "a port is a number"),
        ("HTTPS://example.com", "lower case, `https`"),
        ("https://example.com/", "trailing slash: `https://example.com`"),
        ("https://example.com:8443/", "trailing slash: `https://example.com:8443`"),
        ("https://example.com/app", "leave out path"),
        ("https://example.com//", "leave out path"),
        ("https://example.com?x=1", "leave out path"),
        ("https://example.com#top", "leave out path"),
        ("https://example.com\\", "leave out path"),
        ("https://me@example.com", "user name"),
        ("https://me:secret@example.com", "user name"),
        ("https://example.com,https://example.org", "leave out path"),
        ("https://example.com,example.org", "each origin by itself"),
        ("https://example.com ", "each origin by itself"),
        ("https://*.example.com", "no patterns"),
        ("http://localhost:*", "no patterns"),
        ("https://", "name a host"),
        ("https://:8443", "name a host"),
        ("https://App.example.com", "lower case, `app.example.com`"),
        ("https://bücher.example", "Punycode (`xn--...`)"),
        ("https://example.com.", "dot at the end"),
        ("https://.example.com", "a dot too many"),
        ("https://app..example.com", "a dot too many"),
        ("https://exa%6dple.com", "letters, digits"),
        ("https://example.com\t", "letters, digits"),
        ("https://example.com\r\nx: y", "each origin by itself"),
        (&long_label, "63 between"),
        (&long_host, "253 bytes"),
        ("https://example.com:", "a number from 1"),
        ("https://example.com:0", "a number from 1"),
        ("https://example.com:08443", "a number from 1"),
        ("https://example.com:+8443", "a number from 1"),
        ("https://example.com:65536", "a number from 1"),
        ("https://example.com:https", "a number from 1"),
        ("https://example.com:443", "leave out the port"),
        ("http://example.com:80", "leave out the port"),
        ("http://[::1]:80", "leave out the port"),
        ("http://127.1", "four decimal numbers"),
        ("http://2130706433", "four decimal numbers"),
        ("http://127.0.0.256", "four decimal numbers"),
        ("http://127.0.0.01", "four decimal numbers"),
        ("http://0x7f.0.0.0x1", "four decimal numbers"),
        ("http://1.2.3.4.5", "four decimal numbers"),
        ("http://::1", "in brackets"),
        ("http://::1:8080", "in brackets"),
        ("http://[::1", "close the bracket"),
        ("http://[::1]8080", "nothing but a port"),
        ("http://[]", "write an IPv6 address"),
        ("http://[fe80::1%eth0]", "write an IPv6 address"),
        ("http://[::1::]", "write an IPv6 address"),
        ("http://[0:0:0:0:0:0:0:1]", "`[::1]`"),
        ("http://[2001:0db8::1]", "`[2001:db8::1]`"),
        ("http://[2001:DB8::1]", "`[2001:db8::1]`"),
        ("http://[2001:db8::1:1:1:1:1]", "`[2001:db8:0:1:1:1:1:1]`"),
        ("http://[::ffff:1.2.3.4]", "`[::ffff:102:304]`"),
    ];
    for (origin, remedy) in table {
        let message = Origin::parse(origin).expect_err(origin).to_string();
        assert!(message.contains(remedy), "{origin}: {message} does not say {remedy}");
        let header = HeaderValue::from_bytes(origin.as_bytes());
        assert!(
            header.is_ok_and(|value| Origin::from_header(&value).is_none())
                || origin.contains(['\r', '\t'])
        );
    }
}

#[test]
fn plain_http_origin_is_forgeable_unless_loopback() {
    for (origin, forgeable) in [
        ("https://example.com", false),
        ("http://localhost:3000", false),
        ("http://127.0.0.1", false),
        ("http://[::1]:3000", false),
        ("http://example.com", true),
        ("http://localhost.example.com", true),
        ("http://127.0.0.2", false),
        ("http://app.localhost:3000", false),
        ("http://evillocalhost", true),
        ("http://127.0.0.1.example.com", true),
        ("http://192.168.1.10:3000", true),
    ] {
        assert_eq!(Origin::parse(origin).unwrap().is_forgeable(), forgeable, "{origin}");
    }
}

#[test]
fn same_origin_requires_equal_host_and_port() {
    #[rustfmt::skip]
    let table = [
        ("https://example.com", "example.com", true),
        ("https://example.com", "EXAMPLE.com", true),
        ("https://example.com", "example.com:443", true),
        ("http://example.com", "example.com:80", true),
        ("http://localhost:3000", "localhost:3000", true),
        ("http://[::1]:3000", "[::1]:3000", true),
        ("https://example.com", "example.com:80", false),
        ("https://example.com:8443", "example.com", false),
        ("https://example.com", "example.com:8443", false),
        ("https://evilexample.com", "example.com", false),
        ("https://example.com.evil.example", "example.com", false),
        ("https://example.com", "", false),
        ("https://example.com", ":443", false),
    ];
    for (origin, host, expected) in table {
        assert_eq!(Origin::parse(origin).unwrap().is_of_host(host), expected, "{origin} {host}");
    }
}

#[test]
fn rejects_headers_that_are_not_one_origin() {
    for value in [
        &b""[..],
        b"null",
        b"https://example.com https://example.org",
        b"https://example.com,https://example.org",
        b"https://b\xc3\xbccher.example",
        b"https://example.com\xff",
        &[b'x'; 65536],
        &[b"https://".as_slice(), &[b'a'; 65536]].concat(),
    ] {
        let value = HeaderValue::from_bytes(value).unwrap();
        assert_eq!(Origin::from_header(&value), None, "{value:?}");
    }
}

/// Origins with one or two changed bytes.
fn nearly_an_origin() -> impl Strategy<Value = String> {
    let origin =
        "https?://([a-z0-9_-]{1,6}\\.){0,3}(0x|[0-9]{1,3}|[a-z]{1,4})[a-z0-9-]{0,4}(:[0-9]{0,6})?";
    let long = "https://[a-z]{60,66}\\.([a-z]{63}\\.){0,4}[a-z]{1,70}";
    (prop_oneof![4 => origin, 1 => long], prop::option::of((any::<Index>(), "[ -~]{0,2}")))
        .prop_map(|(mut text, change)| {
            if let Some((index, other)) = change {
                let at = index.index(text.len());
                text.replace_range(at..=at, &other);
            }
            text
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn fast_path_agrees_with_the_full_parser(text in nearly_an_origin()) {
        if let Some(origin) = Origin::with_a_name(&text) {
            prop_assert_eq!(Ok(origin), Origin::read_closely(&text));
        } else if let Ok(origin) = Origin::read_closely(&text) {
            let host = origin.host();
            let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
            let is_nearly_a_number = host.rsplit('.').next().unwrap().starts_with("0x");
            let is_of_the_web = matches!(origin.scheme(), "http" | "https");
            prop_assert!(!is_of_the_web || is_address || is_nearly_a_number, "{}", origin);
        }
    }
}
