//! Metadata that clients discover (RFC 9728), and challenges that ask for another login (RFC 9470).

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use palisade_auth::{
    Jwt, LoginContext, ProtectedResource, ProtectedResourceBuilder, StepUp,
    rules::{Rule, scope},
    testing::sign_hs256,
};
use palisade_core::{
    ManualClock, Policy, PolicyLayer, Stage,
    testing::{Contract, Script},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a signing key of at least thirty-two bytes";

#[derive(Deserialize)]
struct Claims {
    acr: Option<String>,
    auth_time: Option<u64>,
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Duration::from_secs(NOW)))
}

fn jwt() -> Jwt<Claims> {
    Jwt::hs256(SECRET).audience("orders").clock(clock()).build().unwrap()
}

fn resource(identifier: &str) -> ProtectedResourceBuilder {
    ProtectedResource::builder(identifier).authorization_server("https://login.example.com")
}

async fn ask<P: Stage>(
    policy: P,
    method: Method,
    path: &str,
    claims: Option<Value>,
) -> (StatusCode, HeaderMap, String) {
    let service = PolicyLayer::new(policy).layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new("handler".to_owned()))
    }));
    let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
    if let Some(mut claims) = claims {
        claims["sub"] = "ada".into();
        claims["aud"] = "orders".into();
        claims["exp"] = (NOW + 60).into();
        let field = format!("Bearer {}", sign_hs256(SECRET, &claims));
        request.headers_mut().insert(header::AUTHORIZATION, field.parse().unwrap());
    }
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn metadata_is_at_its_well_known_path() {
    for (identifier, path, url) in [
        ("https://api.example.com", "", "https://api.example.com"),
        ("https://api.example.com/", "", "https://api.example.com"),
        ("https://api.example.com/mcp", "/mcp", "https://api.example.com"),
        ("http://127.0.0.1:3000/a/b", "/a/b", "http://127.0.0.1:3000"),
    ] {
        let well_known = "/.well-known/oauth-protected-resource";
        let built = resource(identifier)
            .scopes(["read", "write"])
            .member("resource_name", "Orders")
            .build()
            .unwrap();
        assert_eq!(built.metadata_url(), format!("{url}{well_known}{path}"));
        let policy = built.then(jwt());
        let at = format!("{well_known}{path}");
        let (status, headers, body) = ask(policy.clone(), Method::GET, &at, None).await;
        assert_eq!(status, StatusCode::OK, "without a token");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({
                "resource": identifier,
                "authorization_servers": ["https://login.example.com"],
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Orders",
            })
        );
        let (status, headers, _) = ask(policy.clone(), Method::POST, &at, None).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers[header::ALLOW], "GET, HEAD");
        for other in [format!("{at}/x"), format!("{at}x"), "/".to_owned()] {
            let (status, ..) = ask(policy.clone(), Method::GET, &other, None).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{other}");
        }
    }
}

#[tokio::test]
async fn challenges_link_to_the_metadata() {
    let built = resource("https://api.example.com/mcp").challenge_scopes(["read"]).build().unwrap();
    let link = format!("resource_metadata=\"{}\"", built.metadata_url());
    let (_, headers, _) = ask(built.clone().then(jwt()), Method::GET, "/", None).await;
    let expected = format!("Bearer realm=\"api\", {link}, scope=\"read\"");
    assert_eq!(headers[header::WWW_AUTHENTICATE], expected);

    let guarded = built.clone().then(jwt()).then(scope("write").authorize());
    let (status, headers, _) = ask(guarded, Method::GET, "/", Some(json!({}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let expected = format!("Bearer error=\"insufficient_scope\", scope=\"write\", {link}");
    assert_eq!(headers[header::WWW_AUTHENTICATE], expected);

    let finish = |status: u16, challenges: &[&str]| {
        let mut head = Response::builder().status(status).body(()).unwrap().into_parts().0;
        for challenge in challenges {
            head.headers
                .append(header::WWW_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap());
        }
        built.finish((), &mut head);
        let fields = head.headers.get_all(header::WWW_AUTHENTICATE).iter();
        fields.map(|field| field.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = format!("{link}, scope=\"read\"");
    assert_eq!(finish(401, &["Bearer"]), [format!("Bearer {both}")]);
    assert_eq!(
        finish(401, &["dpop algs=\"ES256\"", "Basic realm=\"a\""]),
        [format!("dpop algs=\"ES256\", {both}"), "Basic realm=\"a\"".to_owned()]
    );
    assert_eq!(finish(200, &["Bearer"]), ["Bearer"]);
    let done = format!("Bearer {link}");
    assert_eq!(finish(403, &[&done]), [&*done], "once");
    assert!(finish(403, &[]).is_empty(), "a rejection that is not about tokens");
}

#[tokio::test]
async fn step_up_requires_acr_and_recent_login() {
    let step_up = || {
        let builder = StepUp::new(|claims: &Claims| LoginContext {
            acr: claims.acr.as_deref(),
            auth_time: claims.auth_time,
        });
        builder.clock(clock())
    };
    let both = step_up().acr_values(["phr", "phrh"]).max_age(Duration::from_secs(300));
    let both = jwt().then(both.build().unwrap());
    for (claims, expected) in [
        (json!({"acr": "phr", "auth_time": NOW - 300}), 200),
        (json!({"acr": "phrh", "auth_time": NOW}), 200),
        (json!({"acr": "phr", "auth_time": NOW - 301}), 401),
        (json!({"acr": "phr", "auth_time": NOW + 61}), 401),
        (json!({"acr": "pwd", "auth_time": NOW}), 401),
        (json!({"acr": "phr"}), 401),
        (json!({"auth_time": NOW}), 401),
    ] {
        let (status, headers, _) = ask(both.clone(), Method::GET, "/", Some(claims.clone())).await;
        assert_eq!(status.as_u16(), expected, "{claims}");
        if expected == 401 {
            let challenge = headers[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert!(challenge.starts_with("Bearer error=\"insufficient_user_authentication\""));
            assert!(challenge.ends_with("acr_values=\"phr phrh\", max_age=\"300\""), "{challenge}");
        }
    }
    let recent = step_up().max_age(Duration::from_secs(60)).build().unwrap();
    let (status, ..) = ask(recent, Method::GET, "/", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "without authentication");
    assert_eq!(step_up().build().unwrap_err().setting(), "step_up");
    assert_eq!(step_up().acr_values(["a\"b"]).build().unwrap_err().setting(), "acr_values");
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let error = |builder: ProtectedResourceBuilder| builder.build().unwrap_err();
    for identifier in [
        "",
        "/mcp",
        "http://api.example.com",
        "https://a.example#b",
        "https://u@a.example",
        "https://a.example/\"b",
    ] {
        assert_eq!(error(resource(identifier)).setting(), "resource", "{identifier}");
    }
    let without = ProtectedResource::builder("https://api.example.com");
    assert_eq!(error(without).setting(), "authorization_server");
    let api = || resource("https://api.example.com");
    assert_eq!(error(api().authorization_server("login")).setting(), "authorization_server");
    assert_eq!(error(api().scopes(["a b"])).setting(), "scopes");
    assert_eq!(error(api().challenge_scopes(["\""])).setting(), "scopes");
    assert_eq!(error(api().member("resource", "https://b.example")).setting(), "member");
}

#[test]
fn keeps_the_contract() {
    let request = || Request::get("/").body(Script::empty()).unwrap();
    Contract::new(request).check_policy(|| resource("https://api.example.com").build().unwrap());
}
