//! Credentials outside of `Authorization: Bearer`: other schemes, the protocols of a WebSocket, and no request at all.

mod direct;

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header};
use palisade_auth::{
    ApiKey, ApiKeys, Authenticate, Basic, Identity, InMemoryApiKeys, Jwt, JwtBuilder, LoginContext,
    Password, ProtectedResource, SessionStore, Sessions, StepUp,
    rules::{Authorize, scope},
    testing::sign_hs256,
};
use palisade_core::{
    BoxError, BoxFuture, ManualClock, Policy, PolicyLayer, Principal, Stage, any_of,
    testing::{Contract, Script},
};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

fn builder() -> JwtBuilder<()> {
    Jwt::hs256(SECRET).audience("chat").clock(Arc::new(ManualClock::at(Duration::from_secs(NOW))))
}

fn token() -> String {
    sign_hs256(SECRET, &json!({ "sub": "ada", "aud": "chat", "exp": NOW + 60 }))
}

/// Sends a request, and returns the status, the challenge, and the protocols that reach the handler.
async fn send(policy: impl Stage, fields: &[(&str, &str)]) -> (StatusCode, String, Vec<String>) {
    let service =
        PolicyLayer::new(policy).layer(service_fn(|request: Request<String>| async move {
            let mut response = Response::new(String::new());
            for protocol in request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL) {
                response.headers_mut().append("x-offered", protocol.clone());
            }
            Ok::<_, Infallible>(response)
        }));
    let mut request = Request::get("/chat");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    let text = |name| -> Vec<String> {
        let values = response.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    (response.status(), text("www-authenticate").join("; "), text("x-offered"))
}

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn a_token_among_websocket_protocols_never_reaches_the_handler() {
    let auth = builder().token_in_websocket_protocol("bearer.").build().unwrap();
    let entry = format!("bearer.{}", token());
    let among = |fields: &[&str]| fields.join(", ");
    for (fields, offered) in [
        (vec![among(&["chat.v1", &entry])], vec!["chat.v1"]),
        (vec![among(&[&entry, "chat.v2", "chat.v1"])], vec!["chat.v2, chat.v1"]),
        (vec!["chat.v2".to_owned(), entry.clone(), "chat.v1".to_owned()], vec!["chat.v2, chat.v1"]),
        (vec![format!(" ,{entry} ,, chat.v1")], vec!["chat.v1"]),
        (vec![entry.clone()], vec![]),
    ] {
        let fields: Vec<_> = fields.iter().map(|field| (PROTOCOL, field.as_str())).collect();
        let (status, _, seen) = send(auth.clone(), &fields).await;
        assert_eq!(
            (status, seen),
            (StatusCode::OK, offered.iter().map(ToString::to_string).collect())
        );
    }
}

#[tokio::test]
async fn each_wrapper_hides_the_token_too() {
    let auth = || builder().token_in_websocket_protocol("bearer.").build().unwrap();
    let fields = format!("bearer.{}, chat.v1", token());
    let fields = [(PROTOCOL, fields.as_str())];
    let ok = (StatusCode::OK, String::new(), vec!["chat.v1".to_owned()]);
    let keys = || ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build().unwrap();
    assert_eq!(send(auth().optional(), &fields).await, ok);
    assert_eq!(send(auth().revoked(|_| false), &fields).await, ok);
    assert_eq!(send(auth().map_claims(|()| 7_u8), &fields).await, ok);
    assert_eq!(send(auth().login_redirect("/login").unwrap(), &fields).await, ok);
    assert_eq!(send(any_of(auth(), keys()), &fields).await, ok);
    assert_eq!(send(any_of(keys(), auth()).optional(), &fields).await, ok);
    let later = auth().revoked_later(|_| async { Ok::<_, Infallible>(false) });
    assert_eq!(send(later, &fields).await, ok);
}

#[tokio::test]
async fn websocket_protocols_without_one_good_token_are_rejected() {
    let auth = builder().token_in_websocket_protocol("bearer.").build().unwrap();
    let entry = format!("bearer.{}", token());
    for (fields, status) in [
        (vec!["chat.v1".to_owned()], 401),
        (vec![token()], 401),
        (vec![format!("Bearer.{}", token())], 401),
        (vec!["bearer.".to_owned()], 401),
        (vec!["bearer.a.b.c".to_owned()], 401),
        (vec![format!("{entry}, {entry}")], 400),
        (vec![entry.clone(), entry.clone()], 400),
    ] {
        let fields: Vec<_> = fields.iter().map(|field| (PROTOCOL, field.as_str())).collect();
        assert_eq!(send(auth.clone(), &fields).await.0, status, "{fields:?}");
    }
    // the header means nothing where it is not configured, and is left alone
    let bearer = format!("Bearer {}", token());
    let fields = [("authorization", bearer.as_str()), (PROTOCOL, "bearer.x, chat.v1")];
    let plain = builder().build().unwrap();
    assert_eq!(send(plain, &fields).await.2, ["bearer.x, chat.v1"]);
    let both = builder().token_in_bearer().token_in_websocket_protocol("bearer.").build().unwrap();
    assert_eq!(send(both, &fields).await.0, 400);
}

#[tokio::test]
async fn configured_authorization_scheme_is_accepted() {
    let auth = builder().token_in_authorization("Token").build().unwrap();
    let token = token();
    for (scheme, status) in
        [("Token", 200), ("token", 200), ("TOKEN", 200), ("Bearer", 401), ("Tokens", 401)]
    {
        let field = format!("{scheme} {token}");
        assert_eq!(send(auth.clone(), &[("authorization", &field)]).await.0, status, "{scheme}");
    }
    let (status, challenge, _) = send(auth.clone(), &[]).await;
    assert_eq!((status.as_u16(), &*challenge), (401, "Token realm=\"api\""));
    let (_, challenge, _) = send(auth, &[("authorization", "Token x")]).await;
    assert!(challenge.starts_with("Token realm=\"api\", error=\"invalid_token\""), "{challenge}");

    let both = builder().token_in_bearer().token_in_authorization("Token").build().unwrap();
    for scheme in ["Bearer", "Token"] {
        let field = format!("{scheme} {token}");
        assert_eq!(send(both.clone(), &[("authorization", &field)]).await.0, 200);
        assert_eq!(
            send(both.clone(), &[("authorization", &field), ("authorization", &field)]).await.0,
            400
        );
    }
}

#[test]
fn names_with_invalid_syntax_are_config_errors() {
    let setting = |builder: JwtBuilder<()>| builder.build().unwrap_err().setting();
    for name in ["", "a b", "a,b", "a\"", "caf\u{e9}"] {
        assert_eq!(setting(builder().token_in_authorization(name)), "token_in_authorization");
        let protocol = builder().token_in_websocket_protocol(name);
        assert_eq!(setting(protocol), "token_in_websocket_protocol");
    }
}

#[tokio::test]
async fn scheme_set_twice_in_another_case_is_used_once() {
    let field = format!("Bearer {}", token());
    for auth in [
        builder().token_in_bearer().token_in_authorization("bearer"),
        builder().token_in_authorization("BEARER").token_in_bearer(),
    ] {
        let auth = auth.build().unwrap();
        assert_eq!(send(auth, &[("authorization", &field)]).await.0, StatusCode::OK);
    }
    let field = format!("Token {}", token());
    let auth = builder().token_in_authorization("Token").token_in_authorization("token");
    let sent = send(auth.build().unwrap(), &[("authorization", &field)]).await;
    assert_eq!(sent.0, StatusCode::OK);
}

#[test]
fn places_that_read_the_same_token_are_config_errors() {
    let header = || builder().token_in_header(header::AUTHORIZATION);
    assert!(header().build().is_ok(), "alone it is a place like any other");
    for (builder, setting) in [
        (header().token_in_bearer(), "token_in_authorization"),
        (builder().token_in_bearer().token_in_header(header::AUTHORIZATION), "token_in_header"),
        (builder().token_in_cookie("t").token_in_header(header::COOKIE), "token_in_header"),
        (
            builder().token_in_websocket_protocol("b").token_in_websocket_protocol("b."),
            "token_in_websocket_protocol",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
}

#[tokio::test]
async fn inner_challenges_name_the_accepted_scheme() {
    let key = ApiKey::generate("acme", Principal::new("billing")).unwrap();
    let key_field = format!("ApiKey {}", key.plaintext());
    let record = key.into_record();
    let keys = || {
        let store = InMemoryApiKeys::from_iter([record.clone()]);
        ApiKeys::builder("acme", store).build().unwrap()
    };
    let token_scheme = || builder().token_in_authorization("Token").build().unwrap();
    let bearer = || builder().build().unwrap();
    let sessions = || Sessions::builder(Store).scheme("Token").build().unwrap();
    let write = || Authorize::new(scope("write"));
    let step_up = || {
        let step_up = StepUp::new(|(): &()| LoginContext::default());
        step_up.max_age(Duration::from_secs(60)).build().unwrap()
    };
    let (token_field, bearer_field) = (format!("Token {}", token()), format!("Bearer {}", token()));
    let lacks = |scheme: &str| format!("{scheme} error=\"insufficient_scope\", scope=\"write\"");
    let said = |sent: (StatusCode, String, Vec<String>)| sent.1;

    let fields = [("authorization", token_field.as_str())];
    assert_eq!(said(send(token_scheme().then(write()), &fields).await), lacks("Token"));
    let challenge = said(send(token_scheme().optional().then(step_up()), &fields).await);
    let start = "Token error=\"insufficient_user_authentication\", ";
    assert!(challenge.starts_with(start), "{challenge}");
    let anonymous = send(token_scheme().optional().then(write()), &[]).await;
    assert_eq!((anonymous.0.as_u16(), &*anonymous.1), (401, "Token"));
    let fields = [("authorization", "Token good")];
    assert_eq!(said(send(sessions().then(write()), &fields).await), lacks("Token"));
    let fields = [("authorization", key_field.as_str())];
    assert_eq!(said(send(keys().then(write()), &fields).await), lacks("ApiKey"));

    // Bearer stays where it is accepted, and the innermost authentication counts.
    let fields = [("authorization", bearer_field.as_str())];
    assert_eq!(said(send(bearer().then(write()), &fields).await), lacks("Bearer"));
    let either = any_of(token_scheme(), bearer()).optional();
    assert_eq!(said(send(either.then(write()), &fields).await), lacks("Bearer"));
    let nested = keys().optional().then(bearer()).then(write());
    assert_eq!(said(send(nested, &fields).await), lacks("Bearer"));
    let resource = ProtectedResource::builder("https://api.example.com")
        .authorization_server("https://login.example.com")
        .challenge_scheme("token")
        .build()
        .unwrap();
    let link = format!("resource_metadata=\"{}\"", resource.metadata_url());
    let fields = [("authorization", token_field.as_str())];
    let guarded = || resource.clone().then(token_scheme()).then(write());
    assert_eq!(said(send(guarded(), &fields).await), format!("{}, {link}", lacks("Token")));
    let missing = said(send(guarded(), &[]).await);
    assert_eq!(missing, format!("Token realm=\"api\", {link}"));
}

#[tokio::test]
async fn session_is_read_from_the_configured_scheme() {
    for auth in [
        Sessions::builder(Store).scheme("Token"),
        Sessions::builder(Store).bearer().scheme("Token"),
        Sessions::builder(Store).scheme("Token").bearer(),
    ] {
        let auth = auth.build().unwrap();
        for (field, status) in
            [("Token good", 200), ("token good", 200), ("Token bad", 401), ("Bearer good", 401)]
        {
            let (got, challenge, _) = send(auth.clone(), &[("authorization", field)]).await;
            assert_eq!(got, status, "{field}");
            assert!(status == 200 || challenge.starts_with("Token realm=\"api\""), "{challenge}");
        }
        let twice = [("authorization", "Token good"), ("authorization", "Token good")];
        assert_eq!(send(auth, &twice).await.0, 400);
    }
    let either = Sessions::builder(Store).cookie("sid").scheme("Token").build().unwrap();
    assert_eq!(send(either.clone(), &[("cookie", "sid=good")]).await.0, 200);
    let challenge = send(either, &[]).await.1;
    assert_eq!(challenge, "Cookie realm=\"api\"; Token realm=\"api\"");
}

#[tokio::test]
async fn api_key_is_read_from_the_configured_scheme() {
    let key = ApiKey::generate("acme", Principal::new("billing")).unwrap();
    let plaintext = key.plaintext().to_owned();
    let store = InMemoryApiKeys::from_iter([key.into_record()]);
    let auth = ApiKeys::builder("acme", store).scheme("Bearer").build().unwrap();
    for (scheme, status) in [("Bearer", 200), ("bearer", 200), ("ApiKey", 401)] {
        let field = format!("{scheme} {plaintext}");
        assert_eq!(send(auth.clone(), &[("authorization", &field)]).await.0, status, "{scheme}");
    }
    assert_eq!(send(auth.clone(), &[("x-api-key", &plaintext)]).await.0, 200);
    assert_eq!(send(auth, &[]).await.1, "Bearer realm=\"api\"");
}

#[test]
fn schemes_with_invalid_syntax_are_config_errors() {
    for name in ["", "a b", "a,b", "a\"", "caf\u{e9}", "Token="] {
        let sessions = Sessions::builder(Store).scheme(name).build().unwrap_err();
        assert_eq!(sessions.setting(), "scheme", "{name:?}");
        let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).scheme(name);
        assert_eq!(keys.build().unwrap_err().setting(), "scheme", "{name:?}");
        let resource = ProtectedResource::builder("https://api.example.com")
            .authorization_server("https://login.example.com")
            .challenge_scheme(name);
        assert_eq!(resource.build().unwrap_err().setting(), "challenge_scheme", "{name:?}");
    }
}

#[test]
fn a_websocket_token_keeps_the_contract() {
    let field = format!("chat.v1, bearer.{}", token());
    Contract::new(|| Request::get("/").header(PROTOCOL, &field).body(Script::empty()).unwrap())
        .check_policy(|| builder().token_in_websocket_protocol("bearer.").build().unwrap());
}

struct Store;

impl SessionStore for Store {
    type Claims = ();

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<()>>, BoxError>> {
        let token = token.to_owned();
        Box::pin(async move {
            match token.as_str() {
                "good" => Ok(Some(Identity::new((), Principal::new("ada")))),
                "down" => Err("the store is down".into()),
                _ => Ok(None),
            }
        })
    }
}

#[tokio::test]
async fn responses_to_tokens_in_the_query_are_not_stored() {
    async fn cache_control(auth: Jwt<()>, own: Option<&'static str>) -> Option<String> {
        let handler = service_fn(move |_: Request<String>| async move {
            let mut response = Response::new(String::new());
            if let Some(own) = own {
                response.headers_mut().insert(header::CACHE_CONTROL, own.parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        });
        // The inner layer writes `private` by default, which the outer one replaces.
        let service = PolicyLayer::new(auth).layer(PolicyLayer::new(()).layer(handler));
        let request = Request::get(format!("/chat?token={}", token()))
            .header("authorization", format!("Bearer {}", token()));
        let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let field = response.headers().get(header::CACHE_CONTROL);
        field.map(|field| field.to_str().unwrap().to_owned())
    }

    let in_query = || builder().insecure_token_in_query("token").build().unwrap();
    let in_header = || builder().build().unwrap();
    assert_eq!(cache_control(in_query(), None).await.as_deref(), Some("no-store"));
    assert_ne!(cache_control(in_header(), None).await.as_deref(), Some("no-store"));
    let private = Some("private, max-age=60");
    assert_eq!(cache_control(in_query(), private).await.as_deref(), private);
    assert_eq!(cache_control(in_header(), private).await.as_deref(), private);
}
