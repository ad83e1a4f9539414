//! What becomes of every way to authenticate: optional, with a page to log in, revoked; and what handlers get.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode, header, request};
use palisade_auth::{Authenticate, Identity, Jwt, JwtBuilder, testing::sign_hs256};
use palisade_core::{ApiError, BoxError, Decision, Halt, ManualClock, Policy, Principal};
use serde_json::{Value, json};

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

fn builder() -> JwtBuilder<Value> {
    Jwt::hs256(SECRET).audience("a").clock(Arc::new(ManualClock::at(Duration::from_secs(NOW))))
}

fn auth() -> Jwt<Value> {
    builder().build().unwrap()
}

fn claims() -> Value {
    json!({"sub": "ada", "aud": "a", "exp": NOW + 60, "iat": NOW})
}

fn head(fields: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::get("/orders?page=2");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn bearer(claims: &Value) -> String {
    format!("Bearer {}", sign_hs256(SECRET, claims))
}

async fn decided<P: Policy>(policy: &P, head: &request::Parts) -> Result<P::Grant, Halt> {
    match policy.decide(head) {
        Decision::Now(outcome) => outcome,
        Decision::Later(decision) => decision.await,
    }
}

async fn refusal<P: Policy>(policy: &P, head: &request::Parts) -> ApiError {
    match decided(policy, head).await {
        Err(Halt::Refuse(error)) => error,
        Err(Halt::Reply(reply)) => panic!("{reply:?}"),
        Ok(_) => panic!("it passed"),
    }
}

/// The principal that a request passes with.
async fn passes<P: Policy>(policy: &P, fields: &[(&str, &str)]) -> Option<Principal> {
    let mut head = head(fields);
    let Ok(mut grant) = decided(policy, &head).await else { panic!("it was refused") };
    policy.admit(&mut grant, &mut head);
    head.extensions.get().cloned()
}

#[tokio::test]
async fn optional_authentication_rejects_invalid_credentials() {
    let optional = auth().optional();
    assert_eq!(passes(&optional, &[]).await, None);
    let token = bearer(&claims());
    let ada = passes(&optional, &[("authorization", &token)]).await.unwrap();
    assert_eq!(ada.subject(), "ada");
    let bad = head(&[("authorization", "Bearer a.b.c")]);
    assert_eq!(refusal(&optional, &bad).await.status(), StatusCode::UNAUTHORIZED);

    let optional = builder().token_in_cookie("token").token_in_bearer().build().unwrap().optional();
    let (mut response, ()) =
        http::Response::builder().header("vary", "authorization").body(()).unwrap().into_parts();
    optional.finish(None, &mut response);
    let vary: Vec<_> = response.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["authorization, cookie"], "caches learn what it depends on, once each");
}

#[tokio::test]
async fn browsers_are_redirected_to_login_with_a_local_return_path() {
    let pages = auth().login_redirect("/login").unwrap();
    let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
    let Err(Halt::Reply(reply)) = decided(&pages, &head(&[html])).await else { panic!("no reply") };
    assert_eq!(reply.status(), StatusCode::SEE_OTHER);
    assert_eq!(reply.headers()[header::LOCATION], "/login?return_to=%2Forders%3Fpage%3D2");
    assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");

    for fields in [&[][..], &[("accept", "application/json")], &[("accept", "text/html;q=0")]] {
        assert_eq!(refusal(&pages, &head(fields)).await.status(), StatusCode::UNAUTHORIZED);
    }
    let mut post = head(&[html]);
    post.method = http::Method::POST;
    assert_eq!(refusal(&pages, &post).await.status(), StatusCode::UNAUTHORIZED);

    for elsewhere in ["//evil.example/", "/\\evil.example"] {
        let mut head = head(&[html]);
        let Ok(uri) = elsewhere.parse() else { continue };
        head.uri = uri;
        let Err(Halt::Reply(reply)) = decided(&pages, &head).await else { panic!("no reply") };
        assert_eq!(reply.headers()[header::LOCATION], "/login?return_to=%2F", "{elsewhere}");
    }
    for page in
        ["login", "//evil.example", "https://evil.example", "/\\evil", "", "/a\r\nb", "/a?b"]
    {
        assert_eq!(
            auth().login_redirect(page).unwrap_err().setting(),
            "login_redirect",
            "{page:?}"
        );
    }
}

#[tokio::test]
async fn revoked_identity_is_rejected_with_a_cached_token() {
    let token = bearer(&claims());
    let fields = [("authorization", token.as_str())];
    let revoked = auth().revoked(|identity| identity.principal().subject() == "ada");
    let error = refusal(&revoked, &head(&fields)).await;
    assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
    let bad = refusal(&revoked, &head(&[("authorization", "Bearer a.b.c")])).await;
    assert_eq!(error.headers(), bad.headers(), "it hears what any bad token hears");
    assert!(passes(&auth().revoked(|_| false), &fields).await.is_some());

    type Answer = Result<bool, BoxError>;
    let ask = |answer: fn() -> Answer| auth().revoked_later(move |_| async move { answer() });
    assert!(passes(&ask(|| Ok(false)), &fields).await.is_some());
    let refused = refusal(&ask(|| Ok(true)), &head(&fields)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let unknown = refusal(&ask(|| Err("the list is not there".into())), &head(&fields)).await;
    assert_eq!(unknown.status(), StatusCode::SERVICE_UNAVAILABLE, "it could not tell");
    let nobody = refusal(&ask(|| panic!("nobody to ask about")), &head(&[])).await;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn reads_roles_scopes_and_tenants_from_configured_claims() {
    let mut token = claims();
    token["realm_access"] = json!({"roles": ["admin", 7, "staff"], "x": {"y": 1}});
    token["cognito:groups"] = json!(["admin", "staff"]);
    token["https://example.com/roles"] = json!(["admin", "staff"]);
    token["roles"] = json!("admin");
    token["orgs"] = json!({"member_of": ["acme"]});
    token["scp"] = json!(["read", "write"]);
    let field = bearer(&token);
    let fields = [("authorization", field.as_str())];
    for path in [
        &["realm_access", "roles"][..],
        &["cognito:groups"],
        &["https://example.com/roles"],
        &["roles"],
    ] {
        let auth = builder().roles_at(path.iter().copied()).tenants_at(["orgs", "member_of"]);
        let principal = passes(&auth.build().unwrap(), &fields).await.unwrap();
        assert!(principal.has_role("admin"), "{path:?}");
        assert_eq!(principal.has_role("staff"), path != ["roles"], "{path:?}");
        assert!(principal.is_member_of("acme") && principal.has_scope("write"));
    }
    for path in [&["realm_access"][..], &["realm_access", "x"], &["nothing", "here"]] {
        let auth = builder().roles_at(path.iter().copied()).build().unwrap();
        assert_eq!(passes(&auth, &fields).await.unwrap().roles().count(), 0, "{path:?}");
    }
    for path in [&[][..], &["scope"], &["aud"]] {
        let error = builder().roles_at(path.iter().copied()).build().unwrap_err();
        assert_eq!(error.setting(), "roles_at");
    }
}

#[tokio::test]
async fn rejects_tokens_beyond_max_lifetime_or_max_age() {
    let auth = builder()
        .skew(Duration::ZERO)
        .max_lifetime(Duration::from_secs(60))
        .max_age(Duration::from_secs(10))
        .build()
        .unwrap();
    let ask = async |exp: u64, iat: Option<u64>| {
        let mut token = claims();
        token["exp"] = exp.into();
        match iat {
            Some(iat) => token["iat"] = iat.into(),
            None => drop(token.as_object_mut().unwrap().remove("iat")),
        }
        let field = bearer(&token);
        decided(&auth, &head(&[("authorization", &field)])).await.is_ok()
    };
    assert!(ask(NOW + 60, Some(NOW - 10)).await);
    assert!(!ask(NOW + 61, Some(NOW)).await, "good for longer");
    assert!(!ask(NOW + 60, Some(NOW - 11)).await, "issued earlier");
    assert!(!ask(NOW + 60, None).await, "nobody knows when");
}

#[tokio::test]
async fn a_response_to_a_token_in_a_query_is_not_stored() {
    let auth = builder().insecure_token_in_query("access_token").build().unwrap();
    let (mut response, ()) = http::Response::new(()).into_parts();
    auth.finish(None, &mut response);
    assert_eq!(response.headers[header::CACHE_CONTROL], "no-store");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn identity_extractor_without_a_policy_is_500() {
    use axum::{Router, routing::get};
    use tower::ServiceExt;
    let app = || {
        Router::<()>::new().route("/guarded", get(|_: Identity<Value>| async { "in" })).route(
            "/optional",
            get(|who: Option<Identity<Value>>| async move { who.is_some().to_string() }),
        )
    };
    let ask = async |app: Router, path: &str, field: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(field) = field {
            request = request.header("authorization", field);
        }
        app.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(ask(app(), "/guarded", None).await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(app(), "/optional", None).await, StatusCode::OK);
    let field = bearer(&claims());
    assert_eq!(ask(app().layer(auth().layer()), "/guarded", Some(&field)).await, StatusCode::OK);
}

proptest::proptest! {
    #[test]
    fn claims_of_any_shape_never_panic(
        name in "(exp|nbf|iat|iss|sub|aud|scope|scp|roles|tenants|[a-z]{1,3})",
        value in "(null|true|-?[0-9]{1,20}|1e400|\"[a-z]{0,5}\"|\\[\"a\",1\\]|\\{\"a\":\\{\"b\":[0-9]\\}\\}|\\[|\\{\"a\":1,\"a\":2\\})",
    ) {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        use hmac::{Hmac, KeyInit, Mac};
        let payload = format!("{{\"sub\":\"a\",\"exp\":{},\"{name}\":{value}}}", NOW + 60);
        let message = format!("{}.{}", B64.encode("{\"alg\":\"HS256\"}"), B64.encode(payload));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        let field = format!("Bearer {message}.{}", B64.encode(mac.finalize().into_bytes()));
        let _ = builder().build().unwrap().decide(&head(&[("authorization", &field)]));
    }
}

#[test]
fn every_wrapper_keeps_the_contract() {
    use palisade_core::testing::{Contract, Script};
    let field = bearer(&claims());
    let with = |field: String| {
        Contract::new(move || {
            Request::get("/").header("authorization", &field).body(Script::empty()).unwrap()
        })
    };
    let (good, bad) = (with(field), with("Bearer a.b.c".to_owned()));
    good.check_policy(|| auth().optional());
    good.check_policy(|| auth().login_redirect("/login").unwrap());
    good.check_policy(|| auth().revoked(|_| false));
    good.check_policy(|| auth().revoked_later(|_| async { Ok::<_, BoxError>(false) }));
    bad.check_refusal(|| auth().optional());
    bad.check_refusal(|| auth().login_redirect("/login").unwrap());
    good.check_refusal(|| auth().revoked(|_| true));
}
