//! What a limit asks of a store that several machines share.

use std::{fmt, sync::Arc, time::Duration};

use palisade_core::{BoxError, BoxFuture, ConfigError};

use crate::Quota;

/// Where counts are kept when one machine is not enough.
///
/// A store decides about all quotas of a request in one atomic step and by its own clock, so that the machines that
/// share it need not agree on the time. It answers with what it knows or with an error; what an error means for the
/// request is the limit's business, and so are time-outs, retries and breakers.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex}, time::Duration};
/// use palisade_core::{BoxError, BoxFuture};
/// use palisade_rate_limit::{Demand, Fit, Reading, Refund, Store, Verdict};
///
/// /// Counts and never forgets: for a test.
/// #[derive(Debug, Default)]
/// struct Tally(Arc<Mutex<HashMap<[u8; 16], u32>>>);
///
/// impl Store for Tally {
///     fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
///         let tally = Arc::clone(&self.0);
///         Box::pin(async move {
///             let mut tally = tally.lock().map_err(|_| "a thread panicked")?;
///             let used = tally.entry(demand.key).or_default();
///             let limit = demand.quotas[0].limit();
///             let charged = demand.most.min(limit.saturating_sub(*used));
///             let charged = if charged < demand.cost { None } else { Some(charged) };
///             *used += charged.unwrap_or(0);
///             let fit = if charged.is_some() { Fit::Fits } else { Fit::Never };
///             let reading = Reading { remaining: limit - *used, more_in: None, fit };
///             Ok(Verdict { charged, readings: vec![reading], moment: 0 })
///         })
///     }
///
///     fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
///         let tally = Arc::clone(&self.0);
///         Box::pin(async move {
///             let mut tally = tally.lock().map_err(|_| "a thread panicked")?;
///             let used = tally.entry(refund.key).or_default();
///             *used = used.saturating_sub(refund.amount);
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Checks every quota of the demand and charges all of them or none, in one atomic step.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached, or does not answer as it should. The demand may have been charged all the same.
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>>;

    /// Gives back what was charged and turned out not to count. Never more than was charged, and nothing of a window
    /// that is over.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached. What was charged then stays charged.
    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>>;

    /// Whether the store can count this quota exactly. Asked when a limit is built.
    ///
    /// # Errors
    ///
    /// If it cannot, with the remedy.
    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        let _ = quota;
        Ok(())
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        S::charge(self, demand)
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        S::refund(self, refund)
    }

    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        S::supports(self, quota)
    }
}

/// What a limit asks of a [`Store`]: may this key do this?
#[derive(Clone, Debug)]
pub struct Demand {
    /// The name of the limit. Limits of different names never share a count.
    pub limit: Arc<str>,
    /// Who asks: a digest, the same on every machine.
    pub key: [u8; 16],
    /// The quotas that apply, at least one. They have different names.
    pub quotas: Arc<[Quota]>,
    /// The least that must be charged for the request to pass. 0 only looks.
    pub cost: u32,
    /// The most that may be charged, at least the cost: as much of it as fits all quotas. More than the cost only
    /// where permits are taken in advance.
    pub most: u32,
}

/// What a [`Store`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was charged to each quota, from the demand's cost to its most; `None` if the request is refused, and then
    /// nothing was charged to any.
    pub charged: Option<u32>,
    /// How each quota of the demand stands now, in the demand's order.
    pub readings: Vec<Reading>,
    /// When it was charged, by the store's clock and in a unit of its own: a [`Refund`] names it.
    pub moment: u64,
}

/// How one quota of a key stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How much is left.
    pub remaining: u32,
    /// How long until there is more, if ever.
    pub more_in: Option<Duration>,
    /// Whether the demand's cost fitted into this quota.
    pub fit: Fit,
}

/// Whether a cost fits into a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Now.
    Fits,
    /// After exactly this time, if nothing else is charged meanwhile.
    After(Duration),
    /// Never by waiting: it costs more than the limit.
    Never,
}

/// What a limit gives back to a [`Store`].
#[derive(Clone, Debug)]
pub struct Refund {
    /// As in the [`Demand`].
    pub limit: Arc<str>,
    /// As in the [`Demand`].
    pub key: [u8; 16],
    /// As in the [`Demand`].
    pub quotas: Arc<[Quota]>,
    /// How much, at most what was charged.
    pub amount: u32,
    /// The [`Verdict::moment`] of the charge.
    pub moment: u64,
}
