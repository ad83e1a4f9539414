//! Sessions: where the token is, what of it reaches the store, and who passes.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request};
use palisade_auth::{
    Attempt, Authenticate, CsrfCheck, Identity, SessionStore, Sessions, SessionsBuilder,
};
use palisade_core::{
    ApiError, BoxError, BoxFuture, Decision, Halt, Policy, Principal,
    testing::{Contract, Delay, Script},
};
use proptest::prelude::*;

/// Knows `good`, is down for `down`, and remembers what it was asked.
#[derive(Clone, Debug, Default)]
struct Store {
    asked: Arc<Mutex<Vec<String>>>,
}

impl SessionStore for Store {
    type Claims = u32;

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<u32>>, BoxError>> {
        self.asked.lock().unwrap().push(token.to_owned());
        let found = match token {
            "good" => Ok(Some(Identity::new(7, Principal::new("ada").with_roles(["user"])))),
            "down" => Err("redis at 10.0.0.7 is down".into()),
            _ => Ok(None),
        };
        Box::pin(async move {
            Delay::new(1).await;
            found
        })
    }
}

fn builder() -> SessionsBuilder<Store> {
    Sessions::builder(Store::default())
}

fn in_cookie() -> Sessions<Store> {
    builder().build().unwrap()
}

fn in_bearer() -> Sessions<Store> {
    builder().bearer().build().unwrap()
}

fn in_either() -> Sessions<Store> {
    builder().cookie("sid").bearer().build().unwrap()
}

fn head(method: Method, fields: &[(&str, &str)]) -> request::Parts {
    let request = Request::builder().method(method).uri("/");
    let request = fields.iter().fold(request, |request, (name, value)| {
        request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    request.body(()).unwrap().into_parts().0
}

fn send(
    auth: &Sessions<Store>,
    method: Method,
    fields: &[(&str, &str)],
) -> Result<Identity<u32>, ApiError> {
    let mut head = head(method, fields);
    let outcome = match auth.decide(&head) {
        Decision::Now(outcome) => outcome,
        Decision::Later(decision) => {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(decision)
        }
    };
    match outcome {
        Ok(mut grant) => {
            auth.admit(&mut grant, &mut head);
            let identity =
                Identity::from_extensions(&head.extensions).cloned().expect("an identity is there");
            assert_eq!(head.extensions.get::<Principal>(), Some(identity.principal()));
            Ok(identity)
        }
        Err(Halt::Refuse(error)) => Err(error),
        Err(Halt::Reply(reply)) => panic!("{reply:?}"),
    }
}

fn get(auth: &Sessions<Store>, fields: &[(&str, &str)]) -> Result<Identity<u32>, ApiError> {
    send(auth, Method::GET, fields)
}

fn challenges(headers: &HeaderMap) -> Vec<&str> {
    let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
    challenges.map(|challenge| challenge.to_str().unwrap()).collect()
}

type Fields<'a> = &'a [(&'a str, &'a str)];

const COOKIE: &str = "Cookie realm=\"api\"";
const BEARER: &str = "Bearer realm=\"api\"";

#[test]
fn valid_session_token_passes_from_each_place() {
    #[rustfmt::skip]
    let table = [
        (in_cookie(), ("cookie", "__Host-session=good")),
        (in_cookie(), ("cookie", "a=1; __Host-session=good; b=2")),
        (in_bearer(), ("authorization", "Bearer good")),
        (in_bearer(), ("authorization", "bearer good")),
        (in_either(), ("cookie", "sid=good")),
        (in_either(), ("authorization", "Bearer good")),
    ];
    for (auth, field) in table {
        let identity = get(&auth, &[field]).unwrap();
        assert_eq!((*identity.claims(), identity.principal().subject()), (7, "ada"), "{field:?}");
    }
}

#[test]
fn missing_token_gets_a_challenge_for_each_place() {
    #[rustfmt::skip]
    let table: &[(_, &[&str], Fields<'_>)] = &[
        (in_cookie(), &[COOKIE], &[]),
        (in_cookie(), &[COOKIE], &[("authorization", "Bearer good")]),
        (in_cookie(), &[COOKIE], &[("cookie", "session=good; __host-session=good; __Host-session2=good")]),
        (in_bearer(), &[BEARER], &[]),
        (in_bearer(), &[BEARER], &[("cookie", "__Host-session=good")]),
        (in_bearer(), &[BEARER], &[("authorization", "Basic good")]),
        (in_either(), &[COOKIE, BEARER], &[]),
    ];
    for (auth, expected, fields) in table {
        let error = get(auth, fields).unwrap_err();
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{fields:?}");
        assert_eq!(challenges(error.headers()), *expected, "{fields:?}");
        assert!(matches!(auth.authenticate(&head(Method::POST, fields)), Attempt::Absent(_)));
    }
}

#[test]
fn invalid_token_is_rejected_even_if_optional() {
    let long = "x".repeat(257);
    for token in ["unknown", "", "g o", "go,od", "\"good\"", "g\u{f6}od", "good%00", "=", &long] {
        let (cookie, bearer) = (format!("__Host-session={token}"), format!("Bearer {token}"));
        let error = get(&in_cookie(), &[("cookie", &cookie)]).expect_err(token);
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(challenges(error.headers()), [COOKIE]);
        let error = get(&in_bearer(), &[("authorization", &bearer)]).expect_err(token);
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(challenges(error.headers()), ["Bearer realm=\"api\", error=\"invalid_token\""]);
        assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");

        let optional = in_cookie().optional();
        let decision = optional.decide(&head(Method::GET, &[("cookie", &cookie)]));
        assert!(!matches!(decision, Decision::Now(Ok(_))), "{token}: {decision:?}");
    }
}

#[test]
fn only_well_formed_tokens_reach_the_store() {
    let store = Store::default();
    let auth = Sessions::builder(store.clone()).max_token(8).build().unwrap();
    for token in ["12345678", "123456789", "a b", "", "a\"b"] {
        let _ = get(&auth, &[("cookie", &format!("__Host-session={token}"))]);
    }
    assert_eq!(*store.asked.lock().unwrap(), ["12345678"]);
}

#[test]
fn two_tokens_are_400_even_if_equal() {
    #[rustfmt::skip]
    let table: &[(_, Fields<'_>)] = &[
        (in_cookie(), &[("cookie", "__Host-session=good; __Host-session=good")]),
        (in_cookie(), &[("cookie", "__Host-session=good"), ("cookie", "__Host-session=bad")]),
        (in_bearer(), &[("authorization", "Bearer good"), ("authorization", "Bearer good")]),
        (in_either(), &[("cookie", "sid=good"), ("authorization", "Bearer good")]),
        (in_either(), &[("cookie", "sid=good; sid=x")]),
        (in_either(), &[("cookie", "sid=good; sid=x"), ("authorization", "Bearer good")]),
        (in_either(), &[("cookie", "sid=good"), ("authorization", "Bearer a"), ("authorization", "Basic b")]),
    ];
    for (auth, fields) in table {
        let error = get(auth, fields).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{fields:?}");
        assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
    }
    let error = get(&table[2].0, table[2].1).unwrap_err();
    assert_eq!(challenges(error.headers()), ["Bearer realm=\"api\", error=\"invalid_request\""]);
}

#[test]
fn only_cookies_enable_the_csrf_check() {
    let store = Store::default();
    let auth = Sessions::builder(store.clone()).cookie("sid").bearer().build().unwrap();
    let (cookie, bearer) = (("cookie", "sid=good"), ("authorization", "Bearer good"));
    let evil = ("origin", "https://evil.example");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for fields in [&[cookie][..], &[cookie, evil], &[cookie, ("sec-fetch-site", "same-site")]] {
            let error = send(&auth, method.clone(), fields).unwrap_err();
            assert_eq!((error.status(), error.code()), (StatusCode::FORBIDDEN, "CSRF"));
        }
        assert!(store.asked.lock().unwrap().is_empty(), "the store is not asked");
        let own = [cookie, ("host", "example.com"), ("origin", "https://example.com")];
        assert!(send(&auth, method.clone(), &own).is_ok());
        assert!(send(&auth, method.clone(), &[cookie, ("sec-fetch-site", "same-origin")]).is_ok());
        assert!(send(&auth, method.clone(), &[bearer, evil]).is_ok());
        store.asked.lock().unwrap().clear();
    }
    assert!(get(&auth, &[cookie, evil]).is_ok(), "reading is not changing");
    // without the cookie there is nothing to forge: it is not known who asks, and 401 says so
    let nobody = send(&auth, Method::POST, &[evil]).unwrap_err();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn trusted_origins_pass_the_csrf_check() {
    let check = CsrfCheck::builder().trust_origin("https://app.example.com").build().unwrap();
    let auth = builder().cookie("sid").csrf(check).build().unwrap();
    let from = |origin| {
        let fields = [("cookie", "sid=good"), ("sec-fetch-site", "same-site"), ("origin", origin)];
        send(&auth, Method::POST, &fields)
    };
    assert!(from("https://app.example.com").is_ok());
    assert_eq!(from("https://www.example.com").unwrap_err().code(), "CSRF");
}

#[test]
fn failed_store_is_503() {
    for (auth, field) in [
        (in_cookie(), ("cookie", "__Host-session=down")),
        (in_bearer(), ("authorization", "Bearer down")),
    ] {
        let error = get(&auth, &[field]).unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!error.to_string().contains("10.0.0.7"), "the cause is for the log");
    }
}

#[test]
fn invalid_settings_are_config_errors() {
    #[rustfmt::skip]
    let table = [
        (builder().cookie(""), "cookie"),
        (builder().cookie("a b"), "cookie"),
        (builder().cookie("sid="), "cookie"),
        (builder().cookie("caf\u{e9}"), "cookie"),
        (builder().bearer().csrf(CsrfCheck::new()), "csrf"),
        (builder().max_token(0), "max_token"),
        (builder().realm("a\"b"), "realm"),
        (builder().bearer().realm("a\"b"), "realm"),
    ];
    for (builder, setting) in table {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
}

#[test]
fn keeps_the_policy_contract() {
    let request = || Request::get("/").header("cookie", "sid=good").body(Script::empty()).unwrap();
    Contract::new(request).check_policy(in_either);
    Contract::new(request).check_policy(|| in_either().optional());
    Contract::new(request).check_policy(|| in_either().login_redirect("/login").unwrap());
    let bearer =
        || Request::post("/").header("authorization", "Bearer good").body(Script::empty()).unwrap();
    Contract::new(bearer).check_policy(in_either);
    let page = || {
        let request = Request::post("/").header("sec-fetch-site", "same-origin");
        request.body(Script::empty()).unwrap()
    };
    Contract::new(page).check_policy(CsrfCheck::new);
}

proptest! {
    #[test]
    fn arbitrary_header_values_never_panic_and_never_pass(
        bytes in prop::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8, Just(b'\t')], 0..100),
        start in prop::sample::select(vec!["", "sid=", "sid=good; ", "Bearer ", "a=\"", "https://"]),
        name in prop::sample::select(vec!["cookie", "authorization", "origin", "host", "sec-fetch-site", "upgrade"]),
        method in prop::sample::select(vec![Method::GET, Method::POST]),
    ) {
        let value = HeaderValue::from_bytes(&[start.as_bytes(), &bytes].concat()).unwrap();
        let request = Request::builder().method(method).uri("/").header(name, value);
        let head = request.body(()).unwrap().into_parts().0;
        prop_assert!(!matches!(in_either().decide(&head), Decision::Now(Ok(_))));
        let _ = CsrfCheck::new().check(&head);
    }
}
