//! Tokens as the issuers of this world send them, each with the settings that it needs, and what it then grants.

mod vendors;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use hmac::{Hmac, KeyInit, Mac};
use palisade_auth::{Identity, Jwt, JwtBuilder};
use palisade_core::{ApiError, ManualClock, Principal};
use serde_json::{Map, Value, json};

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

type Claims = Map<String, Value>;
type Builder = JwtBuilder<Claims>;

/// A token as `issuer` sends it: its header, beside `alg`, and its claims, beside the times.
struct Shape {
    issuer: &'static str,
    header: Value,
    claims: Value,
}

fn shape(issuer: &'static str, header: Value, claims: Value) -> Shape {
    Shape { issuer, header, claims }
}

impl Shape {
    fn token(&self) -> String {
        let mut header = json!({ "alg": "HS256" });
        header.as_object_mut().unwrap().extend(self.header.as_object().unwrap().clone());
        let mut claims = json!({ "iss": self.issuer, "iat": NOW, "exp": NOW + 300 });
        claims.as_object_mut().unwrap().extend(self.claims.as_object().unwrap().clone());
        let message =
            format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", B64.encode(mac.finalize().into_bytes()))
    }

    /// Verifies the token twice: fresh, and remembered.
    fn verify(&self, settings: impl Fn(Builder) -> Builder) -> Result<Identity<Claims>, ApiError> {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
        let builder = Jwt::hs256(SECRET).issuer(self.issuer).clock(clock);
        let auth = settings(builder).build().unwrap();
        let verify = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(auth.verify(&self.token()))
        };
        let (first, again) = (verify(), verify());
        assert_eq!(first.is_ok(), again.is_ok(), "{}", self.issuer);
        first
    }

    #[track_caller]
    fn grants(
        &self,
        settings: impl Fn(Builder) -> Builder,
        subject: &str,
        roles: &[&str],
        scopes: &[&str],
        tenants: &[&str],
    ) -> Principal {
        let identity = self.verify(settings).unwrap();
        let principal = identity.principal();
        assert_eq!((principal.issuer(), principal.subject()), (self.issuer, subject));
        assert_eq!(principal.roles().collect::<Vec<_>>(), roles, "roles");
        assert_eq!(principal.scopes().collect::<Vec<_>>(), scopes, "scopes");
        assert_eq!(principal.tenants().collect::<Vec<_>>(), tenants, "tenants");
        principal.clone()
    }

    #[track_caller]
    fn is_rejected(&self, settings: impl Fn(Builder) -> Builder) {
        assert_eq!(self.verify(settings).unwrap_err().status(), 401);
    }
}

#[test]
fn scopes_come_as_strings_lists_or_both() {
    let settings = |auth: Builder| auth.audience("orders");
    for (claims, scopes) in [
        (json!({ "scope": "a b" }), &["a", "b"][..]),
        (json!({ "scope": ["a", "b"] }), &["a", "b"]),
        (json!({ "scope": ["a b", "c"] }), &["a", "b", "c"]),
        (json!({ "scp": "a b" }), &["a", "b"]),
        (json!({ "scp": ["a", "b"] }), &["a", "b"]),
        (json!({ "scope": "a b", "scp": ["b", "c"] }), &["a", "b", "c"]),
        (json!({ "scope": "  a   b " }), &["a", "b"]),
        (json!({ "scope": "" }), &[]),
        (json!({ "scope": null, "scp": null }), &[]),
        (json!({ "scope": ["a", 7, null, ["b"]] }), &["a"]),
        (json!({ "scope": 7, "scp": { "a": true } }), &[]),
    ] {
        let mut claims = claims;
        claims["sub"] = "ada".into();
        claims["aud"] = "orders".into();
        shape("https://issuer.example", json!({}), claims).grants(
            settings,
            "ada",
            &[],
            scopes,
            &[],
        );
    }
}

#[test]
fn null_claims_are_absent() {
    let base = || json!({ "sub": "ada", "aud": "orders" });
    let with = |name: &str, value: Value| {
        let mut claims = base();
        claims[name] = value;
        shape("https://issuer.example", json!({ "typ": null, "kid": null }), claims)
    };
    let settings = |auth: Builder| auth.audience("orders");
    for name in ["nbf", "iat", "jti", "client_id", "azp", "scope", "scp", "roles", "tenants"] {
        with(name, Value::Null).grants(settings, "ada", &[], &[], &[]);
    }
    for name in ["exp", "iss", "sub", "aud"] {
        with(name, Value::Null).is_rejected(settings);
    }
    with("aud", Value::Null).verify(Builder::any_audience).unwrap();
    with("sub", Value::Null).verify(|auth| settings(auth).optional_subject()).unwrap();
    with("iat", Value::Null).is_rejected(|auth| settings(auth).max_age(Duration::from_secs(60)));
}

#[test]
fn a_jti_may_be_a_number() {
    let token = |jti: Value| {
        let claims = json!({ "sub": "ada", "aud": "orders", "client_id": "web", "jti": jti });
        shape("https://issuer.example", json!({ "typ": "at+jwt" }), claims)
    };
    let settings = |auth: Builder| auth.audience("orders").access_tokens_only();
    for jti in [json!(7), json!(-7), json!(1.5), json!("7")] {
        token(jti).grants(settings, "ada", &[], &[], &[]);
    }
    for jti in [json!(""), json!(null), json!([7]), json!({ "id": 7 }), json!(true)] {
        token(jti).is_rejected(settings);
    }
}

#[test]
fn a_named_subject_is_a_string_or_an_integer() {
    let token = |id: Value| {
        let claims = json!({ "aud": "orders", "user": { "id": id } });
        shape("https://issuer.example", json!({}), claims)
    };
    let settings = |auth: Builder| auth.audience("orders").subject_at(["user", "id"]);
    token(json!("ada")).grants(settings, "ada", &[], &[], &[]);
    token(json!(42)).grants(settings, "42", &[], &[], &[]);
    token(json!(-42)).grants(settings, "-42", &[], &[], &[]);
    token(json!(u64::MAX)).grants(settings, "18446744073709551615", &[], &[], &[]);
    for id in [json!(""), json!(null), json!(1.5), json!(["ada"]), json!(true), json!({})] {
        token(id).is_rejected(settings);
    }
}

#[test]
fn times_at_the_epoch_are_valid() {
    let claims = json!({ "sub": "ada", "aud": "orders", "nbf": 0, "iat": 0 });
    let token = shape("https://issuer.example", json!({}), claims);
    token.grants(|auth| auth.audience("orders"), "ada", &[], &[], &[]);
    token.is_rejected(|auth| auth.audience("orders").max_age(Duration::from_secs(300)));
}

#[test]
fn escaped_strings_are_decoded() {
    let claims =
        json!({ "sub": "ada", "client_id": "web", "aud": "\n", "roles": "\n", "app": ["\n", ""] });
    let token = shape("https://issuer.example", json!({}), claims);
    let settings = |auth: Builder| auth.audience("\n").roles_at(["roles"]).roles_at(["app"]);
    token.grants(settings, "ada", &["\n"], &[], &[]);
    token.is_rejected(|auth| auth.audience("orders"));
    // an audience that is escaped is not an absent one
    token.is_rejected(|auth| auth.clients_without_audience(["web"]));
}

#[test]
fn empty_names_grant_nothing() {
    let claims = json!({
        "sub": "ada", "aud": "orders", "roles": "", "app": { "roles": ["", "editor"], "role": "" },
        "by_tenant": { "acme": [""], "": ["admin"] }, "by_role": { "admin": [""], "": ["globex"] },
    });
    let settings = |auth: Builder| {
        auth.audience("orders")
            .roles_at(["roles"])
            .roles_at(["app", "roles"])
            .roles_at(["app", "role"])
            .roles_by_tenant_at(["by_tenant"])
            .tenants_by_role_at(["by_role"])
    };
    let token = shape("https://issuer.example", json!({}), claims);
    let principal = token.grants(settings, "ada", &["editor"], &[], &["acme"]);
    assert_eq!(principal.in_tenant("acme").unwrap().roles().collect::<Vec<_>>(), ["editor"]);
}

#[test]
fn first_present_subject_claim_is_used() {
    let token = |claims: Value| {
        let mut claims = claims;
        claims["aud"] = "orders".into();
        shape("https://issuer.example", json!({}), claims)
    };
    let settings = |auth: Builder| {
        auth.audience("orders").subject_at(["sub"]).subject_at(["uid"]).subject_at(["app", "id"])
    };
    let all = json!({ "sub": "a", "uid": "b", "app": { "id": "c" } });
    token(all).grants(settings, "a", &[], &[], &[]);
    token(json!({ "uid": 7, "app": { "id": "c" } })).grants(settings, "7", &[], &[], &[]);
    token(json!({ "sub": "", "uid": null, "app": { "id": "c" } })).grants(
        settings,
        "c",
        &[],
        &[],
        &[],
    );
    token(json!({ "sub": null, "app": {}, "client_id": "d" })).is_rejected(settings);
    let optional = |auth: Builder| settings(auth).optional_subject();
    token(json!({ "azp": "d" })).grants(optional, "", &[], &[], &[]);
}

#[test]
fn clients_are_never_mistaken_for_users() {
    let token = |claims: Value| {
        let mut claims = claims;
        claims["aud"] = "orders".into();
        shape("https://issuer.example", json!({}), claims)
    };
    let settings = |auth: Builder| auth.audience("orders").client_as_subject("client:");
    for (claims, subject) in [
        (json!({ "sub": "7", "client_id": "web" }), "7"),
        (json!({ "client_id": "7" }), "client:7"),
        (json!({ "client_id": "7", "azp": "8" }), "client:7"),
        (json!({ "sub": "", "client_id": "", "azp": "8" }), "client:8"),
        (json!({ "sub": null, "azp": "client:8" }), "client:client:8"),
    ] {
        token(claims).grants(settings, subject, &[], &[], &[]);
    }
    for claims in [json!({}), json!({ "client_id": "" }), json!({ "sub": "client:7" })] {
        token(claims).is_rejected(settings);
    }
    token(json!({ "uid": "client:7" })).is_rejected(|auth| settings(auth).subject_at(["uid"]));

    let empty = Jwt::<Claims>::hs256(SECRET).audience("orders").client_as_subject("").build();
    assert_eq!(empty.unwrap_err().setting(), "client_as_subject");
}

#[test]
fn each_named_client_must_be_listed() {
    let token = |claims: Value| {
        let mut claims = claims;
        claims["sub"] = "ada".into();
        shape("https://issuer.example", json!({}), claims)
    };
    let settings = |auth: Builder| auth.clients_without_audience(["web", "app"]);
    for good in [
        json!({ "client_id": "web" }),
        json!({ "azp": "app" }),
        json!({ "client_id": "web", "azp": "app" }),
        json!({ "client_id": "web", "azp": null, "aud": null }),
    ] {
        token(good).grants(settings, "ada", &[], &[], &[]);
    }
    for bad in [
        json!({}),
        json!({ "client_id": "" }),
        json!({ "client_id": "evil" }),
        json!({ "client_id": "evil", "azp": "web" }),
        json!({ "client_id": "web", "azp": "evil" }),
        json!({ "client_id": ["web"] }),
        json!({ "client_id": "web", "aud": "orders" }),
        json!({ "client_id": "web", "aud": "web" }),
    ] {
        token(bad).is_rejected(settings);
    }
}
