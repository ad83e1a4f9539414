//! Limits that count only what fails: logins.

use std::{
    future::{pending, poll_fn},
    sync::atomic::{AtomicBool, Ordering},
};

use palisade_core::{Decision, Policy, PolicyLayer, testing::Probe};

use crate::*;

fn login(kind: fn(Quota) -> Quota) -> (RateLimit, ManualClock) {
    clocked(RateLimit::per_address(kind(Quota::per(5, MINUTE))).only_failures())
}

fn wrong() -> Response<Script> {
    with_status(401)
}

#[test]
fn only_failed_logins_are_counted() {
    for kind in TIMED {
        let (limit, _) = login(kind);
        for _ in 0..50 {
            assert!(send(&limit, from(1)).passed());
        }
        for _ in 0..5 {
            assert_eq!(answered(&limit, from(1), wrong).status, StatusCode::UNAUTHORIZED);
        }
        assert!(answered(&limit, from(1), wrong).limited());
        assert!(send(&limit, from(1)).limited(), "not even with the right one");
        assert!(send(&limit, from(2)).passed());
    }
}

#[test]
fn success_leaves_concurrent_failures_counted() {
    for kind in TIMED {
        let (limit, _) = login(kind);
        for _ in 0..4 {
            answered(&limit, from(1), wrong);
            assert!(send(&limit, from(1)).passed());
        }
        answered(&limit, from(1), wrong);
        assert!(send(&limit, from(1)).limited());
    }
}

#[test]
fn concurrent_attempts_never_exceed_the_limit() {
    for kind in TIMED {
        let (limit, _) = login(kind);
        // Twenty at once, of which none is answered yet.
        let handler =
            service_fn(|_: Request<Script>| pending::<Result<Response<Script>, Infallible>>());
        let service = limit.layer().layer(handler);
        let mut cx = Context::from_waker(Waker::noop());
        let mut tries: Vec<_> =
            (0..20).map(|_| Box::pin(service.clone().oneshot(from(1)))).collect();
        let undecided = tries
            .iter_mut()
            .filter_map(|attempt| match attempt.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(refused)) => {
                    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
                    None
                }
                Poll::Ready(Err(never)) => match never {},
                Poll::Pending => Some(()),
            })
            .count();
        assert_eq!(undecided, 5);
        // The clients hang up, and what they did stays counted.
        drop(tries);
        assert!(send(&limit, from(1)).limited());
    }
}

#[test]
fn handler_error_counts_as_a_failure() {
    let (limit, _) = login(Quota::exact_log);
    for _ in 0..5 {
        let service = limit.layer().layer(Probe::new().failing());
        assert!(now(service.oneshot(from(1))).is_err());
    }
    assert!(send(&limit, from(1)).limited());
}

#[test]
fn rejection_by_an_inner_policy_counts_as_a_failure() {
    #[derive(Clone)]
    struct Nobody;
    impl Policy for Nobody {
        type Grant = ();
        fn decide(&self, _: &http::request::Parts) -> Decision<()> {
            Decision::refuse(ApiError::unauthenticated())
        }
    }
    for by_grpc in [false, true] {
        let (limit, _) = login(Quota::exact_log);
        let service = PolicyLayer::new(limit.clone().then(Nobody)).layer(Probe::new());
        for _ in 0..5 {
            let request = if by_grpc { grpc(from(1)) } else { from(1) };
            now(service.clone().oneshot(request)).unwrap();
        }
        assert!(send(&limit, from(1)).limited());
    }
}

#[test]
fn grpc_status_decides_whether_a_call_failed() {
    let (limit, _) = login(Quota::exact_log);
    let with_code = |code: &'static str| {
        move || Response::builder().header("grpc-status", code).body(Script::empty()).unwrap()
    };
    for _ in 0..20 {
        assert!(answered(&limit, grpc(from(1)), with_code("0")).passed());
        assert!(answered(&limit, grpc(from(1)), ok).passed(), "whose status is still to come");
    }
    for _ in 0..5 {
        assert!(answered(&limit, grpc(from(1)), with_code("16")).passed());
    }
    let refused = send(&limit, grpc(from(1)));
    assert_eq!(refused.header("grpc-status"), Some("8"));
}

#[test]
fn late_success_refunds_no_charge_of_other_requests() {
    for kind in TIMED {
        let (limit, clock) = login(kind);
        let answers = AtomicBool::new(false);
        let handler = service_fn(|_: Request<Script>| {
            poll_fn(|_| match answers.load(Ordering::Relaxed) {
                true => Poll::Ready(Ok::<_, Infallible>(ok())),
                false => Poll::Pending,
            })
        });
        let mut slow = Box::pin(limit.layer().layer(handler).oneshot(from(1)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(slow.as_mut().poll(&mut cx).is_pending());
        clock.advance(3 * MINUTE);
        for _ in 0..5 {
            assert_eq!(answered(&limit, from(1), wrong).status, StatusCode::UNAUTHORIZED);
        }
        answers.store(true, Ordering::Relaxed);
        assert!(slow.as_mut().poll(&mut cx).is_ready());
        drop(slow);
        assert!(send(&limit, from(1)).limited());
    }
}

#[test]
fn rejection_by_the_limit_is_neither_counted_nor_refunded() {
    let (limit, clock) = login(Quota::exact_log);
    for _ in 0..5 {
        answered(&limit, from(1), wrong);
    }
    clock.advance(30 * SECOND);
    for _ in 0..100 {
        assert!(send(&limit, from(1)).limited());
    }
    clock.advance(30 * SECOND);
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn count_if_selects_the_responses_that_count() {
    let quota = Quota::per(2, MINUTE);
    let (limit, _) =
        clocked(RateLimit::per_address(quota).count_if(|response| response.status == 404));
    for status in [200, 500, 404, 301, 404] {
        assert_eq!(answered(&limit, from(1), || with_status(status)).status, status);
    }
    assert!(send(&limit, from(1)).limited());
}
