//! Budgets for days and months of the calendar.

use palisade_rate_limit::{ActualCost, ByAddress, QuotaHeaders};

use crate::*;

/// A limit at a time since the Unix epoch, in seconds.
fn limit_at(
    unix: u64,
    builder: RateLimitBuilder<ByAddress>,
) -> (RateLimit<ByAddress>, ManualClock) {
    let clock = ManualClock::at(Duration::from_secs(unix));
    (builder.clock(Arc::new(clock.clone())).build().unwrap(), clock)
}

/// 2026-03-28 at 22:00 in Berlin. The next day has 23 hours.
const EVENING: u64 = 1_774_731_600;

#[test]
fn budget_renews_at_midnight_of_its_zone() {
    for limit in [3, 100_000] {
        let quota = Quota::per_day(limit, "Europe/Berlin").unwrap();
        let (limiter, clock) =
            limit_at(EVENING, RateLimit::per_address(quota).cost(move |_| limit / 3));
        let left = |passed: Answer| passed.remaining();
        assert_eq!(left(send(&limiter, from(1))), [limit - limit / 3]);
        for _ in 0..2 {
            assert!(send(&limiter, from(1)).passed());
        }
        let refused = send(&limiter, from(1));
        assert_eq!(refused.header("retry-after"), Some("7200"), "two hours to midnight");
        clock.advance(2 * HOUR - Duration::from_nanos(1));
        assert!(send(&limiter, from(1)).limited());
        clock.advance(Duration::from_nanos(1));
        assert_eq!(left(send(&limiter, from(1))), [limit - limit / 3]);
        // Other zones have other midnights.
        clock.advance(22 * HOUR);
        assert_eq!(left(send(&limiter, from(1))), [limit - 2 * (limit / 3)]);
        clock.advance(HOUR);
        assert_eq!(left(send(&limiter, from(1))), [limit - limit / 3], "a day of 23 hours");
    }
}

#[test]
fn headers_contain_the_length_of_the_current_day() {
    let quota = Quota::per_day(5, "Europe/Berlin").unwrap();
    let (limit, clock) = limit_at(EVENING, RateLimit::per_address(quota.clone()));
    let told = |answer: Answer| {
        ["ratelimit-policy", "ratelimit"].map(|name| answer.header(name).unwrap().to_owned())
    };
    let default = |policy: &str, ratelimit: &str| {
        [policy, ratelimit].map(|field| format!("\"default\";{field}"))
    };
    assert_eq!(told(send(&limit, from(1))), default("q=5;w=86400", "r=4;t=7200"));
    clock.advance(2 * HOUR);
    assert_eq!(told(send(&limit, from(1))), default("q=5;w=82800", "r=4;t=82800"));

    let (limit, _) =
        limit_at(EVENING + 7200, RateLimit::per_address(quota).headers(QuotaHeaders::Draft7));
    let expected = ["5;w=82800", "limit=5, remaining=4, reset=82800"];
    assert_eq!(told(send(&limit, from(1))), expected.map(str::to_owned));
}

#[test]
fn monthly_budget_renews_after_the_last_day() {
    // 2026-02-28 at 23:00 UTC.
    let (limit, clock) =
        limit_at(1_772_319_600, RateLimit::per_address(Quota::per_month(2, "UTC").unwrap()));
    let answer = send(&limit, from(1));
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=2;w=2419200"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""default";r=1;t=3600"#));
    assert!(send(&limit, from(1)).passed());
    assert_eq!(send(&limit, from(1)).header("retry-after"), Some("3600"));
    clock.advance(HOUR);
    let answer = send(&limit, from(1));
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=2;w=2678400"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""default";r=1;t=2678400"#));
}

#[test]
fn settled_costs_are_charged_to_the_day_of_the_request() {
    let quota = Quota::per_day(1000, "Europe/Berlin").unwrap();
    let (limit, clock) = limit_at(EVENING, RateLimit::per_address(quota).cost(|_| 100).settled());
    let told = |cost| {
        move || Response::builder().extension(ActualCost::new(cost)).body(Script::empty()).unwrap()
    };
    let left = |client: u8| {
        let key = ByAddress::default().key_of([10, 0, 0, client].into());
        now(limit.peek(key)).unwrap().remaining()
    };
    answered(&limit, from(1), told(30));
    assert_eq!(left(1), Some(970));
    answered(&limit, from(1), told(250));
    assert_eq!(left(1), Some(720));
    // What is given back after midnight is of a day that is over.
    let service = limit.layer().layer(service_fn(|_: Request<Script>| {
        clock.advance(3 * HOUR);
        std::future::ready(Ok::<_, Infallible>(told(0)()))
    }));
    drop(now(service.oneshot(from(1))).unwrap());
    assert_eq!(left(1), Some(1000));
}

#[test]
fn budgets_of_zones_and_periods_are_counted_separately() {
    let quotas = [
        Quota::per_day(2, "Europe/Berlin").unwrap().named("day"),
        Quota::per_day(9, "UTC").unwrap().named("utc"),
        Quota::per_month(3, "Europe/Berlin").unwrap().named("month"),
    ];
    let (limit, clock) = limit_at(EVENING, RateLimit::per_address(quotas.clone()));
    assert!((0..2).all(|_| send(&limit, from(1)).passed()));
    assert_eq!(send(&limit, from(1)).violated(), ["day"]);
    // Half past midnight in Berlin.
    clock.advance(HOUR * 5 / 2);
    assert_eq!(send(&limit, from(1)).remaining(), [1, 6, 0]);
    let refused = send(&limit, from(1));
    assert_eq!(refused.violated(), ["month"]);
    assert_eq!(refused.header("retry-after"), Some("253800"), "until April");

    // The same, chosen for each request.
    let limit = RateLimit::per_address(Quota::per(1, MINUTE)).quota(move |_, _| quotas.clone());
    let (limit, _) = limit_at(EVENING, limit);
    assert!((0..2).all(|_| send(&limit, from(1)).passed()));
    assert_eq!(send(&limit, from(1)).remaining(), [0, 7, 1]);
}

#[test]
fn daily_budget_rejects_other_algorithms() {
    let day = || Quota::per_day(1, "UTC").unwrap();
    for quota in [day().gcra(), day().strict(), day().fixed_window(), day().exact_log()] {
        let error = RateLimit::per_address(quota).build().unwrap_err();
        assert_eq!(error.setting(), "algorithm");
    }
}
