//! The tables of all quotas of a limit, and how a request is charged to all of them or to none.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use palisade_core::{Clock, ConfigError};

use crate::{
    Algorithm, Quota, Standing,
    algorithm::{AnyMeter, Meter, Outcome, window::WindowStanding},
    calendar::{Calendar, TableTime},
    per_quota::PerQuota,
    quotas::MOST_QUOTAS,
    table::Table,
};

/// One quota, and where its keys are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) meter: AnyMeter,
    pub(crate) table: Arc<Table>,
    kind: Kind,
}

/// The time of a decision, on the monotonic clock and, where a quota needs it, on the calendar.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    monotonic: u64,
    clock: &'a dyn Clock,
}

impl<'a> Now<'a> {
    pub(crate) fn read(clock: &'a dyn Clock) -> Self {
        Self { monotonic: crate::limiter::monotonic(clock), clock }
    }
}

/// What a request was charged: where it stands with each quota, and when it was charged to it.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub(crate) standings: PerQuota<Standing>,
    pub(crate) at: PerQuota<u64>,
}

/// Where a refused request stands with each quota, and how long it would have to wait for it: 0 where it fits, nothing
/// where waiting cannot help.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) standings: Each<Standing>,
    pub(crate) waits: Each<Option<u64>>,
}

/// One value for each quota of a limit, in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Each<T> {
    values: [T; MOST_QUOTAS],
    len: u8,
}

impl<T: Copy> Each<T> {
    pub(crate) fn none(filler: T) -> Self {
        Self { values: [filler; MOST_QUOTAS], len: 0 }
    }

    pub(crate) fn push(&mut self, value: T) {
        self.values[usize::from(self.len)] = value;
        self.len += 1;
    }

    /// Only a store's readings are made over.
    #[cfg(feature = "store")]
    pub(crate) fn map(self, with: impl Fn(T) -> T) -> Self {
        Self { values: self.values.map(with), len: self.len }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.values[..usize::from(self.len)]
    }
}

const NOTHING: Standing = Standing::new(0, None);

/// Charges a request to all counters or to none.
///
/// The counters are asked in turn. When one refuses, those before it are given back what they were charged. Meanwhile
/// another request may see them fuller than they will be. As whoever refused has no room now, a request of the same cost
/// would have been refused in any case; a cheaper one may be refused that would have fitted, for that moment.
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
    let (mut standings, mut times) = (Each::none(NOTHING), Each::none(0));
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

/// Takes back what was charged to the first counters.
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

/// Charges more, as far as there is room: what is over after that is not carried over.
pub(crate) fn charge_more(counter: &Counter, key: u64, now: Now<'_>, more: u32) {
    let mut amount = more;
    // Others may charge the key meanwhile.
    for _ in 0..8 {
        match counter.charge(key, now, amount) {
            Outcome::Refused { standing, .. } if standing.remaining() > 0 => {
                amount = amount.min(standing.remaining());
            }
            _ => return,
        }
    }
}

/// Where a request stands that the counter `which` refuses: the others are asked too, and charged nothing.
#[cold]
fn refused(
    counters: &[Counter],
    key: u64,
    now: Now<'_>,
    cost: u32,
    which: usize,
    said: (Standing, Option<u64>),
) -> Box<Refused> {
    let mut refused = Refused { standings: Each::none(NOTHING), waits: Each::none(None) };
    for (at, counter) in counters.iter().enumerate() {
        let (standing, wait) = if at == which {
            said
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
    /// Charges a request if its key was charged in this window before, and if it fits; that is nearly every request. Returns
    /// `None` if the request is neither charged nor decided on.
    ///
    /// What it returns stays in registers until the grant is written: with one path for all outcomes each call copies them
    /// from one stack frame to the next, which takes three times as long.
    #[inline(always)]
    pub(crate) fn charge_known(&self, key: u64, now: Now<'_>, cost: u32) -> Option<WindowStanding> {
        match (&*self.table, &self.meter, &self.kind.calendar) {
            (Table::Narrow(table), AnyMeter::Window(window), None) => {
                table.charge_known(window, key, now.monotonic, cost)
            }
            _ => None,
        }
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

    /// Returns what [`charge`](Self::charge) would return, and charges nothing. The standing is that of now.
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
    /// If the quota cannot be counted exactly, or there is no memory for its table.
    pub(crate) fn of(quota: &Quota, keys: usize) -> Result<Self, ConfigError> {
        let meter = AnyMeter::of(quota)?;
        check_log_size(quota, keys, meter.words())?;
        let table = Arc::new(Table::for_keys(keys, &meter)?);
        Ok(Self { meter, table, kind: Kind::of_quota(quota) })
    }
}

impl Counter {
    /// Returns true if the quota has the algorithm and the window that are counted here.
    pub(crate) fn counts_like(&self, quota: &Quota) -> bool {
        self.kind == Kind::of_quota(quota)
    }

    /// Returns a counter for another limit of the same kind, in the same table.
    ///
    /// # Errors
    ///
    /// If the quota cannot be counted exactly, or needs more room than the keys of the table have.
    pub(crate) fn replaced_by(&self, quota: &Quota) -> Result<Self, ConfigError> {
        let meter = AnyMeter::of(quota)?.comparable_with(&self.meter);
        if !self.table.holds(&meter) {
            let remedy = "the table of the old quota has no room for counts of this size: build the limit with the larger \
                          quota, and replace it by a smaller one";
            return Err(ConfigError::new("limit", quota.limit(), remedy));
        }
        Ok(Self { meter, table: Arc::clone(&self.table), kind: self.kind.clone() })
    }
}

/// The most memory that an exact log may take: 256 MiB. It grows with the product of limit and capacity, and the default
/// capacity with a limit of 1000 would be over a gigabyte.
const LARGEST_LOG: usize = 256 << 20;

/// # Errors
///
/// If the logs of an exact log take more memory than [`LARGEST_LOG`].
fn check_log_size(quota: &Quota, keys: usize, words: usize) -> Result<(), ConfigError> {
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

/// Tables for quotas that are chosen for each request. Quotas of the same algorithm and window share one from request to
/// request, whatever their limits and names; two such quotas of one request have one each.
#[derive(Debug)]
pub(crate) struct Tables {
    keys: usize,
    tables: Box<[OnceLock<Shaped>; MOST_SHAPES]>,
    making: Mutex<()>,
}

/// A table, and what it was made for.
type Shaped = (Shape, Arc<Table>);

/// More would be a sign that windows are made up as requests come, and memory with them.
const MOST_SHAPES: usize = 8;

/// What tells quotas apart whose counts must not be mixed. Their limits and bursts may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    algorithm: Algorithm,
    window: Duration,
    calendar: Option<Arc<Calendar>>,
}

/// What quotas that are counted in one table have in common.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    kind: Kind,
    words: usize,
    /// What is charged in one epoch no longer counts after the next.
    epoch: NonZeroU64,
    /// How many quotas before it, of the same request, are of the same kind.
    nth: usize,
}

impl Tables {
    /// # Errors
    ///
    /// If there is no room for any key.
    pub(crate) fn new(keys: usize) -> Result<Self, ConfigError> {
        Table::check_capacity(keys)?;
        let tables = Box::new([const { OnceLock::new() }; MOST_SHAPES]);
        Ok(Self { keys, tables, making: Mutex::new(()) })
    }

    /// Those that there are by now.
    pub(crate) fn made(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter().filter_map(OnceLock::get).map(|(_, table)| table)
    }

    /// Where these quotas are counted, each by itself.
    ///
    /// # Errors
    ///
    /// If one cannot be counted exactly, or there have been too many different windows.
    pub(crate) fn counters(&self, quotas: &[Quota]) -> Result<Box<[Counter]>, ConfigError> {
        let counters = quotas.iter().enumerate().map(|(which, quota)| {
            let alike = |other: &&Quota| Kind::of_quota(other) == Kind::of_quota(quota);
            let nth = quotas[..which].iter().filter(alike).count();
            self.counter(quota, nth)
        });
        counters.collect()
    }

    fn counter(&self, quota: &Quota, nth: usize) -> Result<Counter, ConfigError> {
        let meter = AnyMeter::among_others(quota)?;
        let kind = Kind::of_quota(quota);
        let words = match kind.algorithm {
            // Logs of about the same length share a table, and a limit that is raised a little keeps its count.
            Algorithm::ExactLog => meter.words().next_power_of_two().max(SHORTEST_LOG),
            _ => meter.words(),
        };
        let shape = Shape { kind: kind.clone(), words, epoch: meter.epoch(), nth };
        let found = |table: &Shaped| (table.0 == shape).then(|| Arc::clone(&table.1));
        let mut tables = self.tables.iter();
        if let Some(table) = tables.by_ref().map_while(OnceLock::get).find_map(found) {
            return Ok(Counter { meter, table, kind });
        }
        // One thread makes the table, and others that need it wait, rather than make one each.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        for table in &self.tables[..] {
            if let Some(table) = table.get() {
                if let Some(table) = found(table) {
                    return Ok(Counter { meter, table, kind });
                }
                continue;
            }
            check_log_size(quota, self.keys, words)?;
            let made = Table::wide(self.keys, &meter, words, u32::MAX).ok_or_else(|| {
                ConfigError::new("capacity", self.keys, "choose one that fits in memory")
            })?;
            let (_, made) = table.get_or_init(|| (shape, Arc::new(made)));
            let table = Arc::clone(made);
            return Ok(Counter { meter, table, kind });
        }
        let remedy =
            "choose among at most eight windows and algorithms; limits may differ as they like";
        Err(ConfigError::new("quota", format_args!("{quota:?}"), remedy))
    }
}

/// The least number of requests that an exact log of a chosen quota has room for.
const SHORTEST_LOG: usize = 16;

impl Kind {
    fn of_quota(quota: &Quota) -> Self {
        let algorithm = match quota.algorithm() {
            Algorithm::Gcra { .. } => Algorithm::Gcra { burst: 0 },
            algorithm => algorithm,
        };
        Self { algorithm, window: quota.window(), calendar: quota.calendar().cloned() }
    }
}
