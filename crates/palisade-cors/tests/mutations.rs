//! What is almost a listed origin is not one.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use palisade_core::{Decision, Halt, Policy};
use palisade_cors::Cors;
use proptest::{prelude::*, sample::Index};

const LISTED: [&str; 6] = [
    "https://foo.com",
    "https://bar.com",
    "https://app.example.com",
    "https://app.example.com:8443",
    "http://localhost:3000",
    "https://[2001:db8::1]",
];

/// An origin that an attacker could come up with while looking at a listed one.
fn almost_listed() -> impl Strategy<Value = String> {
    mutations_of(&LISTED).prop_filter("is listed", |origin| !LISTED.contains(&origin.as_str()))
}

fn mutations_of(origins: &'static [&'static str]) -> impl Strategy<Value = String> {
    let listed = move || prop::sample::select(origins);
    let visible = "[!-~]{1,12}";
    let at = |origin: &str, index: &Index| index.index(origin.len());
    prop_oneof![
        (listed(), visible).prop_map(|(origin, suffix)| format!("{origin}{suffix}")),
        (listed(), "[.:/@][a-z0-9.]{1,12}")
            .prop_map(|(origin, suffix)| format!("{origin}{suffix}")),
        (listed(), visible).prop_map(|(origin, prefix)| format!("{prefix}{origin}")),
        (listed(), "[a-z0-9.@-]{1,12}").prop_map(|(origin, prefix)| origin.replacen(
            "://",
            &format!("://{prefix}"),
            1
        )),
        (listed(), listed())
            .prop_map(|(one, other)| format!("{one}{}", &other[other.find("://").unwrap() + 3..])),
        (listed(), listed()).prop_map(|(one, other)| format!("{one}, {other}")),
        (listed(), any::<Index>()).prop_map(move |(origin, index)| {
            let mut bytes = origin.as_bytes().to_vec();
            bytes[at(origin, &index)].make_ascii_uppercase();
            String::from_utf8(bytes).unwrap()
        }),
        listed().prop_map(str::to_ascii_uppercase),
        (listed(), any::<u16>()).prop_map(|(origin, port)| {
            let host = origin.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
            format!("{host}:{port}")
        }),
        (listed(), "[a-z]{1,6}").prop_map(|(origin, scheme)| {
            format!("{scheme}{}", &origin[origin.find("://").unwrap()..])
        }),
        listed().prop_map(|origin| match origin.strip_prefix("https") {
            Some(rest) => format!("http{rest}"),
            None => origin.replacen("http", "https", 1),
        }),
        (listed(), any::<Index>()).prop_map(move |(origin, index)| {
            let (before, after) = origin.split_at(at(origin, &index));
            format!("{before}.{after}")
        }),
        (listed(), any::<Index>()).prop_map(move |(origin, index)| {
            let mut text = origin.to_owned();
            text.remove(at(origin, &index));
            text
        }),
        (listed(), any::<Index>(), "[ -~]").prop_map(move |(origin, index, other)| {
            let mut text = origin.to_owned();
            let at = at(origin, &index);
            text.replace_range(at..=at, &other);
            text
        }),
        (listed(), any::<Index>()).prop_map(move |(origin, index)| {
            let at = at(origin, &index);
            let (before, after) = origin.split_at(at);
            format!("{before}%{:02x}{}", after.as_bytes()[0], &after[1..])
        }),
        // What looks the same to people, and to code that decodes before it compares.
        (listed(), "[\u{430}\u{435}\u{43e}\u{ff0e}\u{200b}\u{2024}\u{e9}]", any::<Index>())
            .prop_map(move |(origin, other, index)| {
                let mut text = origin.to_owned();
                let at = at(origin, &index);
                text.replace_range(at..=at, &other);
                text
            }),
        "[ -~]{0,40}",
    ]
}

/// Two patterns, and origins that they let in and that mutations begin with.
const PATTERNS: [&str; 4] = [
    "https://*.example.com",
    "https://*.ports.example.net:*",
    "http://localhost:*",
    "https://foo.com",
];
const LET_IN: [&str; 6] = [
    "https://a.example.com",
    "https://b.a.example.com",
    "https://a.ports.example.net:8443",
    "https://a.ports.example.net",
    "http://localhost:3000",
    "https://foo.com",
];

/// What the patterns mean, written a second time and in another way.
fn is_let_in(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let default = if scheme == "https" { "443" } else { "80" };
    let port_is_written_well = port.is_none_or(|port| {
        port.parse::<u16>().is_ok_and(|number| number.to_string() == port && number > 0)
            && port != default
    });
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let below = |base: &str| {
        let labels = host.strip_suffix(base).and_then(|rest| rest.strip_suffix('.'));
        host.len() <= 253 && labels.is_some_and(|labels| labels.split('.').all(is_label))
    };
    port_is_written_well
        && match scheme {
            "https" => {
                (below("example.com") && port.is_none())
                    || below("ports.example.net")
                    || origin == "https://foo.com"
            }
            "http" => host == "localhost",
            _ => false,
        }
}

fn has_cors_headers(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

fn head(method: &str, origin: &str) -> http::request::Parts {
    let origin = HeaderValue::from_bytes(origin.as_bytes()).unwrap();
    let request = Request::builder().method(method).header(header::ORIGIN, origin);
    request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET").body(()).unwrap().into_parts().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nearly_listed_origin_never_gets_cors_headers(origin in almost_listed()) {
        let cors = Cors::allow_origins(LISTED).allow_credentials(true).build().unwrap();

        let Decision::Now(Ok(grant)) = cors.decide(&head("GET", &origin)) else {
            panic!("a request that is no preflight passes")
        };
        let (mut response, ()) = Response::new(()).into_parts();
        cors.finish(grant, &mut response);
        prop_assert!(!has_cors_headers(&response.headers));
        prop_assert_eq!(&response.headers[header::VARY], "Origin");

        let Decision::Now(Err(Halt::Reply(reply))) = cors.decide(&head("OPTIONS", &origin)) else {
            panic!("a preflight is answered")
        };
        prop_assert_eq!(reply.status(), StatusCode::FORBIDDEN);
        prop_assert!(!has_cors_headers(reply.headers()));
    }

    #[test]
    fn mutated_origins_match_patterns_exactly(origin in mutations_of(&LET_IN)) {
        let cors = Cors::allow_origins(PATTERNS).allow_credentials(true).build().unwrap();
        let expected = is_let_in(&origin);

        let Decision::Now(Ok(grant)) = cors.decide(&head("GET", &origin)) else {
            panic!("a request that is no preflight passes")
        };
        let (mut response, ()) = Response::new(()).into_parts();
        cors.finish(grant, &mut response);
        let allowed = response.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        prop_assert_eq!(allowed.is_some(), expected);
        prop_assert!(allowed.is_none_or(|allowed| allowed == origin.as_str()));
        prop_assert_eq!(has_cors_headers(&response.headers), expected);
        prop_assert_eq!(&response.headers[header::VARY], "Origin");

        let Decision::Now(Err(Halt::Reply(reply))) = cors.decide(&head("OPTIONS", &origin)) else {
            panic!("a preflight is answered")
        };
        prop_assert_eq!(reply.status() == StatusCode::NO_CONTENT, expected);
        prop_assert_eq!(has_cors_headers(reply.headers()), expected);

        // a page that may not read may not call, in strict mode
        let strict = Cors::allow_origins(PATTERNS).strict(true).build().unwrap();
        prop_assert_eq!(matches!(strict.decide(&head("GET", &origin)), Decision::Now(Ok(_))), expected);
    }

    /// Subdomains of any depth and spelling are allowed, and the same below another host are not.
    #[test]
    fn subdomains_are_allowed_below_their_own_host_only(
        labels in "([a-z0-9_-]{1,8}\\.){1,6}",
        other in "[a-z0-9-]{1,12}",
    ) {
        let listed = |origin: &str| {
            let cors = Cors::allow_origins(PATTERNS).build().unwrap();
            let Decision::Now(Ok(grant)) = cors.decide(&head("GET", origin)) else { panic!() };
            let (mut response, ()) = Response::new(()).into_parts();
            cors.finish(grant, &mut response);
            has_cors_headers(&response.headers)
        };
        let below = |base: &str| format!("https://{labels}{base}");
        prop_assert!(listed(&below("example.com")));
        let others = [
            format!("https://{labels}{other}example.com"),
            format!("https://{labels}example.com.{other}"),
            format!("https://{labels}example.com{other}"),
            format!("https://{labels}example.com:8443"),
            format!("http://{labels}example.com"),
        ];
        for origin in others {
            prop_assert!(!listed(&origin), "{}", origin);
        }
    }

    /// Every valid origin matches itself.
    #[test]
    fn listed_origin_is_echoed(
        origin in "https?://([a-z0-9_-]{1,8}\\.){0,3}[a-z][a-z0-9-]{0,5}(:[1-9][0-9]{3})?",
    ) {
        let cors = Cors::allow_origins([&origin]).build().unwrap();
        let Decision::Now(Ok(grant)) = cors.decide(&head("GET", &origin)) else {
            panic!("a request that is no preflight passes")
        };
        let (mut response, ()) = Response::new(()).into_parts();
        cors.finish(grant, &mut response);
        prop_assert_eq!(&response.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], &origin);
    }

    /// Nothing that a client writes makes the policy panic, or lets a header through that is not listed.
    #[test]
    fn arbitrary_requested_headers_never_panic(
        lines in prop::collection::vec(
            prop_oneof!["[ -~]{0,60}", "(content-type|Authorization|[ ,]){0,30}"],
            0..5,
        ),
    ) {
        let listed = ["authorization", "content-type"];
        let cors = Cors::allow_origins(LISTED).allow_headers(listed).build().unwrap();
        let mut request = head("OPTIONS", LISTED[0]);
        for line in lines {
            let line = HeaderValue::from_str(&line).unwrap();
            request.headers.append(header::ACCESS_CONTROL_REQUEST_HEADERS, line);
        }
        let Decision::Now(Err(Halt::Reply(reply))) = cors.decide(&request) else {
            panic!("a preflight is answered")
        };
        if let Some(allowed) = reply.headers().get(header::ACCESS_CONTROL_ALLOW_HEADERS) {
            for name in allowed.to_str().unwrap().split(',') {
                prop_assert!(listed.contains(&name));
            }
        }
        prop_assert_eq!(reply.status() == StatusCode::NO_CONTENT, has_cors_headers(reply.headers()));
    }
}
