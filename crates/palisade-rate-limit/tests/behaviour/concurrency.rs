//! Slots that are held as long as a request is being answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use palisade_core::{
    Decision, Policy, PolicyLayer,
    testing::{Probe, Step},
};
use tower::Service;

use crate::*;

fn slots(limit: u32) -> RateLimit {
    RateLimit::per_address(Quota::concurrency(limit)).build().unwrap()
}

fn responding<B>(
    service: impl Service<Request<Script>, Response = Response<B>, Error: std::fmt::Debug>,
) -> Response<B> {
    now(service.oneshot(from(1))).unwrap()
}

#[test]
fn a_slot_is_held_until_the_body_has_ended_and_there_is_no_time_to_come_back() {
    let limit = slots(2);
    let body = || Script::of([Step::Data("first"), Step::Data("last")]);
    let service = limit.layer().layer(Probe::new().answering(body()));
    let (mut one, two) = (responding(service.clone()), responding(service.clone()));
    assert_eq!(one.headers()["ratelimit-policy"], r#""default";q=2;qu="concurrent-requests""#);
    assert_eq!(one.headers()["ratelimit"], r#""default";r=1"#);

    for request in [from(1), grpc(from(1))] {
        let refused = send(&limit, request);
        assert_eq!(refused.violated(), ["default"]);
        assert_eq!(refused.header("retry-after"), None);
        assert_eq!(refused.remaining(), [0]);
        assert!(!refused.body.contains("cost_exceeds_limit"), "{}", refused.body);
    }
    assert!(send(&limit, from(2)).passed(), "another client has slots of its own");

    assert!(now(one.body_mut().frame()).unwrap().is_ok());
    assert!(send(&limit, from(1)).limited(), "the body has more to come");
    while now(one.body_mut().frame()).is_some() {}
    assert!(send(&limit, from(1)).passed(), "its body has ended");

    let three = responding(service);
    assert!(send(&limit, from(1)).limited());
    drop((two, three));
    assert_eq!(send(&limit, from(1)).remaining(), [1], "the server dropped them");
}

#[test]
fn a_slot_is_free_again_when_the_body_fails() {
    let limit = slots(1);
    let body = Script::of([Step::Data("first"), Step::Fail]);
    let mut response = responding(limit.layer().layer(Probe::new().answering(body)));
    assert!(now(response.body_mut().frame()).unwrap().is_ok());
    assert!(send(&limit, from(1)).limited());
    assert!(now(response.body_mut().frame()).unwrap().is_err());
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn a_slot_is_held_while_the_handler_works_and_free_when_the_client_hangs_up() {
    let limit = slots(1);
    let mut work = Box::pin(limit.layer().layer(Probe::new().never_answering()).oneshot(from(1)));
    assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(send(&limit, from(1)).limited());
    drop(work);
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn a_slot_is_free_again_when_the_handler_fails_or_panics() {
    let limit = slots(1);
    let failing = limit.layer().layer(Probe::new().failing());
    assert!(now(failing.oneshot(from(1))).is_err());
    assert!(send(&limit, from(1)).passed());

    let panicking = limit.layer().layer(service_fn(|_: Request<Script>| async {
        if true {
            panic!("as it was told to");
        }
        Ok::<_, Infallible>(ok())
    }));
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| now(panicking.oneshot(from(1)))));
    std::panic::set_hook(silent);
    assert!(outcome.is_err());
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn a_slot_is_free_again_when_a_policy_further_inside_refuses() {
    #[derive(Clone)]
    struct Nobody;
    impl Policy for Nobody {
        type Grant = ();
        fn decide(&self, _: &http::request::Parts) -> Decision<()> {
            Decision::refuse(ApiError::forbidden())
        }
    }
    let limit = slots(1);
    let service = PolicyLayer::new(limit.clone().then(Nobody)).layer(Probe::new());
    for _ in 0..3 {
        let refused = responding(service.clone());
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        drop(refused);
        assert!(send(&limit, from(1)).passed());
    }
}

#[test]
fn a_refused_request_takes_no_slot_and_a_large_one_takes_several() {
    let limit = RateLimit::per_address(Quota::concurrency(5))
        .cost(|head| head.uri.path()[1..].parse().unwrap())
        .build()
        .unwrap();
    let service = limit.layer().layer(Probe::new().answering(Script::of([Step::Data("more")])));
    let held = now(service.oneshot(to("/3", 1))).unwrap();
    for _ in 0..10 {
        assert!(send(&limit, to("/3", 1)).limited());
    }
    assert!(send(&limit, to("/2", 1)).passed());
    let never = send(&limit, to("/6", 1));
    assert!(never.body.contains("cost_exceeds_limit"), "{}", never.body);
    drop(held);
    assert_eq!(send(&limit, to("/0", 1)).remaining(), [5]);
}

#[test]
fn slots_beside_a_window_are_free_again_and_the_window_stays_charged() {
    let quotas = [
        Quota::concurrency(1).named("at once"),
        Quota::per(3, MINUTE).exact_log().named("attempts"),
    ];
    // Failures only: a success gives back what the window was charged, and its slot when it is over.
    let (limit, _) = clocked(RateLimit::per_address(quotas).only_failures());
    let body = Script::of([Step::Data("more")]);
    let service = limit.layer().layer(Probe::new().answering(body));
    let held = responding(service);
    let refused = send(&limit, from(1));
    assert_eq!((refused.violated(), refused.remaining()), (vec!["at once"], vec![0, 3]));
    drop(held);
    for left in [2, 1, 0] {
        assert_eq!(answered(&limit, from(1), || with_status(401)).remaining(), [0, left]);
    }
    assert_eq!(send(&limit, from(1)).violated(), ["attempts"]);
    assert_eq!(send(&limit, from(1)).remaining(), [1, 0]);
}

#[test]
fn slots_of_quotas_that_are_chosen_come_back_too() {
    let limit = RateLimit::per_address(Quota::concurrency(1))
        .quota(|_, _| Quota::concurrency(1).named("chosen"))
        .build()
        .unwrap();
    let body = Script::of([Step::Data("more")]);
    let held = responding(limit.layer().layer(Probe::new().answering(body)));
    assert!(send(&limit, from(1)).limited());
    drop(held);
    assert!(send(&limit, from(1)).passed());
    assert!(send(&limit, from(1)).passed());
}
