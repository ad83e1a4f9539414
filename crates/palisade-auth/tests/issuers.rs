//! What belongs to an issuer: names, audiences, grants, times, checks of the user's own; and what the log says of them.

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
fn other_issuers_do_not_own_by_the_same_subject() {
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
fn remembered_tokens_keep_the_skew_of_their_issuer() {
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
fn tokens_are_remembered_for_the_configured_time() {
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
fn issuers_never_vouch_for_each_other() {
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
fn without_claims_of_ones_own_the_type_is_unit() {
    let auth = Jwt::<()>::hs256(OWN).audience("orders").clock(Arc::new(clock())).build().unwrap();
    let identity = verify(&auth, &from_own(json!({ "roles": "admin" }))).unwrap();
    assert_eq!(roles(identity.principal()), ["admin"]);
    assert!(verify(&auth, &token(PARTNER, "https://own.example", "orders", json!({}))).is_err());
    let never = Jwt::<Vec<String>>::hs256(OWN).audience("orders").build();
    assert_eq!(never.unwrap_err().setting(), "claims type");
}

#[test]
fn checks_of_the_user_run_on_each_use() {
    let is_open = Arc::new(AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let auth = own()
        .validate(|claims: &Claims| match claims.plan.as_deref() {
            Some("free") => Err(ApiError::forbidden().with_code("PLAN").with_message("upgrade")),
            _ => Ok(()),
        })
        .validate(move |_| {
            if open.load(Ordering::SeqCst) { Ok(()) } else { Err(ApiError::unauthenticated()) }
        })
        .build()
        .unwrap();
    let error = verify(&auth, &from_own(json!({ "plan": "free" }))).unwrap_err();
    assert_eq!((error.status().as_u16(), error.code()), (403, "PLAN"));
    assert!(!error.headers().contains_key("www-authenticate"));

    let token = from_own(json!({}));
    assert!(verify(&auth, &token).is_ok());
    is_open.store(false, Ordering::SeqCst);
    let error = verify(&auth, &token).unwrap_err();
    assert_eq!(error.status(), 401);
    let challenge = error.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
}

#[test]
fn checks_belong_to_an_issuer_and_follow_the_signature() {
    let deny = |_: &Claims| Err::<(), _>(ApiError::forbidden());
    let auth = own().other_issuer(partner().validate(deny)).build().unwrap();
    assert!(verify(&auth, &from_own(json!({}))).is_ok());
    assert_eq!(verify(&auth, &from_partner(json!({}))).unwrap_err().status(), 403);
    let forged = token(OWN, "https://partner.example", "partner-api", json!({}));
    assert_eq!(verify(&auth, &forged).unwrap_err().status(), 401);
}

#[test]
fn a_converter_makes_the_principal() {
    let auth = own()
        .map_principal(|claims, principal| {
            assert_eq!(principal.subject(), "ada");
            Principal::new(claims.sub.to_uppercase()).with_scopes(principal.scopes())
        })
        .build()
        .unwrap();
    let identity = verify(&auth, &from_own(json!({ "scope": "read", "roles": "admin" }))).unwrap();
    let principal = identity.principal();
    assert_eq!((principal.issuer(), principal.subject()), ("https://own.example", "ADA"));
    assert!(principal.has_scope("read") && !principal.has_role("admin"));

    let renamed = own()
        .map_principal(|_, principal| principal.issued_by("https://users.example"))
        .build()
        .unwrap();
    let identity = verify(&renamed, &from_own(json!({}))).unwrap();
    assert_eq!(identity.principal().issuer(), "https://users.example");

    let nameless = own().map_principal(|_, _| Principal::new("")).build().unwrap();
    assert_eq!(verify(&nameless, &from_own(json!({}))).unwrap_err().status(), 401);
}

#[test]
fn max_age_is_checked_on_each_use() {
    let clock = clock();
    let auth = own()
        .max_age(Duration::from_secs(30))
        .skew(Duration::from_secs(5))
        .cache_for(Duration::from_secs(3600))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let token = from_own(json!({}));
    for (advance, is_valid) in [(0, true), (35, true), (1, false)] {
        clock.advance(Duration::from_secs(advance));
        assert_eq!(verify(&auth, &token).is_ok(), is_valid, "{advance}");
    }
    assert!(verify(&auth, &from_own(json!({ "iat": null }))).is_err());
    assert!(verify(&auth, &from_own(json!({ "iat": NOW + 1 }))).is_ok());
}

#[test]
fn each_time_has_the_skew_and_not_a_second_more() {
    let auth = own().skew(Duration::from_secs(10)).build().unwrap();
    let is_valid = |claims| verify(&auth, &from_own(claims)).is_ok();
    assert!(is_valid(json!({ "nbf": NOW + 10 })) && !is_valid(json!({ "nbf": NOW + 11 })));
    assert!(is_valid(json!({ "iat": NOW + 10 })) && !is_valid(json!({ "iat": NOW + 11 })));
    assert!(is_valid(json!({ "exp": NOW - 9 })) && !is_valid(json!({ "exp": NOW - 10 })));
    let auth =
        own().skew(Duration::from_secs(10)).max_lifetime(Duration::from_secs(60)).build().unwrap();
    let is_valid = |claims| verify(&auth, &from_own(claims)).is_ok();
    assert!(is_valid(json!({ "exp": NOW + 70 })) && !is_valid(json!({ "exp": NOW + 71 })));
    let exact = own().skew(Duration::ZERO).build().unwrap();
    let is_valid = |claims| verify(&exact, &from_own(claims)).is_ok();
    assert!(
        is_valid(json!({ "nbf": NOW, "iat": NOW }))
            && !is_valid(json!({ "nbf": NOW as f64 + 0.5 }))
    );
    assert!(is_valid(json!({ "exp": NOW as f64 + 0.5 })) && !is_valid(json!({ "exp": NOW })));
}

#[test]
fn the_log_names_check_claim_issuer_and_reason_but_no_token() {
    let auth = own()
        .other_issuer(partner())
        .max_age(Duration::from_secs(600))
        .validate(|claims: &Claims| match claims.plan.as_deref() {
            Some("free") => Err(ApiError::forbidden().with_message("upgrade")),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    let ours = "issuer=\"https://own.example\"";
    for (claims, parts) in [
        (json!({ "aud": "other" }), &["check=\"audience\" claim=\"aud\"", ours, "other"][..]),
        (json!({ "aud": null }), &["check=\"required claim\" claim=\"aud\"", ours]),
        (json!({ "exp": 1 }), &["check=\"expiry\" claim=\"exp\"", ours]),
        (
            json!({ "exp": "soon" }),
            &["check=\"claims\" claim=\"exp\"", ours, "invalid type: string"],
        ),
        (json!({ "nbf": NOW + 99 }), &["claim=\"nbf\"", ours]),
        (json!({ "iat": NOW + 99 }), &["claim=\"iat\"", ours]),
        (json!({ "iat": NOW - 999 }), &["check=\"max_age\" claim=\"iat\"", ours]),
        (json!({ "sub": "" }), &["check=\"required claim\" claim=\"sub\"", ours]),
        (json!({ "plan": 7 }), &["check=\"claims\" claim=\"plan\"", ours, "invalid type: integer"]),
        (json!({ "plan": "free" }), &["check=\"validate\"", ours, "upgrade"]),
        (json!({ "iss": "https://evil.example" }), &["check=\"issuer\" claim=\"iss\"", "evil"]),
    ] {
        let token = from_own(claims);
        let log = Log::during(Level::DEBUG, || drop(verify(&auth, &token).unwrap_err()));
        for part in parts {
            assert!(log.contains(part), "{part} in {log}");
        }
        assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
    }
    let long = from_own(json!({ "aud": "x".repeat(2000) }));
    let log = Log::during(Level::DEBUG, || drop(verify(&auth, &long).unwrap_err()));
    assert!(log.len() < 500, "{log}");
}

#[test]
fn the_log_names_the_key_id() {
    let header = B64.encode(r#"{"alg":"HS256","kid":"2026-11"}"#);
    let token = format!("{header}.{}.AAAA", B64.encode(r#"{"sub":"ada"}"#));
    let auth = own().build().unwrap();
    let log = Log::during(Level::DEBUG, || drop(verify(&auth, &token).unwrap_err()));
    let expected = "check=\"signature\" kid=\"2026-11\" issuer=\"https://own.example\"";
    assert!(log.contains(expected), "{log}");
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
    fn the_discovered_issuer_is_the_one_that_tokens_must_name() {
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
