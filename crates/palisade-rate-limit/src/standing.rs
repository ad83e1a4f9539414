use std::{fmt, time::Duration};

use crate::algorithm::window::counter::WindowStanding;

/// The state of one quota of a key: how much is left, and when there is more.
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
#[derive(Clone, Copy)]
pub struct Standing(State);

#[derive(Clone, Copy)]
enum State {
    Known {
        remaining: u32,
        /// [`NEVER`] if there is never more.
        more_in_nanos: u64,
    },
    /// Computed on demand, because it takes longer than the decision, and not every response needs it.
    Window(WindowStanding),
}

const NEVER: u64 = u64::MAX;

impl Standing {
    pub(crate) const fn new(remaining: u32, more_in_nanos: Option<u64>) -> Self {
        let more_in_nanos = match more_in_nanos {
            Some(nanos) => nanos,
            None => NEVER,
        };
        Self(State::Known { remaining, more_in_nanos })
    }

    #[inline]
    pub(crate) fn from_window(window: WindowStanding) -> Self {
        Self(State::Window(window))
    }

    /// Returns how many requests would be admitted now: `r` of the `RateLimit` field.
    pub fn remaining(&self) -> u32 {
        match self.0 {
            State::Known { remaining, .. } => remaining,
            State::Window(window) => window.remaining(),
        }
    }

    /// Returns the time until one more request would be admitted: `t` of the `RateLimit` field, which rounds it up to whole
    /// seconds. In a sliding window it is shorter than the rest of the window, because quota becomes available gradually.
    /// `None` if there is never more than now.
    pub fn more_in(&self) -> Option<Duration> {
        self.more_in_nanos().map(Duration::from_nanos)
    }

    /// Returns [`remaining`](Self::remaining), and the nanoseconds until there is more. Takes fewer divisions than both alone.
    #[inline]
    pub(crate) fn report(&self) -> (u32, Option<u64>) {
        match &self.0 {
            State::Known { remaining, more_in_nanos } => {
                (*remaining, (*more_in_nanos != NEVER).then_some(*more_in_nanos))
            }
            State::Window(window) => window.report(),
        }
    }

    /// Returns true if fewer than `count` requests would be admitted now. Takes no division.
    #[inline]
    pub(crate) fn has_less_than(&self, count: u32) -> bool {
        match &self.0 {
            State::Known { remaining, .. } => *remaining < count,
            State::Window(window) => window.has_less_than(count),
        }
    }

    /// Returns the standing this many nanoseconds later.
    #[cfg(feature = "store")]
    pub(crate) fn after(self, nanos: u64) -> Self {
        self.with_more_in(|more_in| more_in.saturating_sub(nanos))
    }

    /// Returns the standing with another wait.
    pub(crate) fn with_more_in(self, other: impl Fn(u64) -> u64) -> Self {
        let (remaining, more_in) = self.report();
        Self::new(remaining, more_in.map(other))
    }

    /// Returns the standing with leased permits added.
    #[cfg(feature = "store")]
    pub(crate) fn with_more(self, permits: u32) -> Self {
        let (remaining, more_in) = self.report();
        Self::new(remaining.saturating_add(permits), more_in)
    }

    pub(crate) fn more_in_nanos(&self) -> Option<u64> {
        self.report().1
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.report() == other.report()
    }
}

impl Eq for Standing {}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("remaining", &self.remaining())
            .field("more_in", &self.more_in())
            .finish()
    }
}
