//! Slots for requests that are served at the same time.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Waker},
};

use http::{Request, Response, request};
use http_body_util::BodyExt;
use palisade_core::{
    ApiError, Decision, Measured, PeerAddr, Policy, PolicyLayer,
    testing::{Contract, Probe, Script, Step},
};
use palisade_rate_limit::{ByAddress, ConcurrencyLimit, Priority};
use tower::{Layer, Service, ServiceExt, service_fn};

type Served<B> = Response<B>;

fn from(client: u8) -> Request<Script> {
    let peer = PeerAddr(([192, 0, 2, client], 4000).into());
    Request::get("/").extension(peer).body(Script::empty()).unwrap()
}

fn with_priority(priority: Priority) -> Request<Script> {
    let mut request = from(1);
    request.extensions_mut().insert(priority);
    request
}

fn priority(request: &request::Parts) -> Priority {
    request.extensions.get().copied().unwrap_or_default()
}

/// A service whose responses have a body that does not end by itself.
fn streaming(
    limit: &ConcurrencyLimit,
) -> impl Service<
    Request<Script>,
    Response = Served<palisade_core::Body<Script>>,
    Error: std::fmt::Debug,
    Future: Send,
> + Clone {
    let body = Script::from_steps([Step::Data("first"), Step::Data("last")]);
    limit.layer().layer(Probe::new().answering(body))
}

async fn status(limit: &ConcurrencyLimit, request: Request<Script>) -> u16 {
    limit.layer().layer(Probe::new()).oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn overload_is_shed_with_503_and_retry_after() {
    let limit = ConcurrencyLimit::overall(2).build().unwrap();
    let service = streaming(&limit);
    let one = service.clone().oneshot(from(1)).await.unwrap();
    let two = service.clone().oneshot(from(2)).await.unwrap();
    assert_eq!(limit.in_flight(), 2);
    let shed = service.clone().oneshot(from(3)).await.unwrap();
    assert_eq!(shed.status(), 503);
    assert_eq!(shed.headers()["retry-after"], "1");
    drop(one);
    assert_eq!(status(&limit, from(3)).await, 200);
    drop(two);
    assert_eq!(limit.in_flight(), 0);
}

#[tokio::test]
async fn slot_is_held_until_the_body_has_ended() {
    let limit = ConcurrencyLimit::overall(1).build().unwrap();
    let mut response = streaming(&limit).oneshot(from(1)).await.unwrap();
    assert!(response.frame().await.unwrap().is_ok());
    assert_eq!(status(&limit, from(1)).await, 503);
    while response.frame().await.is_some() {}
    assert_eq!(status(&limit, from(1)).await, 200);
}

#[tokio::test]
async fn slot_is_free_when_the_body_fails() {
    let limit = ConcurrencyLimit::overall(1).build().unwrap();
    let body = Script::from_steps([Step::Data("first"), Step::Fail]);
    let service = limit.layer().layer(Probe::new().answering(body));
    let mut response = service.oneshot(from(1)).await.unwrap();
    assert!(response.frame().await.unwrap().is_ok());
    assert_eq!(status(&limit, from(1)).await, 503);
    assert!(response.frame().await.unwrap().is_err());
    assert_eq!(status(&limit, from(1)).await, 200);
}

#[tokio::test]
async fn slot_is_free_when_an_inner_policy_rejects() {
    #[derive(Clone)]
    struct RejectAll;
    impl Policy for RejectAll {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::refuse(ApiError::forbidden())
        }
    }
    let limit = ConcurrencyLimit::overall(1).build().unwrap();
    let service = PolicyLayer::new(limit.clone().then(RejectAll)).layer(Probe::new());
    for _ in 0..3 {
        let rejected = service.clone().oneshot(from(1)).await.unwrap();
        assert_eq!(rejected.status(), 403);
        drop(rejected);
        assert_eq!(limit.in_flight(), 0);
    }
}

#[tokio::test]
async fn client_over_its_own_slots_gets_429_and_others_pass() {
    let limit = ConcurrencyLimit::per_key(ByAddress::default(), 1).build().unwrap();
    let held = streaming(&limit).oneshot(from(1)).await.unwrap();
    assert_eq!(status(&limit, from(1)).await, 429);
    assert_eq!(limit.in_flight(), 1, "a rejected request holds nothing");
    assert_eq!(status(&limit, from(2)).await, 200);
    drop(held);
    assert_eq!(status(&limit, from(1)).await, 200);
}

#[tokio::test]
async fn high_priority_requests_pass_while_others_are_shed() {
    let limit = ConcurrencyLimit::overall(3).reserve(1).priority(priority).build().unwrap();
    let service = streaming(&limit);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(service.clone().oneshot(from(1)).await.unwrap());
    }
    assert_eq!(status(&limit, with_priority(Priority::Normal)).await, 503);
    held.push(service.clone().oneshot(with_priority(Priority::High)).await.unwrap());
    assert_eq!(held[2].status(), 200);
    assert_eq!(status(&limit, with_priority(Priority::High)).await, 503);
    assert_eq!(status(&limit, with_priority(Priority::Critical)).await, 200);
}

#[tokio::test]
async fn critical_requests_ignore_the_slots_of_their_key() {
    let limit =
        ConcurrencyLimit::per_key(ByAddress::default(), 1).priority(priority).build().unwrap();
    let _held = streaming(&limit).oneshot(from(1)).await.unwrap();
    assert_eq!(status(&limit, with_priority(Priority::Critical)).await, 200);
    assert_eq!(status(&limit, with_priority(Priority::High)).await, 429);
}

#[tokio::test]
async fn slot_is_freed_on_disconnect_or_handler_failure() {
    let limit = ConcurrencyLimit::overall(1).per_key(ByAddress::default(), 1).build().unwrap();
    let mut work = Box::pin(limit.layer().layer(Probe::new().never_answering()).oneshot(from(1)));
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(status(&limit, from(1)).await, 503);
    drop(work);
    assert!(limit.layer().layer(Probe::new().failing()).oneshot(from(1)).await.is_err());
    let panicking = limit.layer().layer(service_fn(|_: Request<Script>| {
        if true {
            panic!("on purpose");
        }
        std::future::ready(Ok::<_, Infallible>(Response::new(Script::empty())))
    }));
    let mut panicking = panicking;
    let outcome = catch_unwind(AssertUnwindSafe(|| drop(panicking.call(from(1)))));
    assert!(outcome.is_err());
    assert_eq!(status(&limit, from(1)).await, 200);
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn thousand_requests_from_many_threads_never_exceed_the_slots() {
    let limit = ConcurrencyLimit::overall(7).per_key(ByAddress::default(), 3).build().unwrap();
    let most = Arc::new(std::sync::atomic::AtomicU32::new(0));
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (limit, most) = (limit.clone(), Arc::clone(&most));
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for _ in 0..1000 {
                    let response =
                        runtime.block_on(streaming(&limit).oneshot(from(client % 3))).unwrap();
                    most.fetch_max(limit.in_flight(), std::sync::atomic::Ordering::SeqCst);
                    drop(response);
                }
            });
        }
    });
    assert!(most.load(std::sync::atomic::Ordering::SeqCst) <= 7);
    assert_eq!(limit.in_flight(), 0);
    assert_eq!(limit.measure()[0].value, 0.0);
}

#[test]
fn settings_that_reject_every_request_are_config_errors() {
    let by = ByAddress::default;
    for (builder, setting) in [
        (ConcurrencyLimit::overall(0), "overall"),
        (ConcurrencyLimit::per_key(by(), 0), "per_key"),
        (ConcurrencyLimit::overall(5).reserve(5).priority(priority), "reserve"),
        (ConcurrencyLimit::overall(5).reserve(1), "reserve"),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
}

#[test]
fn keeps_the_layer_contract() {
    let limit =
        || ConcurrencyLimit::overall(100).per_key(ByAddress::default(), 100).build().unwrap();
    Contract::new(|| from(1)).check_policy(limit);
}
