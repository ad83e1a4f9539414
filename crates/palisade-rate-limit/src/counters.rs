//! Charges a request to all quotas of a limit or to none.

use std::{sync::Arc, time::Duration};

use palisade_core::{Clock, ConfigError};

use crate::{
    Algorithm, Quota, Standing,
    algorithm::{AnyMeter, Meter, Outcome},
    calendar::{Calendar, TableTime},
    per_quota::{PerQuota, QuotaArray},
    table::Table,
};

/// A quota and the table that counts its keys.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) meter: AnyMeter,
    pub(crate) table: Arc<Table>,
    pub(crate) kind: CounterKind,
}

/// The time of a decision, on the monotonic clock and for calendar quotas on the wall clock.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    monotonic: u64,
    clock: &'a dyn Clock,
}

impl<'a> Now<'a> {
    pub(crate) fn read(clock: &'a dyn Clock) -> Self {
        Self { monotonic: monotonic(clock), clock }
    }
}

/// Returns the time of the monotonic clock, in nanoseconds.
pub(crate) fn monotonic(clock: &dyn Clock) -> u64 {
    nanos(clock.monotonic())
}

fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

/// The shortest window for the coarse clock, in nanoseconds. The clock is at most 10 ms late, a hundredth of it.
const SHORTEST_COARSE_WINDOW: u64 = 1_000_000_000;

/// The charge of an admitted request: the standing and the time of the charge for each quota.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub(crate) standings: PerQuota<Standing>,
    pub(crate) at: PerQuota<u64>,
}

/// The standing of a rejected request with each quota, and the nanoseconds that it would have to wait: 0 if it fits the
/// quota, `None` if waiting cannot help.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) standings: QuotaArray<Standing>,
    pub(crate) waits: QuotaArray<Option<u64>>,
}

const NOTHING: Standing = Standing::new(0, None);

/// Charges a request to all counters or to none.
///
/// The counters are charged in turn. If one rejects, the charges of the earlier ones are returned. Until then a concurrent
/// request sees those counters too full. A request of the same cost is rejected by the full counter in any case; a cheaper one
/// may be rejected although it would fit.
#[inline]
pub(crate) fn charge(
    counters: &[Counter],
    key: u64,
    now: Now<'_>,
    cost: u32,
) -> Result<Charged, Box<Refused>> {
    let [counter] = counters else { return charge_several(counters, key, now, cost) };
    match counter.charge(key, now, cost) {
        Outcome::Admitted { standing, at } => {
            Ok(Charged { standings: PerQuota::one(standing), at: PerQuota::one(at) })
        }
        Outcome::Refused { standing, wait } => {
            Err(refused(counters, key, now, cost, 0, (standing, wait)))
        }
    }
}

#[inline(never)]
fn charge_several(
    counters: &[Counter],
    key: u64,
    now: Now<'_>,
    cost: u32,
) -> Result<Charged, Box<Refused>> {
    let (mut standings, mut times) = (QuotaArray::filled_with(NOTHING), QuotaArray::filled_with(0));
    for (which, counter) in counters.iter().enumerate() {
        match counter.charge(key, now, cost) {
            Outcome::Admitted { standing, at } => {
                standings.push(standing);
                times.push(at);
            }
            Outcome::Refused { standing, wait } => {
                give_back(counters, key, now, cost, times.as_slice());
                return Err(refused(counters, key, now, cost, which, (standing, wait)));
            }
        }
    }
    Ok(Charged { standings: standings.as_slice().into(), at: times.as_slice().into() })
}

/// Returns a charge to the first counters, one for each time in `charged_at`.
pub(crate) fn give_back(
    counters: &[Counter],
    key: u64,
    now: Now<'_>,
    amount: u32,
    charged_at: &[u64],
) {
    if amount == 0 {
        return;
    }
    for (counter, at) in counters.iter().zip(charged_at) {
        counter.table.refund(&counter.meter, key, counter.time(now).at, *at, amount);
    }
}

/// Charges up to `more`, as far as there is room. The rest is dropped.
pub(crate) fn charge_more(counter: &Counter, key: u64, now: Now<'_>, more: u32) {
    let mut amount = more;
    // Concurrent requests may charge the key between two attempts.
    for _ in 0..8 {
        match counter.charge(key, now, amount) {
            Outcome::Refused { standing, .. } if standing.remaining() > 0 => {
                amount = amount.min(standing.remaining());
            }
            _ => return,
        }
    }
}

/// Returns the standings of a request that the counter `which` rejects. Reads the other counters without charging them.
#[cold]
fn refused(
    counters: &[Counter],
    key: u64,
    now: Now<'_>,
    cost: u32,
    which: usize,
    rejected: (Standing, Option<u64>),
) -> Box<Refused> {
    let mut refused = Refused {
        standings: QuotaArray::filled_with(NOTHING),
        waits: QuotaArray::filled_with(None),
    };
    for (at, counter) in counters.iter().enumerate() {
        let (standing, wait) = if at == which {
            rejected
        } else {
            match counter.look(key, now, cost) {
                Outcome::Admitted { standing, .. } => (standing, Some(0)),
                Outcome::Refused { standing, wait } => (standing, wait),
            }
        };
        refused.standings.push(standing);
        refused.waits.push(wait);
    }
    Box::new(refused)
}

impl Counter {
    /// Charges a request that fits, which is nearly every request. Returns `None` if the request needs the path for all outcomes.
    ///
    /// Windows of a second or longer are decided by the coarse clock, which is a few milliseconds late and takes a quarter of
    /// the time. A request is then admitted and charged as if it had arrived these milliseconds earlier. It is never rejected by
    /// the coarse clock: the path for all outcomes reads the exact one, so that `Retry-After` is exact, and a client that waits
    /// for as long is admitted. [`Strict`](Algorithm::Strict) windows, whose guarantee is about any period, use the exact clock.
    #[inline(always)]
    pub(crate) fn try_charge(&self, key: u64, clock: &dyn Clock, cost: u32) -> Option<Standing> {
        let (AnyMeter::Window(window), None) = (&self.meter, &self.kind.calendar) else {
            return None;
        };
        let is_long = window.length() >= SHORTEST_COARSE_WINDOW;
        let now = nanos(if is_long { clock.monotonic_coarse() } else { clock.monotonic() });
        self.table.try_charge(window, key, now, cost)
    }

    /// Checks a request and charges it, in one step.
    #[inline]
    fn charge(&self, key: u64, now: Now<'_>, cost: u32) -> Outcome {
        match &self.kind.calendar {
            None => self.table.charge(&self.meter, key, now.monotonic, cost),
            Some(_) => self.charge_by_calendar(key, now, cost),
        }
    }

    #[inline(never)]
    fn charge_by_calendar(&self, key: u64, now: Now<'_>, cost: u32) -> Outcome {
        let time = self.time(now);
        time.translate(self.table.charge(&self.meter, key, time.at, cost))
    }

    /// Returns what [`charge`](Self::charge) would return, with the current standing, and charges nothing.
    pub(crate) fn look(&self, key: u64, now: Now<'_>, cost: u32) -> Outcome {
        let time = self.time(now);
        time.translate(self.table.look(&self.meter, key, time.at, cost))
    }

    #[inline]
    fn time(&self, now: Now<'_>) -> TableTime {
        match &self.kind.calendar {
            None => TableTime::monotonic(now.monotonic),
            Some(calendar) => calendar.table_time(now.clock.unix()),
        }
    }

    /// # Errors
    ///
    /// If the quota is not valid, or there is no memory for its table.
    pub(crate) fn new(quota: &Quota, keys: usize) -> Result<Self, ConfigError> {
        let meter = AnyMeter::new(quota)?;
        check_log_size(quota, keys, meter.words())?;
        let table = Arc::new(Table::for_keys(keys, &meter)?);
        Ok(Self { meter, table, kind: CounterKind::new(quota) })
    }

    /// Returns true if the quota has the algorithm and the window of this counter.
    pub(crate) fn counts_like(&self, quota: &Quota) -> bool {
        self.kind == CounterKind::new(quota)
    }

    /// Returns a counter for another limit of the same kind, in the same table.
    ///
    /// # Errors
    ///
    /// If the quota is not valid, or needs more room than the keys of the table have.
    pub(crate) fn replaced_by(&self, quota: &Quota) -> Result<Self, ConfigError> {
        let meter = AnyMeter::new(quota)?.comparable_with(&self.meter);
        if !self.table.holds(&meter) {
            let remedy = "the table of the old quota has no room for counts of this size: build the limit with the larger \
                          quota, and replace it by a smaller one";
            return Err(ConfigError::new("limit", quota.limit(), remedy));
        }
        Ok(Self { meter, table: Arc::clone(&self.table), kind: self.kind.clone() })
    }
}

/// The largest exact log, 256 MiB. Its size is proportional to limit × capacity: with the default capacity and a limit of 1000
/// it would exceed a gigabyte.
const LARGEST_LOG: usize = 256 << 20;

/// # Errors
///
/// If the logs of an exact log take more memory than [`LARGEST_LOG`].
pub(crate) fn check_log_size(quota: &Quota, keys: usize, words: usize) -> Result<(), ConfigError> {
    if quota.algorithm() != Algorithm::ExactLog {
        return Ok(());
    }
    let a_key = Table::bytes_a_key(words);
    let bytes = keys.saturating_mul(a_key);
    if bytes <= LARGEST_LOG {
        return Ok(());
    }
    let remedy = format!(
        "an exact log of {} requests takes {a_key} bytes for each key, which is {} MiB in all, and at most 256 MiB are \
         allowed: choose a capacity of at most {}, a smaller limit, or strict(), which takes 91 bytes for each key",
        quota.limit(),
        bytes >> 20,
        LARGEST_LOG / a_key,
    );
    Err(ConfigError::new("capacity", keys, remedy))
}

/// The properties that quotas must share to be counted in one table. Their limits and bursts may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CounterKind {
    pub(crate) algorithm: Algorithm,
    window: Duration,
    calendar: Option<Arc<Calendar>>,
}

impl CounterKind {
    pub(crate) fn new(quota: &Quota) -> Self {
        let algorithm = match quota.algorithm() {
            Algorithm::Gcra { .. } => Algorithm::Gcra { burst: 0 },
            algorithm => algorithm,
        };
        Self { algorithm, window: quota.window(), calendar: quota.calendar().cloned() }
    }
}
