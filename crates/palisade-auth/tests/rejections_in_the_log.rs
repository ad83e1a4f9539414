//! What an operator reads, at the usual level, of credentials that are rejected.

use std::{convert::Infallible, future::Future, pin::pin, task};

use http::{Request, header};
use palisade_auth::{
    ApiKeyRecord, ApiKeys, Basic, CsrfCheck, Identity, InMemoryApiKeys, Jwt, LoginContext,
    SessionStore, Sessions, StepUp, testing::sign_hs256,
};
use palisade_core::{BoxError, BoxFuture, Policy, PolicyLayer, Principal, Stage, testing::Log};
use sha2::{Digest, Sha256};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

struct NoSessions;

impl SessionStore for NoSessions {
    type Claims = ();

    fn find(&self, _: &str) -> BoxFuture<Result<Option<Identity<()>>, BoxError>> {
        Box::pin(async { Ok(None) })
    }
}

/// Sends a request with one field, and returns what is logged at level INFO and above.
fn logged<P: Policy>(policy: P, name: &header::HeaderName, value: &str, times: usize) -> String {
    let service = PolicyLayer::new(policy).layer(service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(http::Response::new(String::new()))
    }));
    Log::during(Level::INFO, || {
        for _ in 0..times {
            let request = Request::post("/").header(name, value).body(String::new()).unwrap();
            let mut future = pin!(service.clone().oneshot(request));
            let mut cx = task::Context::from_waker(task::Waker::noop());
            while future.as_mut().poll(&mut cx).is_pending() {}
        }
    })
}

fn basic() -> impl Policy {
    let verify = |_: String, _: palisade_auth::Password| async {
        Ok::<Option<Identity<()>>, BoxError>(None)
    };
    Basic::builder(verify).build().unwrap()
}

#[test]
fn rejection_is_logged_with_reason_and_without_secret() {
    let authorization = header::AUTHORIZATION;
    let record = ApiKeyRecord::new("k1", Sha256::digest("other").into(), Principal::new("billing"));
    let keys =
        || ApiKeys::builder("acme", InMemoryApiKeys::from_iter([record.clone()])).build().unwrap();
    let jwt = || Jwt::<()>::hs256("x".repeat(32)).audience("api").build();
    let session = || Sessions::builder(NoSessions).bearer().build().unwrap();
    for (log, reason) in [
        (
            logged(jwt().unwrap(), &authorization, "Bearer hunter2.hunter2.hunter2", 1),
            "check=\"token syntax\"",
        ),
        (logged(keys(), &authorization, "ApiKey acme_k1.hunter2", 1), "UnknownOrWrong"),
        (logged(session(), &authorization, "Bearer hunter2", 1), "a session was refused"),
        (
            logged(basic(), &authorization, "Basic YWRhOmh1bnRlcjI=", 1),
            "basic credentials were rejected",
        ),
    ] {
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.starts_with("INFO palisade::auth: ") && log.contains(reason), "{log}");
        assert!(!log.contains("hunter2") && !log.contains("aHVudGVy"), "{log}");
    }

    // a flood of them fills no disk
    let log = logged(jwt().unwrap(), &authorization, "Bearer x.y.z", 10_000);
    assert!(log.lines().count() < 5_000, "{}", log.lines().count());
    assert!(log.lines().count() > 0);
}

/// Sends requests with these fields one after the other, and returns what is logged at level INFO and above.
fn logged_with<P: Stage>(policy: P, requests: &[&[(&str, &str)]]) -> String {
    let service = PolicyLayer::new(policy).layer(service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(http::Response::new(String::new()))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    Log::during(Level::INFO, || {
        for fields in requests {
            let mut request = Request::get("/");
            for (name, value) in *fields {
                request = request.header(*name, *value);
            }
            let response = service.clone().oneshot(request.body(String::new()).unwrap());
            assert!(runtime.block_on(response).unwrap().status().is_client_error());
        }
    })
}

#[test]
fn duplicate_credentials_are_logged_once_in_each_scheme() {
    let two = [("authorization", "Bearer hunter2"), ("authorization", "Bearer hunter2")];
    let cookies = [("cookie", "__Host-session=hunter2; __Host-session=hunter2")];
    let keys = || ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build().unwrap();
    let jwt = || Jwt::<()>::hs256("x".repeat(32)).audience("api").build().unwrap();
    for log in [
        logged_with(jwt(), &[&two]),
        logged_with(keys(), &[&two]),
        logged_with(keys(), &[&[("x-api-key", "hunter2"), ("x-api-key", "hunter2")]]),
        logged_with(Sessions::builder(NoSessions).bearer().build().unwrap(), &[&two]),
        logged_with(Sessions::builder(NoSessions).build().unwrap(), &[&cookies]),
        logged_with(basic(), &[&two]),
    ] {
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("more than one set of credentials"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[cfg(feature = "introspection")]
#[test]
fn each_rejection_of_an_opaque_token_is_logged() {
    use palisade_auth::{Introspection, testing::OpaqueIssuer};
    use serde_json::json;

    let issuer = OpaqueIssuer::new("orders-api", "secret");
    let auth = Introspection::<()>::endpoint("https://issuer.example/introspect")
        .client_secret_basic("orders-api", "secret")
        .audience("orders")
        .fetch(issuer.clone())
        .build()
        .unwrap();
    let other = issuer.issue(json!({ "sub": "ada", "aud": "billing" }));
    let other = format!("Bearer {other}");
    let long = format!("Bearer hunter2{}", "x".repeat(20_000));
    for (field, reason) in [
        ("Bearer hunter2", "check=\"introspection\""),
        (&*other, "found [\\\"billing\\\"]"),
        ("Bearer hunter2 hunter2", "check=\"token syntax\""),
        (&*long, "check=\"token length\""),
    ] {
        // The second one is rejected without asking the issuer again.
        let fields = [("authorization", field)];
        // The other tests of this file may have used the lines of this second up.
        let log = (0..500_000)
            .map(|_| logged_with(auth.clone(), &[&fields, &fields]))
            .find(|log| log.lines().count() == 2)
            .expect("a line for each request");
        assert!(log.lines().all(|line| line.contains(reason)), "{log}");
        assert!(!log.contains("hunter2") && !log.contains(field), "{log}");
    }
    assert_eq!(issuer.questions(), 2);
}

#[test]
fn rejected_step_up_is_logged() {
    let secret = "x".repeat(32);
    let claims = serde_json::json!({ "sub": "ada", "aud": "api", "exp": 4_102_444_800_u64 });
    let field = format!("Bearer {}", sign_hs256(&*secret, &claims));
    let step_up = StepUp::new(|(): &()| LoginContext::default()).acr_values(["phr"]);
    let jwt = Jwt::<()>::hs256(secret).audience("api").build().unwrap();
    let log = logged_with(jwt.then(step_up.build().unwrap()), &[&[("authorization", &field)]]);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("a login was rejected"), "{log}");
}

#[test]
fn csrf_rejection_is_logged() {
    let (head, ()) =
        Request::post("/").header("origin", "https://evil.example").body(()).unwrap().into_parts();
    let log = Log::during(Level::INFO, || drop(CsrfCheck::new().check(&head).unwrap_err()));
    assert_eq!(log.lines().count(), 1, "{log}");
}
