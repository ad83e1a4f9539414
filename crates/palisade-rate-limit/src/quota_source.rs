//! The quotas of a request, and the tables that count them.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use http::request;
use palisade_core::{ConfigError, Principal};

use crate::{
    Quota, Quotas, algorithm::AnyMeter, counters::Counter, headers::QuotaFields,
    request_tables::RequestTables, table::Table,
};

/// Where the quotas of a request come from.
pub(crate) enum QuotaSource {
    Fixed(ReplaceableQuotas),
    PerRequest(QuotaChooser),
}

/// Chooses the quotas of each request.
pub(crate) struct QuotaChooser {
    pub(crate) choose: Box<Choose>,
    pub(crate) tables: RequestTables,
    /// The quotas that the limit was built with, for checks without a request.
    pub(crate) given: Arc<[Quota]>,
}

/// Quotas that were chosen for one request, and their response fields.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) quotas: Arc<[Quota]>,
    pub(crate) fields: Arc<[QuotaFields]>,
}

pub(crate) type Choose = dyn Fn(Option<&Principal>, &request::Parts) -> Quotas + Send + Sync;

impl QuotaChooser {
    /// Chooses the quotas of a request, or the default ones without a request.
    ///
    /// # Errors
    ///
    /// If a chosen quota is not valid.
    pub(crate) fn choose(
        &self,
        request: Option<&request::Parts>,
        limit_name: &str,
    ) -> Result<Chosen, ConfigError> {
        let quotas = match request {
            None => Arc::clone(&self.given),
            Some(request) => {
                let quotas = (self.choose)(request.extensions.get(), request);
                let quotas = quotas.named_after(limit_name);
                quotas.check()?;
                quotas.iter().cloned().collect()
            }
        };
        let fields = quotas.iter().map(QuotaFields::new).collect::<Result<_, _>>()?;
        Ok(Chosen { quotas, fields })
    }
}

/// The quotas of all requests, with their counters.
pub(crate) struct QuotaSet {
    pub(crate) quotas: Arc<[Quota]>,
    /// The counters of the quotas, or of the fraction that is counted locally when a shared store fails.
    pub(crate) counters: Box<[Counter]>,
    pub(crate) fields: Arc<[QuotaFields]>,
    /// How many times the quotas have been replaced.
    pub(crate) generation: u32,
}

/// The part of each quota that is counted on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LocalCounting {
    Whole,
    /// A fraction, when a shared store fails.
    #[cfg(feature = "store")]
    Fraction(f64),
    /// Nothing, because the store decides.
    #[cfg(feature = "store")]
    Nothing,
}

impl LocalCounting {
    fn part_of(self, quota: &Quota) -> Option<Quota> {
        match self {
            Self::Whole => Some(quota.clone()),
            #[cfg(feature = "store")]
            Self::Fraction(fraction) => Some(quota.fraction(fraction)),
            #[cfg(feature = "store")]
            Self::Nothing => None,
        }
    }
}

impl QuotaSet {
    /// Checks quotas before they are used.
    ///
    /// # Errors
    ///
    /// If a quota or its name is not valid.
    pub(crate) fn check(quotas: &Quotas) -> Result<(), ConfigError> {
        quotas.check()?;
        quotas
            .iter()
            .try_for_each(|quota| AnyMeter::new(quota).and(QuotaFields::new(quota)).map(drop))
    }

    /// Creates counters, in the tables of `before` if they fit.
    fn new(
        quotas: &Quotas,
        counting: LocalCounting,
        keys: usize,
        before: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        Self::check(quotas)?;
        let mut old: Vec<&Counter> = before.iter().flat_map(|set| &set.counters).collect();
        let counters = quotas.iter().filter_map(|quota| counting.part_of(quota)).map(|quota| {
            let found = old.iter().position(|old| old.counts_like(&quota));
            match found.map(|at| old.remove(at)) {
                Some(old) => old.replaced_by(&quota),
                None => Counter::new(&quota, keys),
            }
        });
        Ok(Self {
            counters: counters.collect::<Result<_, _>>()?,
            fields: quotas.iter().map(QuotaFields::new).collect::<Result<_, _>>()?,
            quotas: quotas.iter().cloned().collect(),
            generation: before.map_or(0, |before| before.generation.wrapping_add(1)),
        })
    }
}

/// Quotas that can be replaced while they are in use.
pub(crate) struct ReplaceableQuotas {
    first: QuotaSet,
    counting: LocalCounting,
    keys: usize,
    /// Until quotas are replaced, a request reads only this flag and increments no reference count.
    is_replaced: AtomicBool,
    replaced: ArcSwapOption<QuotaSet>,
    replacing: Mutex<()>,
}

/// The current quotas.
pub(crate) enum CurrentQuotas<'a> {
    First(&'a QuotaSet),
    Later(Arc<QuotaSet>),
}

impl Deref for CurrentQuotas<'_> {
    type Target = QuotaSet;

    #[inline]
    fn deref(&self) -> &QuotaSet {
        match self {
            Self::First(set) => set,
            Self::Later(set) => set,
        }
    }
}

impl ReplaceableQuotas {
    /// # Errors
    ///
    /// If a quota or its name is not valid.
    pub(crate) fn new(
        quotas: &Quotas,
        counting: LocalCounting,
        keys: usize,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            first: QuotaSet::new(quotas, counting, keys, None)?,
            counting,
            keys,
            is_replaced: AtomicBool::new(false),
            replaced: ArcSwapOption::empty(),
            replacing: Mutex::new(()),
        })
    }

    #[inline]
    pub(crate) fn get(&self) -> CurrentQuotas<'_> {
        if self.is_replaced.load(Ordering::Acquire)
            && let Some(set) = self.replaced.load_full()
        {
            return CurrentQuotas::Later(set);
        }
        CurrentQuotas::First(&self.first)
    }

    /// Replaces the quotas. If it fails, the old quotas stay.
    ///
    /// # Errors
    ///
    /// If a quota or its name is not valid.
    pub(crate) fn replace(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        let _guard = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let set = QuotaSet::new(quotas, self.counting, self.keys, Some(&self.get()))?;
        self.replaced.store(Some(Arc::new(set)));
        self.is_replaced.store(true, Ordering::Release);
        Ok(())
    }
}

impl QuotaSource {
    /// Returns the quotas that apply to checks without a request.
    pub(crate) fn without_request(&self) -> Arc<[Quota]> {
        match self {
            Self::Fixed(current) => Arc::clone(&current.get().quotas),
            Self::PerRequest(chooser) => Arc::clone(&chooser.given),
        }
    }

    /// Returns how many requests were rejected because of what evicted keys had used.
    pub(crate) fn floor_reached(&self) -> u64 {
        match self {
            Self::Fixed(current) => {
                let set = current.get();
                set.counters.iter().map(|counter| counter.table.floor_reached()).sum()
            }
            Self::PerRequest(chooser) => {
                chooser.tables.made().map(|table| table.floor_reached()).sum()
            }
        }
    }

    /// Returns the tables that exist now.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        match self {
            Self::Fixed(current) => {
                let set = current.get();
                set.counters.iter().map(|counter| Arc::clone(&counter.table)).collect()
            }
            Self::PerRequest(chooser) => chooser.tables.made().cloned().collect(),
        }
    }
}
