//! What belongs to an issuer: names, audiences, grants, times, checks of the user's own; and what the log says of them.

mod checks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use palisade_auth::{
    Algorithm, Authenticate, Identity, Issuer, Jwt, JwtBuilder, Keys,
    rules::{Rule, check_resource, owner},
    testing::sign_hs256,
};
use palisade_core::{ApiError, ManualClock, Principal, any_of, testing::Log};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Level;

const OWN: &str = "a signing key of at least thirty-two bytes";
const PARTNER: &str = "the partner's key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    plan: Option<String>,
}

fn clock() -> ManualClock {
    ManualClock::at(Duration::from_secs(NOW))
}

fn own() -> JwtBuilder<Claims> {
    Jwt::hs256(OWN).issuer("https://own.example").audience("orders").clock(Arc::new(clock()))
}

fn partner() -> Issuer<Claims> {
    let keys = Keys::secret(Algorithm::Hs256, PARTNER);
    Issuer::new("https://partner.example", keys).audience("partner-api")
}

fn from_own(more: Value) -> String {
    token(OWN, "https://own.example", "orders", more)
}

fn from_partner(more: Value) -> String {
    token(PARTNER, "https://partner.example", "partner-api", more)
}

fn token(secret: &str, issuer: &str, audience: &str, more: Value) -> String {
    let mut claims =
        json!({ "iss": issuer, "aud": audience, "sub": "ada", "iat": NOW, "exp": NOW + 300 });
    let Value::Object(more) = more else { panic!("claims are an object") };
    claims.as_object_mut().unwrap().extend(more);
    sign_hs256(secret, &claims)
}

fn verify<C: serde::de::DeserializeOwned + Send + Sync + 'static>(
    auth: &Jwt<C>,
    token: &str,
) -> Result<Identity<C>, ApiError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(auth.verify(token))
}

fn roles(principal: &Principal) -> Vec<&str> {
    principal.roles().collect()
}

#[test]
fn an_added_issuer_grants_nothing_until_configured() {
    let granted = json!({ "roles": ["admin"], "scope": "write", "tenants": ["acme"] });
    let auth = own().other_issuer(partner()).build().unwrap();
    let ours = verify(&auth, &from_own(granted.clone())).unwrap();
    assert_eq!(roles(ours.principal()), ["admin"]);
    assert!(ours.principal().has_scope("write") && ours.principal().is_member_of("acme"));

    let theirs = verify(&auth, &from_partner(granted.clone())).unwrap();
    let principal = theirs.principal();
    assert_eq!((principal.issuer(), principal.subject()), ("https://partner.example", "ada"));
    assert_eq!(principal, &Principal::new("ada").issued_by("https://partner.example"));

    let granting = partner().roles_at(["roles"]).scopes_at(["scope"]).tenants_at(["tenants"]);
    let auth = own().other_issuer(granting).build().unwrap();
    let theirs = verify(&auth, &from_partner(granted)).unwrap();
    assert_eq!(roles(theirs.principal()), ["admin"]);
    assert!(theirs.principal().has_scope("write") && theirs.principal().is_member_of("acme"));
}

struct Report {
    author: &'static str,
}

const REPORT: Report = Report { author: "ada" };

fn is_owner<C>(identity: &Identity<C>) -> bool {
    identity.may(&owner(|report: &Report| report.author), &REPORT)
}

#[test]
fn same_subject_of_another_issuer_is_not_the_owner() {
    let auth = own().other_issuer(partner()).build().unwrap();
    for _ in 0..2 {
        assert!(is_owner(&verify(&auth, &from_own(json!({}))).unwrap()));
        let theirs = verify(&auth, &from_partner(json!({}))).unwrap();
        assert!(!is_owner(&theirs), "remembered or not");
        assert_eq!(theirs.require(&owner(|_: &Report| "ada"), &REPORT).unwrap_err().status(), 403);
        assert!(theirs.may(&owner(|_: &Report| "ada").not(), &REPORT));
    }
    let both = check_resource("author", |caller: &Principal, report: &Report| {
        (caller.issuer(), caller.subject()) == ("https://partner.example", report.author)
    });
    assert!(verify(&auth, &from_partner(json!({}))).unwrap().may(&both, &REPORT));

    // the principal that a conversion makes is foreign too, unless it names another issuer
    let renamed = partner().map_principal(|_, _| Principal::new("ada"));
    let auth = own().other_issuer(renamed).build().unwrap();
    assert!(!is_owner(&verify(&auth, &from_partner(json!({}))).unwrap()));
    let mapped = partner().map_principal(|_, principal| principal.issued_by("https://own.example"));
    let auth = own().other_issuer(mapped).build().unwrap();
    assert!(is_owner(&verify(&auth, &from_partner(json!({}))).unwrap()));
}

#[tokio::test]
async fn owner_rule_can_name_the_issuer() {
    let second = Jwt::<Value>::hs256(PARTNER).issuer("https://partner.example");
    let second = second.audience("partner-api").clock(Arc::new(clock())).build().unwrap();
    let auth = any_of(own().build().unwrap(), second);
    let ours = auth.verify(&from_own(json!({}))).await.unwrap();
    let theirs = auth.verify(&from_partner(json!({}))).await.unwrap();
    for (issuer, expected) in [
        ("https://own.example", [true, false]),
        ("https://partner.example", [false, true]),
        ("", [false, false]),
    ] {
        let rule = owner(|report: &Report| report.author).issued_by(issuer);
        assert_eq!([ours.may(&rule, &REPORT), theirs.may(&rule, &REPORT)], expected, "{issuer}");
        assert!(!ours.may(&rule, &Report { author: "grace" }));
        assert!(!ours.may(&rule.clone(), &Report { author: "" }));
    }
    // an issuer that is named counts, also for callers of an additional issuer
    let auth = own().other_issuer(partner()).build().unwrap();
    let theirs = auth.verify(&from_partner(json!({}))).await.unwrap();
    assert!(theirs.may(&owner(|_: &Report| "ada").issued_by("https://partner.example"), &REPORT));
}

#[test]
fn each_issuer_has_its_own_audience_profile_and_skew() {
    let strict = partner().skew(Duration::ZERO);
    let auth = own().skew(Duration::from_secs(300)).other_issuer(strict).build().unwrap();
    let expired = json!({ "exp": NOW - 1 });
    assert!(verify(&auth, &from_own(expired.clone())).is_ok());
    assert!(verify(&auth, &from_partner(expired)).is_err());
    // again, now that the cache has seen them
    let other_audience = json!({ "aud": "orders" });
    assert!(verify(&auth, &from_partner(other_audience.clone())).is_err());
    assert!(verify(&auth, &from_own(json!({ "aud": "partner-api" }))).is_err());

    let auth = own().other_issuer(partner().access_tokens_only()).build().unwrap();
    assert!(verify(&auth, &from_own(json!({}))).is_ok());
    assert!(verify(&auth, &from_partner(json!({}))).is_err());
    let auth = own().access_tokens_only().other_issuer(partner()).build().unwrap();
    assert!(verify(&auth, &from_own(json!({}))).is_err());
    assert!(verify(&auth, &from_partner(json!({}))).is_ok());
}

#[test]
fn cached_tokens_keep_the_skew_of_their_issuer() {
    let clock = clock();
    let auth = own()
        .skew(Duration::from_secs(300))
        .other_issuer(partner().skew(Duration::ZERO))
        .cache_for(Duration::from_secs(3600))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let (ours, theirs) = (from_own(json!({})), from_partner(json!({})));
    assert!(verify(&auth, &ours).is_ok() && verify(&auth, &theirs).is_ok());
    clock.advance(Duration::from_secs(300));
    assert!(verify(&auth, &ours).is_ok());
    assert!(verify(&auth, &theirs).is_err());
}

#[test]
fn tokens_are_cached_for_the_configured_time() {
    let clock = clock();
    let conversions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&conversions);
    let auth = own()
        .cache_for(Duration::from_secs(10))
        .clock(Arc::new(clock.clone()))
        .map_principal(move |_, principal| {
            counted.fetch_add(1, Ordering::SeqCst);
            principal
        })
        .build()
        .unwrap();
    let token = from_own(json!({}));
    for (seconds, expected) in [(0, 1), (9, 1), (1, 2), (9, 2), (1, 3)] {
        clock.advance(Duration::from_secs(seconds));
        verify(&auth, &token).unwrap();
        assert_eq!(conversions.load(Ordering::SeqCst), expected);
    }
}

#[test]
fn token_of_one_issuer_is_rejected_for_another() {
    let auth = own().other_issuer(partner()).build().unwrap();
    assert!(verify(&auth, &token(PARTNER, "https://own.example", "orders", json!({}))).is_err());
    assert!(
        verify(&auth, &token(OWN, "https://partner.example", "partner-api", json!({}))).is_err()
    );
    for issuer in [json!(null), json!("https://own.example/"), json!(["https://own.example"])] {
        assert!(verify(&auth, &from_own(json!({ "iss": issuer }))).is_err());
    }
}

#[test]
fn settings_that_contradict_are_config_errors() {
    let setting = |builder: JwtBuilder<Claims>| builder.build().unwrap_err().setting();
    let bare = || Jwt::<Claims>::hs256(OWN);
    let keys = || Keys::secret(Algorithm::Hs256, PARTNER);
    assert_eq!(setting(own().other_issuer(Issuer::new("https://b.example", keys()))), "audience");
    assert_eq!(setting(own().other_issuer(Issuer::new("", keys()).any_audience())), "issuer");
    assert_eq!(setting(bare().audience("a").other_issuer(partner())), "issuer");
    assert_eq!(setting(own().other_issuer(partner()).other_issuer(partner())), "issuer");
    assert_eq!(setting(bare().audience("a").access_tokens_only()), "issuer");
    assert_eq!(setting(own().any_audience()), "any_audience");
    assert_eq!(setting(bare().any_audience().clients_without_audience(["a"])), "any_audience");
    assert_eq!(setting(own().clients_without_audience([""])), "clients_without_audience");
    assert_eq!(
        setting(own().clients_without_audience(["a"]).access_tokens_only()),
        "clients_without_audience"
    );
    assert_eq!(setting(own().skew(Duration::MAX)), "skew");
    assert_eq!(setting(own().skew(Duration::from_secs(3601))), "skew");
    assert!(own().skew(Duration::from_secs(3600)).build().is_ok());
    assert_eq!(setting(own().cache_bytes(usize::MAX)), "cache_bytes");
    assert_eq!(setting(own().cache_bytes((1 << 30) + 1)), "cache_bytes");
    assert!(own().cache_bytes(1 << 30).build().is_ok());
    assert_eq!(setting(own().roles_at(["sub"])), "roles_at");
    assert_eq!(setting(own().roles_at(["roles"]).roles_at(["scope"])), "roles_at");
    assert_eq!(setting(own().roles_at([""; 0])), "roles_at");
    assert_eq!(setting(own().roles_at(["realm_access", ""])), "roles_at");
    assert_eq!(setting(own().scopes_at(["aud"])), "scopes_at");
    assert_eq!(setting(own().tenants_at(["iss"])), "tenants_at");
    assert_eq!(setting(own().subject_at(["aud"])), "subject_at");
    assert_eq!(setting(own().roles_by_tenant_at(["exp"])), "roles_by_tenant_at");
    assert_eq!(setting(own().tenants_by_role_at(["cnf"])), "tenants_by_role_at");
}

#[test]
fn claims_type_may_be_unit() {
    let auth = Jwt::<()>::hs256(OWN).audience("orders").clock(Arc::new(clock())).build().unwrap();
    let identity = verify(&auth, &from_own(json!({ "roles": "admin" }))).unwrap();
    assert_eq!(roles(identity.principal()), ["admin"]);
    assert!(verify(&auth, &token(PARTNER, "https://own.example", "orders", json!({}))).is_err());
    let never = Jwt::<Vec<String>>::hs256(OWN).audience("orders").build();
    assert_eq!(never.unwrap_err().setting(), "claims type");
}

#[cfg(feature = "jwks")]
mod discovery {
    use http::Uri;
    use palisade_auth::{Fetch, Fetched, Jwks};
    use palisade_core::{BoxError, BoxFuture};

    use super::*;

    struct NoFetch;

    impl Fetch for NoFetch {
        fn fetch(&self, _: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
            Box::pin(async { Err("not in this test".into()) })
        }
    }

    fn jwks(issuer: &str) -> Jwks {
        Jwks::issuer(issuer).fetch(NoFetch).build().unwrap()
    }

    #[test]
    fn tokens_must_name_the_discovered_issuer() {
        let keys = Keys::published(&jwks("https://own.example"));
        let with = |keys: &Keys| Jwt::<Claims>::with_keys(keys.clone()).audience("orders");
        let built = with(&keys).build().unwrap();
        assert!(format!("{built:?}").contains("https://own.example"), "{built:?}");
        assert!(with(&keys).access_tokens_only().build().is_ok());
        assert!(with(&keys).issuer("https://own.example").build().is_ok());
        let error = with(&keys).issuer("https://own.example/").build().unwrap_err();
        assert_eq!(error.setting(), "issuer");
        assert!(with(&keys).other_issuer(partner()).build().is_ok());

        let by_address = Jwks::url("https://own.example/keys").fetch(NoFetch).build().unwrap();
        let keys = Keys::published(&by_address);
        assert_eq!(with(&keys).access_tokens_only().build().unwrap_err().setting(), "issuer");
    }

    #[test]
    fn an_added_issuer_may_be_discovered() {
        let other = Issuer::discovered(&jwks("https://b.example")).audience("orders");
        assert!(own().other_issuer(other).build().is_ok());
        let same = Issuer::discovered(&jwks("https://own.example")).audience("orders");
        assert_eq!(own().other_issuer(same).build().unwrap_err().setting(), "issuer");
    }
}
