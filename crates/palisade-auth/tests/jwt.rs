//! Every check on a token, each with a token that fails only there.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use http::{HeaderMap, Request, header, request};
use palisade_auth::{Identity, Jwt, JwtBuilder, RequireRole, testing::sign_hs256};
use palisade_core::{
    ApiError, Clock, Decision, Halt, ManualClock, Policy, Principal,
    testing::{Contract, Script},
};
use serde::Deserialize;
use serde_json::{Value, json};

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    plan: Option<String>,
}

fn builder() -> JwtBuilder<Claims> {
    Jwt::hs256(SECRET).clock(Arc::new(ManualClock::at(Duration::from_secs(NOW))))
}

fn auth() -> Jwt<Claims> {
    builder().issuer("https://issuer.example").audience("orders").build().unwrap()
}

fn good() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "orders", "sub": "ada", "exp": NOW + 60,
        "nbf": NOW, "iat": NOW, "roles": ["admin"], "scope": "read write", "plan": "pro",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn head(authorization: &[&str]) -> request::Parts {
    let mut request = Request::get("/");
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn ask(auth: &Jwt<Claims>, authorization: &[&str]) -> Result<Identity<Claims>, ApiError> {
    let mut head = head(authorization);
    match auth.decide(&head) {
        Decision::Now(Ok(mut grant)) => {
            auth.admit(&mut grant, &mut head);
            let identity =
                Identity::from_extensions(&head.extensions).cloned().expect("an identity is there");
            assert_eq!(head.extensions.get::<Principal>(), Some(identity.principal()));
            Ok(identity)
        }
        Decision::Now(Err(Halt::Refuse(error))) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn ask_with(claims: &Value) -> Result<Identity<Claims>, ApiError> {
    ask(&auth(), &[&format!("Bearer {}", sign_hs256(SECRET, claims))])
}

fn challenge(error: &ApiError) -> &str {
    let headers: &HeaderMap = error.headers();
    headers[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[test]
fn valid_token_yields_claims_and_principal() {
    let identity = ask_with(&good()).unwrap();
    assert_eq!((&*identity.claims().sub, identity.claims().plan.as_deref()), ("ada", Some("pro")));
    let principal = identity.principal();
    assert_eq!((principal.issuer(), principal.subject()), ("https://issuer.example", "ada"));
    assert!(principal.has_role("admin") && principal.has_scope("write"));
}

#[test]
fn accepts_tokens_of_another_library() {
    // With two backends in the build jsonwebtoken has no default provider.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&header, &good(), &key).unwrap();
    assert!(ask(&auth(), &[&format!("Bearer {token}")]).is_ok());
}

#[test]
fn each_claim_is_checked() {
    #[rustfmt::skip]
    let table = [
        ("no exp", without("exp")),
        ("exp as a string", with("exp", json!("1900000000"))),
        ("negative exp", with("exp", json!(-1))),
        ("null exp", with("exp", Value::Null)),
        ("expired, beyond the skew", with("exp", json!(NOW - 60))),
        ("not yet valid, beyond the skew", with("nbf", json!(NOW + 61))),
        ("issued in the future, beyond the skew", with("iat", json!(NOW + 61))),
        ("no iss", without("iss")),
        ("another iss", with("iss", json!("https://issuer.example/"))),
        ("iss as a list", with("iss", json!(["https://issuer.example"]))),
        ("no aud", without("aud")),
        ("another aud", with("aud", json!("Orders"))),
        ("no audience among many", with("aud", json!(["a", "b"]))),
        ("aud as a number", with("aud", json!(1))),
        ("no sub", without("sub")),
        ("empty sub", with("sub", json!(""))),
        ("claims of another type", with("plan", json!(7))),
    ];
    for (what, claims) in table {
        let error = ask_with(&claims).expect_err(what);
        assert_eq!(error.status(), 401, "{what}");
        assert_eq!(error.code(), "UNAUTHENTICATED", "{what}");
        let description = if what.starts_with("expired") {
            "The access token expired"
        } else {
            "The access token is not valid"
        };
        assert_eq!(
            challenge(&error),
            format!(
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"{description}\""
            ),
            "{what}"
        );
        assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store", "{what}");
    }
}

/// A clock whose coarse time is late, as the system's is.
struct LateClock;

impl Clock for LateClock {
    fn unix(&self) -> Duration {
        Duration::from_secs(NOW)
    }

    fn unix_coarse(&self) -> Duration {
        self.unix() - Duration::from_millis(4)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn token_is_valid_from_its_first_moment() {
    let builder = builder().clock(Arc::new(LateClock)).skew(Duration::ZERO);
    let auth = builder.issuer("https://issuer.example").audience("orders").build().unwrap();
    let token = format!("Bearer {}", sign_hs256(SECRET, &good()));
    for _ in 0..4 {
        assert!(ask(&auth, &[&token]).is_ok());
    }
    for late in ["nbf", "iat"] {
        let token = sign_hs256(SECRET, &with(late, json!(NOW + 1)));
        assert!(ask(&auth, &[&format!("Bearer {token}")]).is_err(), "{late}");
    }
    let expired = sign_hs256(SECRET, &with("exp", json!(NOW - 1)));
    assert!(ask(&auth, &[&format!("Bearer {expired}")]).is_err());
}

#[test]
fn clock_skew_of_a_minute_is_accepted() {
    for claims in [
        with("exp", json!(NOW - 59)),
        with("exp", json!(NOW as f64 + 0.5)),
        with("nbf", json!(NOW + 60)),
        with("iat", json!(NOW + 60)),
        with("aud", json!(["a", "orders"])),
        without("nbf"),
        without("iat"),
        without("roles"),
        with("roles", json!("admin")),
    ] {
        assert!(ask_with(&claims).is_ok(), "{claims}");
    }
}

/// A token with this header and these claims, and a signature that is right.
fn signed(header: &str, claims: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", B64.encode(mac.finalize().into_bytes()))
}

#[test]
fn each_header_parameter_is_checked() {
    let claims = good().to_string();
    let ask = |header: &str| ask(&auth(), &[&format!("Bearer {}", signed(header, &claims))]);
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"application/at+jwt","kid":"any","jku":"https://evil.example"}"#,
    ] {
        assert!(ask(header).is_ok(), "{header}");
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":1,"x":2}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","typ":"secevent+jwt"}"#,
        r#"["HS256"]"#,
        "",
    ] {
        assert_eq!(ask(header).expect_err(header).status(), 401, "{header}");
    }
}

#[test]
fn rejects_malformed_tokens() {
    let token = sign_hs256(SECRET, &good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    for bad in [
        message.to_owned(),
        format!("{message}."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}=="),
        format!("{message}.{}", &signature[..signature.len() - 2]),
        format!("{message}.{signature}AA"),
        sign_hs256("another key of at least thirty-two bytes", &good()),
        sign_hs256(SECRET, &with("pad", json!("x".repeat(8 * 1024)))),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(ask(&auth(), &[&format!("Bearer {bad}")]).expect_err(&bad).status(), 401);
    }
}

#[test]
fn challenge_without_credentials_has_no_error_code() {
    for authorization in [&[][..], &["Basic dXNlcjpwYXNz"], &["Foo a.b.c"]] {
        let error = ask(&auth(), authorization).unwrap_err();
        assert_eq!((error.status().as_u16(), challenge(&error)), (401, "Bearer realm=\"api\""));
    }
}

#[test]
fn two_tokens_are_400() {
    let field = format!("Bearer {}", sign_hs256(SECRET, &good()));
    let error = ask(&auth(), &[&field, &field]).unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(challenge(&error), "Bearer realm=\"api\", error=\"invalid_request\"");
}

#[test]
fn insecure_settings_are_config_errors() {
    let setting =
        |built: Result<Jwt<Claims>, palisade_core::ConfigError>| built.unwrap_err().setting();
    assert_eq!(setting(Jwt::hs256("").audience("a").build()), "secret");
    assert_eq!(setting(Jwt::hs256("x".repeat(31)).audience("a").build()), "secret");
    assert_eq!(setting(builder().build()), "audience");
    assert_eq!(setting(builder().audience("").build()), "audience");
    assert_eq!(setting(builder().audience("a").any_audience().build()), "any_audience");
    assert_eq!(setting(builder().audience("a").issuer("").build()), "issuer");
    assert_eq!(setting(builder().audience("a").realm("a\"b").build()), "realm");
    assert!(builder().any_audience().build().is_ok());
}

#[test]
fn a_secret_is_never_printed() {
    let printed = format!("{:?} {:?}", builder(), auth());
    assert!(!printed.contains("signing key"), "{printed}");
    assert!(!format!("{:?}", ask_with(&good()).unwrap()).contains("pro"));
}

#[test]
fn the_policies_keep_the_contract() {
    let field = format!("Bearer {}", sign_hs256(SECRET, &good()));
    Contract::new(|| {
        Request::get("/").header("authorization", &field).body(Script::empty()).unwrap()
    })
    .check_policy(auth);
    Contract::new(|| {
        let mut request = Request::get("/").body(Script::empty()).unwrap();
        request.extensions_mut().insert(Principal::new("ada").with_roles(["admin"]));
        request
    })
    .check_policy(|| RequireRole::any(["admin"]));
}

proptest::proptest! {
    #[test]
    fn rejects_tokens_with_any_byte_changed(at in 0_usize..400, to in "[A-Za-z0-9_.=-]") {
        let token = sign_hs256(SECRET, &good());
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        if changed != token {
            let refused = ask(&auth(), &[&format!("Bearer {changed}")]).is_err();
            proptest::prop_assert!(refused);
        }
    }

    #[test]
    fn arbitrary_credentials_never_panic(field in "\\PC{0,80}") {
        if let Ok(value) = http::HeaderValue::from_str(&field) {
            let mut head = head(&[]);
            head.headers.insert(header::AUTHORIZATION, value);
            let _ = auth().decide(&head);
        }
    }
}

#[test]
fn token_is_read_from_exactly_one_configured_place() {
    let token = sign_hs256(SECRET, &good());
    let auth = builder()
        .audience("orders")
        .token_in_bearer()
        .token_in_cookie("token")
        .token_in_header(header::HeaderName::from_static("x-access-token"))
        .insecure_token_in_query("access_token")
        .build()
        .unwrap();
    let ask = |path: &str, fields: &[(&str, &str)]| {
        let mut request = Request::get(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        match auth.decide(&request.body(()).unwrap().into_parts().0) {
            Decision::Now(Ok(_)) => 200,
            Decision::Now(Err(Halt::Refuse(error))) => error.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    let bearer = format!("Bearer {token}");
    let cookie = format!("other=1; token={token}");
    let query = format!("/?a=1&access_token={token}");
    assert_eq!(ask("/", &[("authorization", &bearer)]), 200);
    assert_eq!(ask("/", &[("cookie", &cookie)]), 200);
    assert_eq!(ask("/", &[("x-access-token", &token)]), 200);
    assert_eq!(ask(&query, &[]), 200);
    assert_eq!(ask("/", &[]), 401);
    assert_eq!(ask("/", &[("cookie", "token=a.b.c")]), 401);
    // Spring: a token in the header and one in the query is a malformed request, even if they are equal.
    assert_eq!(ask(&query, &[("authorization", &bearer)]), 400);
    assert_eq!(ask("/", &[("authorization", &bearer), ("cookie", &cookie)]), 400);
    assert_eq!(ask("/", &[("cookie", &cookie), ("cookie", &cookie)]), 400);
    assert_eq!(ask("/", &[("x-access-token", &token), ("x-access-token", &token)]), 400);
    assert_eq!(ask(&format!("{query}&access_token={token}"), &[]), 400);
}

#[test]
fn reads_tokens_only_from_authorization_by_default() {
    let token = sign_hs256(SECRET, &good());
    let (head, ()) = Request::get(format!("/?access_token={token}"))
        .header("cookie", format!("token={token}; access_token={token}"))
        .body(())
        .unwrap()
        .into_parts();
    assert!(
        matches!(auth().decide(&head), Decision::Now(Err(Halt::Refuse(error))) if error.status() == 401)
    );
}

#[test]
fn unsafe_request_with_a_cookie_must_be_same_origin() {
    let token = sign_hs256(SECRET, &good());
    let auth = builder().audience("orders").token_in_cookie("__Host-token").build().unwrap();
    let ask = |method: &str, site: Option<&str>| {
        let mut request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "app.example.com")
            .header("cookie", format!("__Host-token={token}"));
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        match auth.decide(&request.body(()).unwrap().into_parts().0) {
            Decision::Now(Ok(_)) => 200,
            Decision::Now(Err(Halt::Refuse(error))) => error.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask("GET", Some("cross-site")), 200);
    assert_eq!(ask("POST", Some("same-origin")), 200);
    assert_eq!(ask("POST", Some("cross-site")), 403);
    assert_eq!(ask("DELETE", Some("same-site")), 403);
    assert_eq!(ask("POST", None), 403);
    let nameless = builder().audience("orders").token_in_cookie("a b").build();
    assert_eq!(nameless.unwrap_err().setting(), "token_in_cookie");
}
