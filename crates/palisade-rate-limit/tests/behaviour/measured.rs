//! The metrics of a limit.

use palisade_core::Measured;
use palisade_rate_limit::METRICS;

use crate::*;

fn told<K: Key>(limit: &RateLimit<K>, name: &str) -> Option<f64> {
    let all = limit.measure();
    assert!(all.iter().all(|told| METRICS.contains(told.metric)), "{all:?}");
    all.iter().find(|told| told.metric.name == name).map(|told| told.value)
}

const KEYS: &str = "palisade_limit_table_keys";
const EVICTIONS: &str = "palisade_limit_table_evictions_total";

#[test]
fn tables_report_keys_and_evictions() {
    for kind in TIMED {
        let quota = kind(Quota::per(5, MINUTE));
        let (limit, clock) = clocked(RateLimit::per_address(quota.clone()).capacity(100));
        assert_eq!((told(&limit, KEYS), told(&limit, EVICTIONS)), (Some(0.0), Some(0.0)));
        for client in 0..50 {
            assert!(send(&limit, from(client)).passed());
        }
        assert_eq!((told(&limit, KEYS), told(&limit, EVICTIONS)), (Some(50.0), Some(0.0)));
        send(&limit, from(7));
        assert_eq!(told(&limit, KEYS), Some(50.0), "it is known already");

        let admitted = (0..3000).filter(|client| send(&limit, from(50 + client)).passed()).count();
        let (keys, evictions) = (told(&limit, KEYS).unwrap(), told(&limit, EVICTIONS).unwrap());
        // Each admitted key has or had a slot.
        assert_eq!(keys + evictions, (50 + admitted) as f64, "{quota:?}");
        assert!(evictions > 100.0 && keys < 300.0, "{evictions} {keys} {quota:?}");

        // Keys without counts are not counted as evictions.
        clock.advance(3 * MINUTE);
        for client in 0..50 {
            send(&limit, from(9000 + client));
        }
        assert_eq!(told(&limit, EVICTIONS), Some(evictions), "{quota:?}");
    }
}

#[test]
fn tables_of_chosen_quotas_are_measured() {
    let by_client = |_: Option<&_>, head: &http::request::Parts| {
        let minutes = if head.uri.path() == "/long" { 10 } else { 1 };
        Quota::per(5, MINUTE * minutes)
    };
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(5, MINUTE)).quota(by_client));
    assert_eq!(told(&limit, KEYS), Some(0.0));
    send(&limit, to("/", 1));
    send(&limit, to("/long", 1));
    send(&limit, to("/long", 2));
    assert_eq!(told(&limit, KEYS), Some(2.0), "of the fullest");
}
