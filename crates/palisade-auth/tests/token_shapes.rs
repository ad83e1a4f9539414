//! Tokens as the issuers of this world send them, each with the settings that it needs, and what it then grants.

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
fn okta() {
    let token = shape(
        "https://dev-1.okta.com/oauth2/default",
        json!({ "kid": "okta-1" }),
        json!({
            "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://default",
            "cid": "0oa1", "uid": "00u1", "scp": ["openid", "orders:read"], "auth_time": NOW,
            "sub": "ada@example.com", "groups": ["Everyone", "Order Admins"],
        }),
    );
    token.grants(
        |auth| auth.audience("api://default").roles_at(["groups"]),
        "ada@example.com",
        &["Everyone", "Order Admins"],
        &["openid", "orders:read"],
        &[],
    );
    let by_uid = |auth: Builder| auth.audience("api://default").subject_at(["uid"]);
    token.grants(by_uid, "00u1", &[], &["openid", "orders:read"], &[]);
    token.is_rejected(|auth| auth.audience("api://default").access_tokens_only());
}

#[test]
fn auth0() {
    let claims = json!({
        "sub": "auth0|5f7c", "azp": "my_client", "scope": "openid read:orders",
        "aud": ["https://api.example.com", "https://t.eu.auth0.com/userinfo"],
        "permissions": ["read:orders", "delete:orders"], "https://example.com/roles": ["admin"], "org_id": "org_9",
    });
    let settings = |auth: Builder| {
        auth.audience("https://api.example.com")
            .roles_at(["https://example.com/roles"])
            .scopes_at(["scope"])
            .scopes_at(["permissions"])
            .tenants_at(["org_id"])
    };
    let header = json!({ "typ": "JWT", "kid": "NTQ2" });
    let token = shape("https://t.eu.auth0.com/", header, claims.clone());
    let scopes = ["openid", "read:orders", "delete:orders"];
    token.grants(settings, "auth0|5f7c", &["admin"], &scopes, &["org_9"]);
    token.is_rejected(|auth| auth.audience("https://api.example.com/"));
    token.is_rejected(|auth| auth.audience("https://api.example.com").access_tokens_only());

    let mut claims = claims;
    claims["client_id"] = "my_client".into();
    claims["jti"] = "ihAYRJYl".into();
    let header = json!({ "typ": "at+jwt", "kid": "NTQ2" });
    shape("https://t.eu.auth0.com/", header, claims).grants(
        |auth| settings(auth).access_tokens_only(),
        "auth0|5f7c",
        &["admin"],
        &scopes,
        &["org_9"],
    );
}

#[test]
fn entra_id() {
    let tid = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let header = || json!({ "typ": "JWT", "x5t": "abc", "kid": "abc" });
    let v1 = shape(
        "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
        header(),
        json!({
            "aud": "api://orders", "nbf": NOW, "appid": "client", "appidacr": "1", "oid": "oid-1", "sub": "pairwise",
            "scp": "Orders.Read Orders.Write", "roles": ["Order.Admin"], "tid": tid, "ver": "1.0", "aio": null,
        }),
    );
    let settings =
        |auth: Builder| auth.audience("api://orders").subject_at(["oid"]).tenants_at(["tid"]);
    v1.grants(settings, "oid-1", &["Order.Admin"], &["Orders.Read", "Orders.Write"], &[tid]);

    let v2 = shape(
        "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        header(),
        json!({
            "aud": "6e74172b", "nbf": NOW, "azp": "client", "azpacr": "0", "oid": "oid-1", "sub": "pairwise",
            "scp": "Orders.Read", "tid": tid, "ver": "2.0",
        }),
    );
    let settings = |auth: Builder| auth.audience("6e74172b").tenants_at(["tid"]);
    v2.grants(settings, "pairwise", &[], &["Orders.Read"], &[tid]);

    let app_only = shape(
        "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        header(),
        json!({
            "aud": "6e74172b", "azp": "client", "idtyp": "app", "oid": "oid-2", "sub": "oid-2", "tid": tid,
            "roles": ["Orders.Read.All"], "ver": "2.0",
        }),
    );
    app_only.grants(settings, "oid-2", &["Orders.Read.All"], &[], &[tid]);

    let b2c = shape(
        "https://contoso.b2clogin.com/775527ff-9a37-4307-8b3d-cc311f58d925/v2.0/",
        header(),
        json!({
            "aud": "client", "azp": "client", "nbf": NOW, "sub": "user-1", "emails": ["ada@example.com"],
            "scp": "orders.read", "tfp": "B2C_1_signin", "ver": "1.0",
        }),
    );
    b2c.grants(|auth| auth.audience("client"), "user-1", &[], &["orders.read"], &[]);
}

#[test]
fn cognito() {
    let issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1";
    let header = || json!({ "kid": "1234example=" });
    let id = shape(
        issuer,
        header(),
        json!({
            "sub": "aaaa-bbbb", "aud": "app-client", "token_use": "id", "cognito:groups": ["admins"],
            "cognito:username": "ada", "event_id": "64f5", "jti": "d1", "origin_jti": "d0", "auth_time": NOW,
        }),
    );
    let access = shape(
        issuer,
        header(),
        json!({
            "sub": "aaaa-bbbb", "client_id": "app-client", "token_use": "access", "cognito:groups": ["admins"],
            "scope": "aws.cognito.signin.user.admin orders/read", "username": "ada", "version": 2, "jti": "d2",
        }),
    );
    let access_only = |claims: &Claims| match claims["token_use"].as_str() {
        Some("access") => Ok(()),
        _ => Err(ApiError::unauthenticated()),
    };
    let settings = |auth: Builder| {
        auth.clients_without_audience(["app-client", "other"])
            .roles_at(["cognito:groups"])
            .validate(access_only)
    };
    let scopes = ["aws.cognito.signin.user.admin", "orders/read"];
    access.grants(settings, "aaaa-bbbb", &["admins"], &scopes, &[]);
    access.is_rejected(|auth| auth.audience("app-client"));
    access.is_rejected(|auth| auth.clients_without_audience(["other"]));
    access.is_rejected(|auth| auth.clients_without_audience(["App-Client"]));
    // an allowlist of clients does not make audiences optional where there are some
    id.is_rejected(|auth| auth.clients_without_audience(["app-client"]));
    id.is_rejected(|auth| settings(auth).audience("app-client"));
    let settings = |auth: Builder| auth.audience("app-client").roles_at(["cognito:groups"]);
    id.grants(settings, "aaaa-bbbb", &["admins"], &[], &[]);
}

#[test]
fn keycloak() {
    let issuer = "https://sso.example.com/realms/shop";
    let header = || json!({ "typ": "JWT", "kid": "FJ86" });
    let user = shape(
        issuer,
        header(),
        json!({
            "jti": "onrtro:1", "aud": ["orders", "account"], "sub": "f4b5", "typ": "Bearer", "azp": "web", "sid": "9a",
            "acr": "1", "allowed-origins": ["*"], "realm_access": { "roles": ["offline_access", "admin"] },
            "resource_access": {
                "orders": { "roles": ["editor", "admin"] }, "account": { "roles": ["manage-account"] },
            },
            "scope": "openid profile", "preferred_username": "ada",
        }),
    );
    user.grants(
        |auth| {
            auth.audience("orders").roles_at(["realm_access", "roles"]).roles_at([
                "resource_access",
                "orders",
                "roles",
            ])
        },
        "f4b5",
        &["offline_access", "admin", "editor"],
        &["openid", "profile"],
        &[],
    );
    user.grants(
        |auth| auth.audience("orders").roles_at(["resource_access", "other", "roles"]),
        "f4b5",
        &[],
        &["openid", "profile"],
        &[],
    );

    // client credentials in Keycloak 25 and later, without the scope `basic`
    let client = shape(
        issuer,
        header(),
        json!({ "jti": "trrtcc:1", "aud": "orders", "typ": "Bearer", "azp": "job", "client_id": "job", "scope": "" }),
    );
    client.is_rejected(|auth| auth.audience("orders"));
    client.grants(|auth| auth.audience("orders").optional_subject(), "", &[], &[], &[]);
    client.grants(|auth| auth.audience("orders").subject_at(["client_id"]), "job", &[], &[], &[]);
    client.grants(|auth| auth.audience("orders").subject_at(["azp"]), "job", &[], &[], &[]);
    let both = |auth: Builder| auth.audience("orders").client_as_subject("client:");
    client.grants(both, "client:job", &[], &[], &[]);
    user.grants(both, "f4b5", &[], &["openid", "profile"], &[]);
    // a named claim that is absent is no subject either
    client.is_rejected(|auth| auth.audience("orders").subject_at(["preferred_username"]));
}

#[test]
fn spring_authorization_server() {
    let token = shape(
        "http://127.0.0.1:9000",
        json!({ "kid": "0f7d" }),
        json!({ "sub": "ada", "aud": "orders", "nbf": NOW, "scope": ["orders.read", "orders.write"], "jti": "6a" }),
    );
    token.grants(|auth| auth.audience("orders"), "ada", &[], &["orders.read", "orders.write"], &[]);
}

#[test]
fn duende_identity_server() {
    let header = || json!({ "typ": "at+jwt", "kid": "9D" });
    let user = shape(
        "https://demo.duendesoftware.com",
        header(),
        json!({
            "nbf": NOW, "aud": "orders", "scope": ["openid", "orders", "offline_access"], "amr": ["pwd"],
            "client_id": "interactive", "sub": "1", "auth_time": NOW, "idp": "local", "sid": "9F", "jti": "B1",
        }),
    );
    user.grants(
        |auth| auth.audience("orders").access_tokens_only(),
        "1",
        &[],
        &["openid", "orders", "offline_access"],
        &[],
    );
    let machine = shape(
        "https://demo.duendesoftware.com",
        header(),
        json!({ "nbf": NOW, "aud": "orders", "scope": ["orders"], "client_id": "m2m", "jti": "B2" }),
    );
    machine.is_rejected(|auth| auth.audience("orders"));
    machine.grants(|auth| auth.audience("orders").optional_subject(), "", &[], &["orders"], &[]);
    let access_only = |auth: Builder| auth.audience("orders").access_tokens_only();
    machine.is_rejected(access_only);
    machine.grants(|auth| access_only(auth).optional_subject(), "", &[], &["orders"], &[]);
    let both = |auth: Builder| access_only(auth).client_as_subject("client:");
    machine.grants(both, "client:m2m", &[], &["orders"], &[]);
    let listed = |auth: Builder| access_only(auth).subject_at(["sub"]).subject_at(["client_id"]);
    machine.grants(listed, "m2m", &[], &["orders"], &[]);
    user.grants(listed, "1", &[], &["openid", "orders", "offline_access"], &[]);
    machine.is_rejected(|auth| access_only(auth).subject_at(["client_id"]));
}

#[test]
fn google() {
    let token = shape(
        "https://accounts.google.com",
        json!({ "typ": "JWT", "kid": "f5f4" }),
        json!({
            "azp": "1.apps.googleusercontent.com", "aud": "1.apps.googleusercontent.com",
            "sub": "110169484474386276334", "hd": "example.com", "email": "ada@example.com", "email_verified": true,
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "nonce": null,
        }),
    );
    token.grants(
        |auth| auth.audience("1.apps.googleusercontent.com").tenants_at(["hd"]),
        "110169484474386276334",
        &[],
        &[],
        &["example.com"],
    );
}

#[test]
fn firebase() {
    let token = shape(
        "https://securetoken.google.com/shop-1",
        json!({ "typ": "JWT", "kid": "fb" }),
        json!({
            "aud": "shop-1", "auth_time": NOW, "user_id": "u1", "sub": "u1", "admin": true,
            "firebase": { "identities": { "email": ["ada@example.com"] }, "sign_in_provider": "password", "tenant": "t1" },
        }),
    );
    token.grants(
        |auth| {
            auth.audience("shop-1").tenants_at(["firebase", "tenant"]).map_principal(
                |claims, principal| {
                    let is_admin = claims.get("admin") == Some(&Value::Bool(true));
                    principal.with_roles(is_admin.then_some("admin"))
                },
            )
        },
        "u1",
        &["admin"],
        &[],
        &["t1"],
    );
}

#[test]
fn zitadel() {
    let token = shape(
        "https://shop.zitadel.cloud",
        json!({ "typ": "JWT", "kid": "2813" }),
        json!({
            "aud": ["259242", "259241"], "sub": "259240", "client_id": "259242", "jti": "V2_1", "nbf": NOW,
            "urn:zitadel:iam:org:project:roles": {
                "admin": { "org-acme": "acme.example" },
                "viewer": { "org-acme": "acme.example", "org-globex": "globex.example" },
            },
        }),
    );
    let principal = token.grants(
        |auth| auth.audience("259241").tenants_by_role_at(["urn:zitadel:iam:org:project:roles"]),
        "259240",
        &[],
        &[],
        &["org-acme", "org-globex"],
    );
    let roles = |tenant| -> Vec<String> {
        principal.in_tenant(tenant).unwrap().roles().map(str::to_owned).collect()
    };
    assert_eq!(roles("org-acme"), ["admin", "viewer"]);
    assert_eq!(roles("org-globex"), ["viewer"]);
}

#[test]
fn ory_hydra() {
    let token = shape(
        "https://hydra.example.com/",
        json!({ "typ": "JWT", "kid": "public:1" }),
        json!({
            "aud": [], "client_id": "web", "ext": { "roles": ["editor"], "orgs": { "acme": ["admin"] } }, "jti": "c0",
            "nbf": NOW, "scp": ["orders.read", "offline"], "sub": "ada",
        }),
    );
    // an empty list is no audience
    token.is_rejected(|auth| auth.audience("orders"));
    let principal = token.grants(
        |auth| {
            auth.clients_without_audience(["web"])
                .roles_at(["ext", "roles"])
                .roles_by_tenant_at(["ext", "orgs"])
        },
        "ada",
        &["editor"],
        &["orders.read", "offline"],
        &["acme"],
    );
    assert!(principal.in_tenant("acme").unwrap().has_role("admin"));
}

#[test]
fn github_actions() {
    let token = shape(
        "https://token.actions.githubusercontent.com",
        json!({ "typ": "JWT", "kid": "cc41", "x5t": "cc41" }),
        json!({
            "jti": "a1", "sub": "repo:octo-org/octo-repo:environment:prod", "aud": "https://github.com/octo-org",
            "ref": "refs/heads/main", "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "nbf": NOW,
            "repository_id": "74", "run_id": "1", "actor": "ada", "job_workflow_ref": "octo-org/x@refs/heads/main",
        }),
    );
    let settings = |auth: Builder| {
        auth.audience("https://github.com/octo-org").tenants_at(["repository_owner"])
    };
    let subject = "repo:octo-org/octo-repo:environment:prod";
    token.grants(settings, subject, &[], &[], &["octo-org"]);
    let other_branch = |claims: &Claims| match claims["ref"].as_str() {
        Some("refs/heads/release") => Ok(()),
        _ => Err(ApiError::unauthenticated()),
    };
    token.is_rejected(|auth| settings(auth).validate(other_branch));
}

#[test]
fn kubernetes() {
    let token = shape(
        "https://kubernetes.default.svc.cluster.local",
        json!({ "kid": "3dHf" }),
        json!({
            "aud": ["https://orders.example.com"], "jti": "7c", "nbf": NOW,
            "sub": "system:serviceaccount:shop:worker",
            "kubernetes.io": {
                "namespace": "shop", "pod": { "name": "worker-1", "uid": "a" },
                "serviceaccount": { "name": "worker", "uid": "b" },
            },
        }),
    );
    token.grants(
        |auth| {
            auth.audience("https://orders.example.com").tenants_at(["kubernetes.io", "namespace"])
        },
        "system:serviceaccount:shop:worker",
        &[],
        &[],
        &["shop"],
    );
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
fn times_at_the_epoch_are_times() {
    let claims = json!({ "sub": "ada", "aud": "orders", "nbf": 0, "iat": 0 });
    let token = shape("https://issuer.example", json!({}), claims);
    token.grants(|auth| auth.audience("orders"), "ada", &[], &[], &[]);
    token.is_rejected(|auth| auth.audience("orders").max_age(Duration::from_secs(300)));
}

#[test]
fn escaped_strings_are_read_like_others() {
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
fn first_named_subject_that_is_present_counts() {
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
