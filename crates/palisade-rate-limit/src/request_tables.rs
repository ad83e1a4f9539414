//! The tables of quotas that are chosen for each request.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use palisade_core::ConfigError;

use crate::{
    Algorithm, Quota,
    algorithm::{AnyMeter, Meter},
    counters::{Counter, CounterKind, check_log_size},
    table::Table,
};

/// One table for each algorithm and window. Quotas that differ only in limit and name share a table across requests; two such
/// quotas of one request have a table each.
#[derive(Debug)]
pub(crate) struct RequestTables {
    keys: usize,
    tables: Box<[OnceLock<MadeTable>; MOST_SHAPES]>,
    making: Mutex<()>,
}

/// A table and its shape.
type MadeTable = (TableShape, Arc<Table>);

/// The cap keeps a closure that computes windows from requests from allocating without bound.
const MOST_SHAPES: usize = 8;

/// The properties that quotas in one table share.
#[derive(Debug, PartialEq, Eq)]
struct TableShape {
    kind: CounterKind,
    words: usize,
    /// A charge of one epoch no longer counts after the next.
    epoch: NonZeroU64,
    /// How many earlier quotas of the same request are of the same kind.
    nth: usize,
}

impl RequestTables {
    /// # Errors
    ///
    /// If there is no room for any key.
    pub(crate) fn new(keys: usize) -> Result<Self, ConfigError> {
        Table::check_capacity(keys)?;
        let tables = Box::new([const { OnceLock::new() }; MOST_SHAPES]);
        Ok(Self { keys, tables, making: Mutex::new(()) })
    }

    /// Returns the tables that exist now.
    pub(crate) fn made(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter().filter_map(OnceLock::get).map(|(_, table)| table)
    }

    /// Returns a counter for each quota.
    ///
    /// # Errors
    ///
    /// If a quota is not valid, or there have been too many different windows.
    pub(crate) fn counters(&self, quotas: &[Quota]) -> Result<Box<[Counter]>, ConfigError> {
        let counters = quotas.iter().enumerate().map(|(which, quota)| {
            let alike = |other: &&Quota| CounterKind::new(other) == CounterKind::new(quota);
            let nth = quotas[..which].iter().filter(alike).count();
            self.counter(quota, nth)
        });
        counters.collect()
    }

    fn counter(&self, quota: &Quota, nth: usize) -> Result<Counter, ConfigError> {
        let meter = AnyMeter::for_shared_table(quota)?;
        let kind = CounterKind::new(quota);
        let words = match kind.algorithm {
            // Rounded up, so that a limit that is raised a little keeps its counts.
            Algorithm::ExactLog => meter.words().next_power_of_two().max(SHORTEST_LOG),
            _ => meter.words(),
        };
        let shape = TableShape { kind: kind.clone(), words, epoch: meter.epoch(), nth };
        let found = |table: &MadeTable| (table.0 == shape).then(|| Arc::clone(&table.1));
        let mut tables = self.tables.iter();
        if let Some(table) = tables.by_ref().map_while(OnceLock::get).find_map(found) {
            return Ok(Counter { meter, table, kind });
        }
        // Under the lock, so that concurrent requests create one table instead of one each.
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
        let remedy = "choose among at most eight windows and algorithms; the limits may differ";
        Err(ConfigError::new("quota", format_args!("{quota:?}"), remedy))
    }
}

/// The smallest size of an exact log of a chosen quota, in requests.
const SHORTEST_LOG: usize = 16;
