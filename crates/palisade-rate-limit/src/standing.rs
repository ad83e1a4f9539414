use std::time::Duration;

/// Where a key stands with one quota.
///
/// ```
/// use std::time::Duration;
/// use palisade_core::{Decision, PeerAddr, Policy};
/// use palisade_rate_limit::{Quota, RateLimit};
///
/// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build().unwrap();
/// let (mut head, ()) = http::Request::new(()).into_parts();
/// head.extensions.insert(PeerAddr("192.0.2.1:4000".parse().unwrap()));
///
/// let Decision::Now(Ok(admission)) = limit.decide(&head) else { panic!() };
/// let standing = admission.standings()[0];
/// assert_eq!(standing.remaining(), 99);
/// assert!(standing.more_in().unwrap() > Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    remaining: u32,
    /// [`NEVER`] if there never is more.
    more_in_nanos: u64,
}

const NEVER: u64 = u64::MAX;

impl Standing {
    pub(crate) const fn new(remaining: u32, more_in_nanos: Option<u64>) -> Self {
        let more_in_nanos = match more_in_nanos {
            Some(nanos) => nanos,
            None => NEVER,
        };
        Self { remaining, more_in_nanos }
    }

    /// How many more requests would pass now: `r` of the `RateLimit` field.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// How long until one more request than that would pass: `t` of the `RateLimit` field, which rounds it up to
    /// whole seconds. In a sliding window this is not the end of anything: quota comes back bit by bit. `None` if there
    /// is never more than now.
    pub fn more_in(&self) -> Option<Duration> {
        self.more_in_nanos().map(Duration::from_nanos)
    }

    /// The same, this many nanoseconds later.
    #[cfg(feature = "store")]
    pub(crate) fn after(self, nanos: u64) -> Self {
        self.with_more_in(|more_in| more_in.saturating_sub(nanos))
    }

    /// With another wait for more.
    pub(crate) fn with_more_in(self, other: impl Fn(u64) -> u64) -> Self {
        Self::new(self.remaining, self.more_in_nanos().map(other))
    }

    /// With permits that were taken before.
    #[cfg(feature = "store")]
    pub(crate) fn with_more(self, permits: u32) -> Self {
        Self { remaining: self.remaining.saturating_add(permits), ..self }
    }

    pub(crate) fn more_in_nanos(&self) -> Option<u64> {
        (self.more_in_nanos != NEVER).then_some(self.more_in_nanos)
    }
}
