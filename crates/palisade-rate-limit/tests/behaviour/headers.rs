//! What clients are told.

use palisade_core::testing::Step;
use palisade_rate_limit::QuotaHeaders;

use crate::*;

/// The fields of a response that begin with one of these, as `name: value`, in the order of their names.
fn told(answer: &Answer) -> Vec<String> {
    let ours = |name: &&http::HeaderName| name.as_str().contains("ratelimit");
    let mut fields: Vec<String> = answer
        .headers
        .keys()
        .filter(ours)
        .map(|name| format!("{name}: {}", answer.fields(name.as_str()).join(" & ")))
        .collect();
    fields.sort();
    fields
}

#[test]
fn each_header_preset_is_written_on_200_and_429() {
    let quotas = || [Quota::per(1, MINUTE).fixed_window(), Quota::per(9, HOUR).named("hourly")];
    for (headers, passed, refused) in [
        (
            QuotaHeaders::Draft10,
            vec![
                r#"ratelimit-policy: "default";q=1;w=60 & "hourly";q=9;w=3600"#,
                r#"ratelimit: "default";r=0;t=50 & "hourly";r=8;t=3591"#,
            ],
            vec![
                r#"ratelimit-policy: "default";q=1;w=60 & "hourly";q=9;w=3600"#,
                r#"ratelimit: "default";r=0;t=50 & "hourly";r=8;t=3591"#,
            ],
        ),
        (
            QuotaHeaders::Draft7,
            vec!["ratelimit-policy: 1;w=60", "ratelimit: limit=1, remaining=0, reset=50"],
            vec!["ratelimit-policy: 1;w=60", "ratelimit: limit=1, remaining=0, reset=50"],
        ),
        (
            QuotaHeaders::Draft6,
            vec![
                "ratelimit-limit: 1",
                "ratelimit-policy: 1;w=60",
                "ratelimit-remaining: 0",
                "ratelimit-reset: 50",
            ],
            vec![
                "ratelimit-limit: 1",
                "ratelimit-policy: 1;w=60",
                "ratelimit-remaining: 0",
                "ratelimit-reset: 50",
            ],
        ),
        (
            QuotaHeaders::XRateLimit,
            vec!["x-ratelimit-limit: 1", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 50"],
            vec!["x-ratelimit-limit: 1", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 50"],
        ),
        (QuotaHeaders::None, vec![], vec![]),
    ] {
        let (limit, clock) = clocked(RateLimit::per_address(quotas()).headers(headers));
        clock.advance(10 * SECOND);
        assert_eq!(told(&send(&limit, from(1))), passed, "{headers:?}");
        let answer = send(&limit, from(1));
        assert_eq!(told(&answer), refused, "{headers:?}");
        assert_eq!(answer.header("retry-after"), Some("50"), "{headers:?}");
    }
}

#[test]
fn epoch_reset_header_is_the_time_of_the_next_quota() {
    let clock = ManualClock::at(Duration::from_secs(1_700_000_000));
    let limit = RateLimit::per_address(Quota::per(1, MINUTE).gcra())
        .headers(QuotaHeaders::XRateLimitEpoch)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    assert_eq!(send(&limit, from(1)).header("x-ratelimit-reset"), Some("1700000060"));
    clock.advance(10 * SECOND);
    let refused = send(&limit, from(1));
    assert_eq!(refused.header("x-ratelimit-reset"), Some("1700000060"));
    assert_eq!(refused.header("retry-after"), Some("50"));
}

#[test]
fn subsecond_wait_is_rounded_up_to_one_second() {
    let quota = Quota::per(10, SECOND).gcra_with_burst(1);
    let (limit, _) = clocked(RateLimit::per_address(quota));
    assert_eq!(send(&limit, from(1)).header("ratelimit"), Some(r#""default";r=0;t=1"#));
    assert_eq!(send(&limit, from(1)).header("retry-after"), Some("1"));
    let refused = send(&limit, grpc(from(1)));
    assert_eq!(refused.header("grpc-retry-pushback-ms"), Some("100"));
}

#[test]
fn cache_fields_and_body_of_the_response_are_unchanged() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(1, MINUTE)));
    let cacheable = || {
        let response =
            Response::builder().header("cache-control", "max-age=60").header("vary", "a");
        response.body(Script::from_steps([Step::Data("hello")])).unwrap()
    };
    let passed = answered(&limit, from(1), cacheable);
    assert_eq!(passed.fields("cache-control"), ["max-age=60"]);
    assert_eq!(passed.fields("vary"), ["a"]);
    assert_eq!(passed.body, "hello");
    let refused = answered(&limit, from(1), cacheable);
    assert!(refused.limited());
    assert_eq!(refused.header("cache-control"), None);
}

#[test]
fn body_of_a_rejected_request_is_not_read() {
    for (quota, cost) in [(Quota::per(0, MINUTE), 1), (Quota::per(1, MINUTE), 2)] {
        let (limit, _) = clocked(RateLimit::per_address(quota).cost(move |_| cost));
        for request in [from(1), grpc(from(1))] {
            let refused = send(&limit, request.map(|_| Script::from_steps([Step::Fail])));
            assert_eq!(refused.violated(), ["default"]);
        }
    }
}
