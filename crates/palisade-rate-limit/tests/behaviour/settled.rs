//! Costs that are known after the response.

use http::HeaderName;
use palisade_core::testing::Step;
use palisade_rate_limit::ActualCost;

use crate::*;

/// Ten of a hundred are reserved.
fn settled(kind: fn(Quota) -> Quota) -> (RateLimit, ManualClock) {
    clocked(RateLimit::per_address(kind(Quota::per(100, MINUTE))).cost(|_| 10).settled())
}

fn left(limit: &RateLimit) -> u32 {
    let address = std::net::Ipv4Addr::from_bits(0x0A00_0001);
    let key = palisade_rate_limit::ByAddress::default().key_of(address.into());
    now(limit.peek(key)).unwrap().remaining().unwrap()
}

/// A response with its cost.
fn told(cost: Option<u32>, steps: &[Step]) -> Response<Script> {
    let mut response = Response::new(Script::from_steps(steps.iter().cloned()));
    if let Some(cost) = cost {
        response.extensions_mut().insert(ActualCost::new(cost));
    }
    response
}

#[test]
fn difference_to_the_actual_cost_is_refunded_or_charged_once() {
    for kind in TIMED {
        for (cost, expected) in
            [(None, 90), (Some(0), 100), (Some(3), 97), (Some(10), 90), (Some(60), 40)]
        {
            let (limit, clock) = settled(kind);
            let answer = answered(&limit, from(1), || told(cost, &[Step::Data("hello")]));
            assert!(answer.passed());
            assert_eq!(left(&limit), expected, "{cost:?} {:?}", limit.quotas());
            clock.advance(3 * MINUTE);
            assert_eq!(left(&limit), 100);
        }
    }
}

#[test]
fn actual_cost_over_the_remaining_quota_exhausts_it() {
    for kind in TIMED {
        let (limit, _) = settled(kind);
        assert!(answered(&limit, from(1), || told(Some(5000), &[])).passed());
        assert_eq!(left(&limit), 0);
        assert!(send(&limit, from(1)).limited());
    }
}

#[test]
fn stream_is_settled_when_it_ends_or_is_dropped() {
    for leaves in [false, true] {
        let (limit, _) = settled(Quota::sliding_window);
        let cost = ActualCost::default();
        let tokens = cost.clone();
        let handler = service_fn(move |request: Request<Script>| {
            // The cost of the request, or another one on the response.
            let own = request.extensions().get::<ActualCost>().is_some();
            assert!(own);
            let mut response =
                Response::new(Script::from_steps([Step::Data("a"), Step::Data("b")]));
            response.extensions_mut().insert(tokens.clone());
            async { Ok::<_, Infallible>(response) }
        });
        let mut response = now(limit.layer().layer(handler).oneshot(from(1))).unwrap();
        cost.add(20);
        assert!(now(response.body_mut().frame()).unwrap().is_ok());
        assert_eq!(left(&limit), 90, "what was reserved");
        cost.add(5);
        if !leaves {
            assert!(now(response.body_mut().frame()).unwrap().is_ok());
            assert!(now(response.body_mut().frame()).is_none());
            assert_eq!(left(&limit), 75);
        }
        drop(response);
        assert_eq!(left(&limit), 75);
        cost.add(5);
        assert_eq!(left(&limit), 75, "it is settled once");
    }
}

#[test]
fn client_that_disconnects_early_pays_the_reported_cost() {
    for (told, expected) in [(Some(2), 98), (None, 90)] {
        let (limit, _) = settled(Quota::sliding_window);
        let handler = service_fn(move |request: Request<Script>| async move {
            if let Some(told) = told {
                request.extensions().get::<ActualCost>().unwrap().set(told);
            }
            std::future::pending::<Result<Response<Script>, Infallible>>().await
        });
        let mut answer = Box::pin(limit.layer().layer(handler).oneshot(from(1)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        assert_eq!(left(&limit), 90);
        drop(answer);
        assert_eq!(left(&limit), expected);
    }
}

#[test]
fn trailer_sets_the_cost() {
    for (value, expected) in [("42", 58), ("0", 100), ("-1", 90), ("many", 90)] {
        let builder = RateLimit::per_address(Quota::per(100, MINUTE)).cost(|_| 10);
        let (limit, _) = clocked(builder.settled_by_trailer(HeaderName::from_static("x-rows")));
        let trailers: &'static [(&str, &str)] = Box::leak(Box::new([("x-rows", value)]));
        let answer = answered(&limit, from(1), move || {
            told(None, &[Step::Data("rows"), Step::Trailers(trailers)])
        });
        assert!(answer.passed());
        assert_eq!(left(&limit), expected, "{value}");
    }
}

#[test]
fn uncounted_response_costs_nothing() {
    let builder = RateLimit::per_address(Quota::per(100, MINUTE)).cost(|_| 10).settled();
    let (limit, _) = clocked(builder.only_failures());
    assert!(answered(&limit, from(1), || told(Some(50), &[])).passed());
    assert_eq!(left(&limit), 100);
}
