//! What an operator reads, at the usual level, of credentials that are rejected.

use std::{convert::Infallible, future::Future, pin::pin, task};

use http::{Request, header};
use palisade_auth::{
    ApiKeyRecord, ApiKeys, Basic, CsrfCheck, Identity, InMemoryApiKeys, Jwt, SessionStore, Sessions,
};
use palisade_core::{BoxError, BoxFuture, Policy, PolicyLayer, Principal, testing::Log};
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
fn rejected_credential_has_a_line_with_the_reason_and_without_the_secret() {
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

#[test]
fn csrf_rejection_has_a_line() {
    let (head, ()) =
        Request::post("/").header("origin", "https://evil.example").body(()).unwrap().into_parts();
    let log = Log::during(Level::INFO, || drop(CsrfCheck::new().check(&head).unwrap_err()));
    assert_eq!(log.lines().count(), 1, "{log}");
}
