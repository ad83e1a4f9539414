//! A request is charged to all of its quotas or to none.

use crate::*;

fn burst_and_hourly() -> [Quota; 2] {
    [Quota::per(10, SECOND).named("burst"), Quota::per(1000, HOUR).named("hourly")]
}

#[test]
fn two_quotas_are_charged_together_or_not_at_all() {
    let (limit, clock) = clocked(RateLimit::per_address(burst_and_hourly()));
    for used in 1..=10 {
        assert_eq!(send(&limit, from(1)).remaining(), [10 - used, 1000 - used]);
    }
    for _ in 0..100 {
        let refused = send(&limit, from(1));
        assert!(refused.limited());
        assert_eq!(refused.violated(), ["burst"]);
        assert_eq!(
            refused.remaining(),
            [0, 990],
            "the hour is not charged for what the second refuses"
        );
    }
    // A thousand in the hour, at ten in every other second.
    for _ in 1..100 {
        clock.advance(2 * SECOND);
        assert!((0..10).all(|_| send(&limit, from(1)).passed()));
    }
    clock.advance(2 * SECOND);
    for _ in 0..100 {
        let refused = send(&limit, from(1));
        assert!(refused.limited());
        assert_eq!(refused.violated(), ["hourly"]);
        assert_eq!(refused.remaining(), [10, 0], "nor the second for what the hour refuses");
    }
}

#[test]
fn longest_wait_applies_and_exceeded_quotas_are_named() {
    let quotas = [
        Quota::per(5, SECOND).fixed_window().named("second"),
        Quota::per(5, MINUTE).fixed_window().named("minute"),
        Quota::per(100, HOUR).named("hour"),
    ];
    let (limit, clock) = clocked(RateLimit::per_address(quotas));
    for _ in 0..5 {
        assert!(send(&limit, from(1)).passed());
    }
    let refused = send(&limit, from(1));
    assert_eq!(refused.violated(), ["second", "minute"]);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(
        refused.body.contains(r#""violated-policies":["second","minute"]"#),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("http-problem-types#quota-exceeded"), "{}", refused.body);
    assert_eq!(refused.fields("ratelimit-policy").len(), 3, "all are told");

    clock.advance(59 * SECOND);
    let refused = send(&limit, from(1));
    assert_eq!(refused.violated(), ["minute"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    clock.advance(SECOND);
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn quota_that_never_admits_omits_retry_after() {
    let quotas = [Quota::per(1, MINUTE).named("some"), Quota::per(0, HOUR).named("none")];
    let (limit, _) = clocked(RateLimit::per_address(quotas));
    let refused = send(&limit, from(1));
    assert!(refused.limited());
    assert_eq!(refused.violated(), ["none"]);
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(refused.remaining(), [1, 0]);
}

#[test]
fn rejected_request_is_charged_to_no_quota() {
    for first in TIMED {
        for second in TIMED {
            for (one, other) in [(3, 0), (0, 3)] {
                let quotas = [
                    first(Quota::per(one, MINUTE)).named("first"),
                    second(Quota::per(other, HOUR)).named("second"),
                ];
                let (limit, _) = clocked(RateLimit::per_address(quotas));
                for _ in 0..5 {
                    let refused = send(&limit, from(1));
                    assert!(refused.limited());
                    assert_eq!(refused.remaining(), [one, other], "{limit:?}");
                }
            }
        }
    }
}

#[test]
fn grpc_details_name_violated_quotas_and_the_exact_wait() {
    let quotas = [
        Quota::per(1, Duration::from_millis(2500)).fixed_window().named("burst"),
        Quota::per(1000, HOUR).named("hourly"),
    ];
    let (limit, _) = clocked(RateLimit::per_address(quotas));
    assert!(send(&limit, grpc(from(1))).passed());
    let refused = send(&limit, grpc(from(1)));
    assert_eq!(refused.status, StatusCode::OK);
    assert_eq!(refused.header("grpc-status"), Some("8"), "RESOURCE_EXHAUSTED");
    assert_eq!(refused.header("grpc-retry-pushback-ms"), Some("2500"));
    assert_eq!(refused.violated(), ["burst"]);
    assert!(refused.header("grpc-status-details-bin").is_some());
    assert_eq!(refused.fields("ratelimit-policy").len(), 2);
}
