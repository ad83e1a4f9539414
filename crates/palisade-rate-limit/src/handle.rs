use std::{fmt, sync::Arc};

use palisade_core::ConfigError;

use crate::{Quotas, limiter::Shared};

/// Replaces the quotas of a [`RateLimit`](crate::RateLimit) while it serves. Made by
/// [`RateLimit::handle`](crate::RateLimit::handle).
///
/// All clones of the limit follow at once. A quota with the algorithm and window of one before it keeps all counts, so that
/// a client that has used 60 of 100 has 140 left of 200, and none of 50. A quota with another algorithm or window starts
/// from zero. Responses to requests that began before say nothing of the quotas.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::PeerAddr;
/// use palisade_rate_limit::{ByAddress, Quota, RateLimit};
///
/// let minute = Duration::from_secs(60);
/// let limit = RateLimit::per_address(Quota::per(100, minute)).build()?;
/// limit.handle().replace(Quota::per(200, minute))?;
/// assert_eq!(limit.quotas()[0].limit(), 200);
///
/// // A mistake changes nothing.
/// assert!(limit.handle().replace(Quota::per(200, Duration::ZERO)).is_err());
/// assert_eq!(limit.quotas()[0].limit(), 200);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct RateLimitHandle<K> {
    shared: Arc<Shared<K>>,
}

impl<K> RateLimitHandle<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>) -> Self {
        Self { shared }
    }

    /// Checks the new quotas and uses them for every request that begins from now on. With a shared store, do so on all
    /// machines.
    ///
    /// # Errors
    ///
    /// Those of [`RateLimitBuilder::build`](crate::RateLimitBuilder::build); if a limit over 65,534 replaces a smaller one
    /// of the same window, whose table has no room for it; or if quotas are
    /// [chosen for each request](crate::RateLimitBuilder::quota). The old quotas stay.
    pub fn replace(&self, quotas: impl Into<Quotas>) -> Result<(), ConfigError> {
        self.shared.replace(quotas.into())
    }
}

impl<K> Clone for RateLimitHandle<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for RateLimitHandle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitHandle")
            .field("name", &self.shared.settings.name)
            .finish_non_exhaustive()
    }
}
