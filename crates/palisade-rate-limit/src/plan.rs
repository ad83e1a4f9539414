//! Which quotas a request has, and where they are counted.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use palisade_core::ConfigError;

use crate::{
    Quota, Quotas,
    algorithm::AnyMeter,
    counters::{Counter, Tables},
    headers::Fields,
    limiter::Choose,
    table::Table,
};

pub(crate) enum Plan {
    Same(Current),
    PerKey(PerKey),
}

/// Quotas that are chosen for each request.
pub(crate) struct PerKey {
    pub(crate) choose: Box<Choose>,
    pub(crate) tables: Tables,
    /// Those that the limit was made with: for whoever asks without a request.
    pub(crate) given: Arc<[Quota]>,
}

/// Quotas that are the same for all requests.
pub(crate) struct Same {
    pub(crate) quotas: Arc<[Quota]>,
    /// Of the quotas, or of the fraction that is counted here when a shared store fails.
    pub(crate) counters: Box<[Counter]>,
    pub(crate) fields: Arc<[Fields]>,
    /// How many times quotas have been replaced.
    pub(crate) generation: u32,
}

/// What is counted on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    Whole,
    /// A fraction, when a shared store fails.
    #[cfg(feature = "store")]
    Fraction(f64),
    /// Nothing: the store decides or fails.
    #[cfg(feature = "store")]
    Nothing,
}

impl Counted {
    fn of_quota(self, quota: &Quota) -> Option<Quota> {
        match self {
            Self::Whole => Some(quota.clone()),
            #[cfg(feature = "store")]
            Self::Fraction(fraction) => Some(quota.fraction(fraction)),
            #[cfg(feature = "store")]
            Self::Nothing => None,
        }
    }
}

impl Same {
    /// # Errors
    ///
    /// If a quota cannot be counted, or has a name that is not valid.
    pub(crate) fn check(quotas: &Quotas) -> Result<(), ConfigError> {
        quotas.check()?;
        quotas.iter().try_for_each(|quota| AnyMeter::of(quota).and(Fields::new(quota)).map(drop))
    }

    /// Counts in the tables of `before` where these fit.
    fn new(
        quotas: &Quotas,
        counted: Counted,
        keys: usize,
        before: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        Self::check(quotas)?;
        let mut old: Vec<&Counter> = before.iter().flat_map(|same| &same.counters).collect();
        let counters = quotas.iter().filter_map(|quota| counted.of_quota(quota)).map(|quota| {
            let found = old.iter().position(|old| old.counts_like(&quota));
            match found.map(|at| old.remove(at)) {
                Some(old) => old.replaced_by(&quota),
                None => Counter::of(&quota, keys),
            }
        });
        Ok(Self {
            counters: counters.collect::<Result<_, _>>()?,
            fields: quotas.iter().map(Fields::new).collect::<Result<_, _>>()?,
            quotas: quotas.iter().cloned().collect(),
            generation: before.map_or(0, |before| before.generation.wrapping_add(1)),
        })
    }
}

/// Quotas that may be replaced while they are in use.
pub(crate) struct Current {
    first: Same,
    counted: Counted,
    keys: usize,
    /// While quotas were never replaced, a request reads this and takes no reference count.
    is_replaced: AtomicBool,
    replaced: ArcSwapOption<Same>,
    replacing: Mutex<()>,
}

/// The quotas of now.
pub(crate) enum SameNow<'a> {
    First(&'a Same),
    Later(Arc<Same>),
}

impl Deref for SameNow<'_> {
    type Target = Same;

    #[inline]
    fn deref(&self) -> &Same {
        match self {
            Self::First(same) => same,
            Self::Later(same) => same,
        }
    }
}

impl Current {
    /// # Errors
    ///
    /// If a quota cannot be counted, or has a name that is not valid.
    pub(crate) fn new(quotas: &Quotas, counted: Counted, keys: usize) -> Result<Self, ConfigError> {
        Ok(Self {
            first: Same::new(quotas, counted, keys, None)?,
            counted,
            keys,
            is_replaced: AtomicBool::new(false),
            replaced: ArcSwapOption::empty(),
            replacing: Mutex::new(()),
        })
    }

    #[inline]
    pub(crate) fn get(&self) -> SameNow<'_> {
        if self.is_replaced.load(Ordering::Acquire)
            && let Some(same) = self.replaced.load_full()
        {
            return SameNow::Later(same);
        }
        SameNow::First(&self.first)
    }

    /// # Errors
    ///
    /// If a quota cannot be counted, or has a name that is not valid. The quotas stay as they are.
    pub(crate) fn replace(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let same = Same::new(quotas, self.counted, self.keys, Some(&self.get()))?;
        self.replaced.store(Some(Arc::new(same)));
        self.is_replaced.store(true, Ordering::Release);
        Ok(())
    }
}

impl Plan {
    /// Returns how many requests were rejected because of what evicted keys had used.
    pub(crate) fn floor_reached(&self) -> u64 {
        match self {
            Self::Same(current) => {
                let same = current.get();
                same.counters.iter().map(|counter| counter.table.floor_reached()).sum()
            }
            Self::PerKey(plan) => plan.tables.made().map(|table| table.floor_reached()).sum(),
        }
    }

    /// Returns the tables that there are now.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        match self {
            Self::Same(current) => {
                let same = current.get();
                same.counters.iter().map(|counter| Arc::clone(&counter.table)).collect()
            }
            Self::PerKey(plan) => plan.tables.made().cloned().collect(),
        }
    }
}
