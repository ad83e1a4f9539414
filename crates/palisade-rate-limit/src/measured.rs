use std::sync::atomic::{AtomicU64, Ordering};

use palisade_core::{Measured, Measurement, Metric};

use crate::{Key, RateLimit};

const LIMIT: &[&str] = &["limit"];

const BYTES: Metric =
    Metric::gauge("palisade_limit_table_bytes", LIMIT, "memory of the tables of keys");
const KEYS: Metric =
    Metric::gauge("palisade_limit_table_keys", LIMIT, "keys in the fullest table, idle ones too");
const EVICTIONS: Metric = Metric::counter(
    "palisade_limit_table_evictions_total",
    LIMIT,
    "keys that were evicted while they had counts",
);
const FLOOR: Metric = Metric::counter(
    "palisade_limit_floor_reached_total",
    LIMIT,
    "requests of keys without a slot that were rejected because of what evicted keys had used",
);
const REJECTED: Metric =
    Metric::counter("palisade_limit_rejected_total", LIMIT, "requests that were rejected");
const BLOCKED: Metric = Metric::counter(
    "palisade_limit_blocked_total",
    LIMIT,
    "rejected requests of keys that are blocked on this machine",
);
const NEAR: Metric = Metric::counter(
    "palisade_limit_near_total",
    LIMIT,
    "admitted requests that left less than a tenth of a quota",
);
const WAITING: Metric =
    Metric::gauge("palisade_limit_waiting", LIMIT, "requests that wait to be admitted");
pub(crate) const SLOTS: Metric =
    Metric::gauge("palisade_limit_slots_taken", LIMIT, "requests that hold a slot");
const ASKED: Metric = Metric::counter(
    "palisade_limit_store_requests_total",
    LIMIT,
    "requests for which the store was asked",
);
const ERRORS: Metric = Metric::counter(
    "palisade_limit_store_errors_total",
    LIMIT,
    "questions to the store that failed or timed out",
);
const TIMEOUTS: Metric = Metric::counter(
    "palisade_limit_store_timeouts_total",
    LIMIT,
    "questions to the store that timed out",
);
const WAITED: Metric = Metric::counter(
    "palisade_limit_store_wait_microseconds_total",
    LIMIT,
    "total time that requests have waited for the store",
);
const LEFT_ALONE: Metric = Metric::gauge(
    "palisade_limit_store_breaker_open",
    LIMIT,
    "1 while the breaker of a node of the store is open",
);
const SKIPPED: Metric = Metric::counter(
    "palisade_limit_store_skipped_total",
    LIMIT,
    "requests for which the store was not asked because a breaker was open",
);
const LEASED: Metric = Metric::counter(
    "palisade_limit_store_leased_total",
    LIMIT,
    "requests admitted on leased permits",
);
const REMEMBERED: Metric = Metric::counter(
    "palisade_limit_store_remembered_total",
    LIMIT,
    "requests rejected by a cached rejection or block",
);

/// The metrics of a [`RateLimit`] as a [`Measured`], and `palisade_limit_slots_taken` of a
/// [`ConcurrencyLimit`](crate::ConcurrencyLimit). The names are stable. Metrics with `store` in their name are reported only by
/// limits with a store. Decisions are counted by the policy that observes requests.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::Measured;
/// use palisade_rate_limit::{METRICS, Quota, RateLimit};
///
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build()?;
/// let measurements = limit.measure();
/// assert_eq!((measurements[0].metric.name, measurements[0].value), ("palisade_limit_table_bytes", limit.table_bytes() as f64));
/// assert!(measurements.iter().all(|measurement| METRICS.contains(measurement.metric)));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub const METRICS: &[Metric] = &[
    BYTES, KEYS, EVICTIONS, FLOOR, REJECTED, BLOCKED, NEAR, WAITING, SLOTS, ASKED, ERRORS,
    TIMEOUTS, WAITED, LEFT_ALONE, SKIPPED, LEASED, REMEMBERED,
];

/// Counting the keys reads all tables: 1.6 MB for 100,000 keys.
impl<K: Key> Measured for RateLimit<K> {
    fn measure(&self) -> Vec<Measurement> {
        let tables = self.limiter.quotas.tables();
        let stats = &self.limiter.stats;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let keys = tables.iter().map(|table| table.keys()).max().unwrap_or(0);
        let evicted: u64 = tables.iter().map(|table| table.evicted()).sum();
        let waiting = self.limiter.waiting.as_ref().map_or(0, |waiting| waiting.waiting());
        #[cfg_attr(
            not(feature = "store"),
            expect(unused_mut, reason = "a store adds measurements")
        )]
        let mut measurements = vec![
            BYTES.at(self.table_bytes() as f64),
            KEYS.at(keys as f64),
            EVICTIONS.at(evicted as f64),
            FLOOR.at(self.limiter.quotas.floor_reached() as f64),
            REJECTED.at(read(&stats.rejected)),
            BLOCKED.at(read(&stats.blocked)),
            NEAR.at(read(&stats.near)),
            WAITING.at(waiting as f64),
        ];
        #[cfg(feature = "store")]
        if let Some(stats) = self.store_stats() {
            measurements.extend([
                ASKED.at(stats.asked as f64),
                ERRORS.at(stats.failed as f64),
                TIMEOUTS.at(stats.timed_out as f64),
                WAITED.at(stats.waited.as_micros() as f64),
                LEFT_ALONE.at(f64::from(u8::from(stats.left_alone))),
                SKIPPED.at(stats.skipped as f64),
                LEASED.at(stats.leased as f64),
                REMEMBERED.at(stats.remembered as f64),
            ]);
        }
        measurements
    }
}
