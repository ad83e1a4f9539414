use std::time::Duration;

/// Where a key stands once a request of it was charged: the grant of a [`RateLimit`](crate::RateLimit).
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
/// let Decision::Now(Ok(standing)) = limit.decide(&head) else { panic!() };
/// assert_eq!(standing.remaining(), 99);
/// assert!(standing.more_in() > Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub(crate) remaining: u32,
    pub(crate) more_in_nanos: u64,
}

impl Standing {
    /// How many more requests would pass now: `r` of the `RateLimit` field.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// How long until one more request than that would pass: `t` of the `RateLimit` field, which rounds it up to
    /// whole seconds. In a sliding window this is not the end of anything: quota comes back bit by bit.
    pub fn more_in(&self) -> Duration {
        Duration::from_nanos(self.more_in_nanos)
    }
}
