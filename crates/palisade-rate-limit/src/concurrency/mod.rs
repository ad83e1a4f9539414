//! Limits how many requests are served at the same time.

mod slots;

use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};
use palisade_core::{
    Allowed, ApiError, ConfigError, Decision, Measured, Measurement, Policy, PolicyLayer,
    hold_until_end,
};

use crate::{Key, measured::SLOTS};
use slots::{Slot, Slots};

/// Limits how many requests are served at the same time, in all and for each client.
///
/// A request holds its slot until its response's body has ended or the client has disconnected, and a WebSocket until it is
/// closed, if [`TrackUpgrades`](palisade_core::TrackUpgrades) is an outer layer. If all slots are taken, requests are rejected
/// with 503 and `Retry-After`; if all slots of the client are taken, with 429. Each process counts its own slots.
///
/// [Priorities](ConcurrencyLimitBuilder::priority) decide which requests are rejected first, so that health checks and paying
/// tenants are served during a flood.
///
/// ```
/// use http::request;
/// use palisade_core::Principal;
/// use palisade_rate_limit::{ByPrincipal, ConcurrencyLimit, Priority};
///
/// let limit = ConcurrencyLimit::overall(200)
///     .per_key(ByPrincipal, 10)
///     .reserve(20) // of the 200, for Priority::High
///     .priority(|request: &request::Parts| match request.extensions.get::<Principal>() {
///         _ if request.uri.path() == "/health" => Priority::Critical,
///         Some(caller) if caller.has_role("paying") => Priority::High,
///         _ => Priority::Normal,
///     })
///     .build()?;
/// assert_eq!(limit.in_flight(), 0);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A limit with slots for each client only:
///
/// ```
/// use palisade_rate_limit::{ByAddress, ConcurrencyLimit};
///
/// let exports = ConcurrencyLimit::per_key(ByAddress::default(), 2).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimit {
    rules: Arc<Rules>,
    slots: Arc<Slots>,
}

/// The importance of a request if there are fewer slots than requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Priority {
    /// Is rejected if all slots except the [reserved](ConcurrencyLimitBuilder::reserve) ones are taken.
    #[default]
    Normal,
    /// Can also take the reserved slots.
    High,
    /// Is counted but never rejected, for health checks and the operator's own requests.
    Critical,
}

struct Rules {
    overall: u32,
    reserved: u32,
    by_key: Option<(FindKey, u32)>,
    priority: Option<FindPriority>,
    retry_after: Duration,
}

type FindKey = Box<dyn Fn(&Slots, &request::Parts) -> Result<u64, ApiError> + Send + Sync>;
type FindPriority = Box<dyn Fn(&request::Parts) -> Priority + Send + Sync>;

/// Builds a [`ConcurrencyLimit`].
#[must_use = "a builder does nothing until it is built"]
pub struct ConcurrencyLimitBuilder(Rules);

impl ConcurrencyLimit {
    /// Serves at most `slots` requests at the same time.
    pub fn overall(slots: u32) -> ConcurrencyLimitBuilder {
        ConcurrencyLimitBuilder(Rules {
            overall: slots,
            reserved: 0,
            by_key: None,
            priority: None,
            retry_after: Duration::from_secs(1),
        })
    }

    /// Serves at most `slots` requests of each client at the same time, and any number of requests in total.
    pub fn per_key<K: Key>(key: K, slots: u32) -> ConcurrencyLimitBuilder {
        Self::overall(u32::MAX).per_key(key, slots)
    }

    /// Returns how many requests hold a slot.
    pub fn in_flight(&self) -> u32 {
        self.slots.taken()
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    fn take(&self, request: &request::Parts) -> Result<Slot, ApiError> {
        let rules = &*self.rules;
        let priority = rules.priority.as_ref().map_or(Priority::Normal, |find| find(request));
        let most = match priority {
            Priority::Normal => rules.overall - rules.reserved,
            Priority::High => rules.overall,
            Priority::Critical => u32::MAX,
        };
        let Some(mut slot) = self.slots.take(most) else { return Err(rules.overloaded()) };
        if let Some((find, most)) = &rules.by_key
            && priority != Priority::Critical
        {
            let key = find(&self.slots, request)?;
            if !slot.take_for_key(key, *most) {
                return Err(rules.too_many());
            }
        }
        Ok(slot)
    }
}

impl Rules {
    #[cold]
    fn overloaded(&self) -> ApiError {
        ApiError::unavailable()
            .with_message("the service is at its limit of concurrent requests")
            .with_retry_after(self.retry_after)
    }

    #[cold]
    fn too_many(&self) -> ApiError {
        ApiError::rate_limited()
            .with_message("too many concurrent requests")
            .with_retry_after(self.retry_after)
    }
}

impl ConcurrencyLimitBuilder {
    /// Also limits each client to `slots` requests at the same time. Further requests get 429.
    pub fn per_key<K: Key>(mut self, key: K, slots: u32) -> Self {
        let find =
            move |all: &Slots, request: &request::Parts| key.key(request).map(|key| all.hash(key));
        self.0.by_key = Some((Box::new(find), slots));
        self
    }

    /// Reserves this many of the overall slots for [`Priority::High`]. Default: none.
    pub fn reserve(mut self, slots: u32) -> Self {
        self.0.reserved = slots;
        self
    }

    /// Sets the priority of requests. Default: [`Priority::Normal`] for all.
    ///
    /// The function reads the head, most of which clients can write. Use data that an outer policy has verified.
    pub fn priority<F>(mut self, priority: F) -> Self
    where
        F: Fn(&request::Parts) -> Priority + Send + Sync + 'static,
    {
        self.0.priority = Some(Box::new(priority));
        self
    }

    /// Sets the `Retry-After` of rejected requests. Default: 1 s.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.0.retry_after = time;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// If a number of slots is 0, or all slots are reserved, because every request would be rejected.
    pub fn build(self) -> Result<ConcurrencyLimit, ConfigError> {
        let rules = self.0;
        if rules.overall == 0 {
            return Err(ConfigError::new("overall", 0, "allow at least one request at a time"));
        }
        if let Some((_, 0)) = rules.by_key {
            return Err(ConfigError::new("per_key", 0, "allow at least one request at a time"));
        }
        if rules.reserved >= rules.overall {
            let remedy = format!("reserve fewer slots than the overall number ({})", rules.overall);
            return Err(ConfigError::new("reserve", rules.reserved, remedy));
        }
        if rules.reserved > 0 && rules.priority.is_none() {
            let remedy = "set with `.priority(…)` which requests may take the reserved slots";
            return Err(ConfigError::new("reserve", rules.reserved, remedy));
        }
        Ok(ConcurrencyLimit { rules: Arc::new(rules), slots: Arc::default() })
    }
}

/// The slot of a request in a [`ConcurrencyLimit`].
pub struct HeldSlot {
    /// Released by dropping the grant.
    slot: Slot,
}

impl Policy for ConcurrencyLimit {
    type Grant = HeldSlot;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<HeldSlot> {
        self.take(request).map(|slot| HeldSlot { slot }).into()
    }

    fn finish(&self, held: HeldSlot, response: &mut response::Parts) {
        hold_until_end(response, held.slot);
    }
}

impl Measured for ConcurrencyLimit {
    fn measure(&self) -> Vec<Measurement> {
        vec![SLOTS.at(f64::from(self.in_flight()))]
    }
}

impl fmt::Debug for ConcurrencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConcurrencyLimitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConcurrencyLimitBuilder")
    }
}

impl fmt::Debug for HeldSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldSlot")
    }
}
