//! Requests that cost more than one, nothing, or are not counted.

use crate::*;

fn priced(quota: Quota) -> RateLimitBuilder<palisade_rate_limit::ByAddress> {
    RateLimit::per_address(quota).cost(|head| head.uri.path()[1..].parse().unwrap())
}

#[test]
fn request_is_charged_its_full_cost_or_nothing() {
    for kind in TIMED {
        let (limit, _) = clocked(priced(kind(Quota::per(10, MINUTE))));
        assert_eq!(send(&limit, to("/7", 1)).remaining(), [3]);
        let refused = send(&limit, to("/4", 1));
        assert!(refused.limited());
        assert_eq!(refused.remaining(), [3], "a refused request costs nothing");
        assert_eq!(send(&limit, to("/3", 1)).remaining(), [0]);
    }
}

#[test]
fn request_with_cost_zero_passes_and_is_not_charged() {
    for kind in TIMED {
        let (limit, _) = clocked(priced(kind(Quota::per(10, MINUTE))));
        for _ in 0..20 {
            let looked = send(&limit, to("/0", 1));
            assert!(looked.passed());
            assert_eq!(looked.remaining(), [10]);
        }
        send(&limit, to("/10", 1));
        let looked = send(&limit, to("/0", 1));
        assert!(looked.passed(), "nothing always fits");
        assert_eq!(looked.remaining(), [0]);
    }
}

#[test]
fn cost_over_the_limit_gets_an_issue_and_no_retry_after() {
    for kind in TIMED {
        let (limit, _) = clocked(priced(kind(Quota::per(10, MINUTE))));
        for cost in ["/11", "/4294967295"] {
            let refused = send(&limit, to(cost, 1));
            assert!(refused.limited());
            assert_eq!(refused.header("retry-after"), None);
            assert!(refused.body.contains(r#""code":"cost_exceeds_limit""#), "{}", refused.body);
            assert_eq!(refused.remaining(), [10]);

            let refused = send(&limit, grpc(to(cost, 1)));
            assert_eq!(refused.header("grpc-status"), Some("8"));
            assert_eq!(refused.header("grpc-retry-pushback-ms"), Some("-1"), "do not retry");
        }
    }
}

#[test]
fn burst_below_the_limit_bounds_the_cost_of_one_request() {
    let (limit, clock) = clocked(priced(Quota::per(60, MINUTE).gcra_with_burst(5)));
    let refused = send(&limit, to("/6", 1));
    assert_eq!(refused.header("retry-after"), None);
    assert!(refused.body.contains("cost_exceeds_limit"), "{}", refused.body);
    assert!(send(&limit, to("/5", 1)).passed());
    let refused = send(&limit, to("/2", 1));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(!refused.body.contains("cost_exceeds_limit"));
    clock.advance(2 * SECOND);
    assert!(send(&limit, to("/2", 1)).passed());
}

#[test]
fn limit_of_zero_reports_no_cost_issue() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(0, MINUTE)));
    let refused = send(&limit, from(1));
    assert!(refused.limited());
    assert!(!refused.body.contains("cost_exceeds_limit"), "{}", refused.body);
    let refused = send(&limit, grpc(from(1)));
    assert_eq!(refused.header("grpc-retry-pushback-ms"), Some("-1"));
}

#[test]
fn skipped_requests_are_not_counted_and_get_no_fields() {
    let (limit, _) = clocked(
        RateLimit::per_address(Quota::per(1, MINUTE)).skip(|head| head.uri.path() == "/health"),
    );
    for _ in 0..5 {
        let skipped = send(&limit, to("/health", 1));
        assert!(skipped.passed());
        assert!(skipped.headers.is_empty(), "{:?}", skipped.headers);
    }
    assert!(send(&limit, from(1)).passed());
    assert!(send(&limit, from(1)).limited());
    assert!(send(&limit, to("/health", 1)).passed());

    // No key is looked for either.
    let nobody = Request::get("/health").body(Script::empty()).unwrap();
    assert!(send(&limit, nobody).passed());
}
