//! Tokens of well-known issuers.

use super::*;

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
