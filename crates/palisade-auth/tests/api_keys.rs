//! API keys: every way to be refused, and the ways to pass.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode, header, request};
use palisade_auth::{
    ApiKey, ApiKeyLookup, ApiKeyRecord, ApiKeyStore, ApiKeys, Authenticate, Identity,
    InMemoryApiKeys, Jwt, testing::sign_hs256,
};
use palisade_core::{
    ApiError, Decision, Halt, ManualClock, Policy, Principal, any_of,
    testing::{Contract, Delay, Script},
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const NOW: u64 = 1_800_000_000;
const KEY: &str = "acme_k1.a-good_SECRET";
const CHALLENGE: &str = "ApiKey realm=\"api\"";

fn record(id: &str, secret: &str) -> ApiKeyRecord {
    let owner = Principal::new("billing")
        .issued_by("acme")
        .with_roles(["service"])
        .with_scopes(["invoices:read"]);
    ApiKeyRecord::new(id, Sha256::digest(secret).into(), owner)
}

fn store() -> InMemoryApiKeys {
    let expires = |id, at| record(id, "a-good_SECRET").expires_at(Duration::from_secs(at));
    InMemoryApiKeys::from_iter([
        record("k1", "a-good_SECRET"),
        record("k2", "another"),
        expires("soon", NOW + 1),
        expires("just", NOW),
        expires("long", 1),
        // a hash that an attacker would like an unknown key to have
        ApiKeyRecord::new("zero", [0; 32], Principal::new("zero")),
    ])
}

fn auth() -> ApiKeys<InMemoryApiKeys> {
    let clock = ManualClock::at(Duration::from_secs(NOW));
    ApiKeys::builder("acme", store()).clock(Arc::new(clock)).build().unwrap()
}

fn head(fields: &[(&str, &str)]) -> request::Parts {
    let request = fields.iter().fold(Request::get("/"), |request, (name, value)| {
        request.header(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    request.body(()).unwrap().into_parts().0
}

fn ask<P>(auth: &P, fields: &[(&str, &str)]) -> Result<Identity<ApiKey>, ApiError>
where
    P: Policy<Grant = Option<Identity<ApiKey>>>,
{
    let mut head = head(fields);
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

fn challenge(error: &ApiError) -> &str {
    error.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[test]
fn valid_key_passes_in_either_header() {
    let authorization = format!("ApiKey {KEY}");
    let lower = format!("apikey {KEY}");
    for field in
        [("x-api-key", KEY), ("authorization", &*authorization), ("authorization", &*lower)]
    {
        let identity = ask(&auth(), &[field]).unwrap();
        assert_eq!((identity.claims().id(), identity.claims().expires()), ("k1", None));
        let principal = identity.principal();
        assert_eq!((principal.issuer(), principal.subject()), ("acme", "billing"));
        assert!(principal.has_role("service") && principal.has_scope("invoices:read"));
    }
    // Credentials of another scheme are ignored.
    let basic = [("x-api-key", KEY), ("authorization", "Basic YTpi")];
    assert!(ask(&auth(), &basic).is_ok());
}

#[test]
fn in_memory_key_is_checked_synchronously() {
    let decision = auth().decide(&head(&[("x-api-key", KEY)]));
    assert!(matches!(decision, Decision::Now(Ok(Some(_)))), "{decision:?}");
}

#[test]
fn all_invalid_keys_get_the_same_response() {
    let long = format!("acme_k1.{}", "s".repeat(10_000));
    #[rustfmt::skip]
    let table = [
        "acme_k1.a-good_SECREt", "acme_k1.a-good_SECRE", "acme_k1.a-good_SECRETs", "acme_k1.another",
        "acme_k2.a-good_SECRET", "acme_K1.a-good_SECRET", "acme_unknown.a-good_SECRET", "acme_zero.x",
        "acme_k1.", "acme_.a-good_SECRET", "acme_k1", "k1.a-good_SECRET", "other_k1.a-good_SECRET",
        "acme-k1.a-good_SECRET", "acme_k1:a-good_SECRET", "acme_k1.a-good_SECRET, acme_k1.a-good_SECRET",
        "ApiKey acme_k1.a-good_SECRET", "acme_k1.a-good_SECRET=", "\u{e9}", "", &long,
    ];
    for key in table {
        let authorization = format!("ApiKey {key}");
        for field in [("x-api-key", key), ("authorization", &authorization)] {
            let error = ask(&auth(), &[field]).expect_err(key);
            assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{field:?}");
            assert_eq!(error.message(), "the API key is not valid", "{field:?}");
            assert_eq!(challenge(&error), CHALLENGE);
            assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}

#[test]
fn missing_key_gets_a_challenge() {
    for fields in [&[][..], &[("authorization", "Bearer acme_k1.a-good_SECRET")]] {
        let error = ask(&auth(), fields).unwrap_err();
        assert_eq!((error.status(), challenge(&error)), (StatusCode::UNAUTHORIZED, CHALLENGE));
    }
    assert!(matches!(auth().optional().decide(&head(&[])), Decision::Now(Ok(None))));
    let bad = auth().optional().decide(&head(&[("x-api-key", "acme_k1.wrong")]));
    assert!(matches!(bad, Decision::Now(Err(Halt::Refuse(_)))), "present and invalid: {bad:?}");
}

#[test]
fn two_keys_are_400_even_if_both_are_valid() {
    let authorization = format!("ApiKey {KEY}");
    #[rustfmt::skip]
    let table: &[&[(&str, &str)]] = &[
        &[("x-api-key", KEY), ("x-api-key", KEY)],
        &[("x-api-key", KEY), ("x-api-key", "")],
        &[("x-api-key", KEY), ("authorization", &authorization)],
        &[("authorization", &authorization), ("authorization", &authorization)],
        &[("authorization", &authorization), ("authorization", "Basic YTpi")],
        &[("x-api-key", KEY), ("authorization", "Basic YTpi"), ("authorization", "Bearer x")],
    ];
    for fields in table {
        let error = ask(&auth(), fields).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{fields:?}");
        assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
    }
}

#[test]
fn key_is_valid_until_the_second_of_its_expiry() {
    let with = |id| ask(&auth(), &[("x-api-key", &format!("acme_{id}.a-good_SECRET"))]);
    let soon = with("soon").unwrap();
    assert_eq!(soon.claims().expires(), Some(Duration::from_secs(NOW + 1)));
    for id in ["just", "long"] {
        let error = with(id).expect_err(id);
        assert_eq!(error.message(), "the API key expired");
        assert_eq!((error.status(), challenge(&error)), (StatusCode::UNAUTHORIZED, CHALLENGE));
    }
    // who has not the secret does not learn that there is such a key
    let error = ask(&auth(), &[("x-api-key", "acme_long.wrong")]).unwrap_err();
    assert_eq!(error.message(), "the API key is not valid");

    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = ApiKeys::builder("acme", store()).clock(Arc::new(clock.clone())).build().unwrap();
    let with = || ask(&auth, &[("x-api-key", "acme_soon.a-good_SECRET")]);
    clock.advance(Duration::from_millis(999));
    assert!(with().is_ok());
    clock.advance(Duration::from_millis(1));
    assert!(with().is_err());
}

#[test]
fn keys_are_rotated_while_the_service_runs() {
    let store = InMemoryApiKeys::new();
    let auth = ApiKeys::builder("acme", store.clone()).build().unwrap();
    let [old, new] = [(), ()].map(|()| ApiKey::generate("acme", Principal::new("ada")).unwrap());
    let passes = |key: &str| ask(&auth, &[("x-api-key", key)]).is_ok();
    assert!(!passes(old.plaintext()));
    store.insert(old.record().clone());
    assert!(passes(old.plaintext()) && !passes(new.plaintext()));
    store.insert(new.record().clone());
    assert!(passes(old.plaintext()) && passes(new.plaintext()));
    assert_eq!(store.remove(old.record().id()).unwrap().id(), old.record().id());
    assert!(!passes(old.plaintext()) && passes(new.plaintext()));
    // the same id again replaces what was there
    let replaced = store.insert(record(new.record().id(), "other"));
    assert!(replaced.is_some() && !passes(new.plaintext()));
}

#[test]
fn configured_header_replaces_the_default_header() {
    let auth =
        ApiKeys::builder("acme", store()).header("X-Acme-Token").realm("acme").build().unwrap();
    assert!(ask(&auth, &[("x-acme-token", KEY)]).is_ok());
    let error = ask(&auth, &[("x-api-key", KEY)]).unwrap_err();
    assert_eq!(challenge(&error), "ApiKey realm=\"acme\"");
    assert!(ask(&auth, &[("authorization", &format!("ApiKey {KEY}"))]).is_ok());
}

#[test]
fn invalid_settings_are_config_errors() {
    let builder = || ApiKeys::builder("acme", InMemoryApiKeys::new());
    #[rustfmt::skip]
    let table = [
        (ApiKeys::builder("", InMemoryApiKeys::new()), "prefix"),
        (ApiKeys::builder("a.b", InMemoryApiKeys::new()), "prefix"),
        (builder().header(""), "header"),
        (builder().header("a b"), "header"),
        (builder().header("Authorization"), "header"),
        (builder().header("cookie"), "header"),
        (builder().realm("a\"b"), "realm"),
    ];
    for (builder, setting) in table {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
}

/// A store across a network that may be down.
#[derive(Clone)]
struct Remote {
    keys: InMemoryApiKeys,
    is_down: bool,
}

impl ApiKeyStore for Remote {
    fn find(&self, id: &str) -> ApiKeyLookup {
        let (found, is_down) = (self.keys.find(id), self.is_down);
        ApiKeyLookup::later(async move {
            Delay::new(2).await;
            match found {
                _ if is_down => Err("the database at db.internal is down".into()),
                ApiKeyLookup::Now(record) => Ok(record),
                ApiKeyLookup::Later(_) => unreachable!(),
            }
        })
    }
}

fn remote(is_down: bool) -> ApiKeys<Arc<Remote>> {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let store = Arc::new(Remote { keys: store(), is_down });
    ApiKeys::builder("acme", store).clock(clock).build().unwrap()
}

#[test]
fn remote_store_decides_asynchronously() {
    let ask_for = |key| ask(&remote(false), &[("x-api-key", key)]);
    assert!(matches!(remote(false).decide(&head(&[("x-api-key", KEY)])), Decision::Later(_)));
    assert_eq!(ask_for(KEY).unwrap().claims().id(), "k1");
    for key in ["acme_k1.wrong", "acme_unknown.x", "acme_just.a-good_SECRET"] {
        let error = ask_for(key).expect_err(key);
        assert_eq!((error.status(), challenge(&error)), (StatusCode::UNAUTHORIZED, CHALLENGE));
    }
}

#[test]
fn failed_store_is_503() {
    let error = ask(&remote(true), &[("x-api-key", KEY)]).unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!error.to_string().contains("db.internal"), "the cause is for the log");
    // what is no key is not asked about
    let error = ask(&remote(true), &[("x-api-key", "nonsense")]).unwrap_err();
    assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

#[test]
fn any_of_token_and_key_sends_both_challenges() {
    const SECRET: &str = "a signing key of at least thirty-two bytes";
    let jwt = Jwt::<Claims>::hs256(SECRET).audience("orders").build().unwrap();
    let either = any_of(jwt, auth());
    let claims = Claims { sub: "ada".into(), aud: "orders".into(), exp: u64::MAX / 2 };
    let token = format!("Bearer {}", sign_hs256(SECRET, &claims));

    let subject = |fields: &[(&str, &str)]| {
        let mut head = head(fields);
        match either.decide(&head) {
            Decision::Now(Ok(mut grant)) => {
                either.admit(&mut grant, &mut head);
                Ok(head.extensions.get::<Principal>().unwrap().subject().to_owned())
            }
            Decision::Now(Err(Halt::Refuse(error))) => Err(error),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(subject(&[("authorization", &token)]).unwrap(), "ada");
    assert_eq!(subject(&[("x-api-key", KEY)]).unwrap(), "billing");
    assert_eq!(subject(&[("authorization", &format!("ApiKey {KEY}"))]).unwrap(), "billing");

    let error = subject(&[]).unwrap_err();
    assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
    let challenges: Vec<_> = error.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges, ["Bearer realm=\"api\"", CHALLENGE]);
    let error = subject(&[("x-api-key", "acme_k1.wrong")]).unwrap_err();
    assert_eq!(error.headers().get_all(header::WWW_AUTHENTICATE).iter().count(), 2);
}

#[test]
fn keeps_the_policy_contract() {
    let request = || Request::get("/").header("x-api-key", KEY).body(Script::empty()).unwrap();
    Contract::new(request).check_policy(auth);
    Contract::new(request).check_policy(|| remote(false));
    Contract::new(request).check_policy(|| auth().revoked(|key| key.claims().id() == "k2"));
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?} {:?} {:?}", auth(), store(), ApiKeys::builder("acme", store()));
    assert!(!shown.contains("SECRET") && shown.contains("6 keys"), "{shown}");
}

proptest! {
    #[test]
    fn arbitrary_header_values_never_panic_and_never_pass(
        bytes in prop::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8, Just(b'\t')], 0..200),
        scheme in prop::sample::select(vec!["", "ApiKey ", "ApiKey", "acme_", "acme_k1."]),
        name in prop::sample::select(vec!["x-api-key", "authorization"]),
    ) {
        let value = [scheme.as_bytes(), &bytes].concat();
        let value = http::HeaderValue::from_bytes(&value).unwrap();
        let head = Request::get("/").header(name, value).body(()).unwrap().into_parts().0;
        prop_assert!(!matches!(auth().decide(&head), Decision::Now(Ok(_))));
    }

    #[test]
    fn mutated_keys_are_rejected(at in 0..KEY.len(), byte in 0x20..0x7fu8) {
        let mut key = KEY.as_bytes().to_vec();
        prop_assume!(key[at] != byte);
        key[at] = byte;
        let key = String::from_utf8(key).unwrap();
        prop_assert!(ask(&auth(), &[("x-api-key", &key)]).is_err());
    }
}
