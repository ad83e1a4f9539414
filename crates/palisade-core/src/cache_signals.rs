//! What the layers inside of a cache report, because a cache that answers in their place has to know.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use http::Extensions;

/// In the extensions of a request: whether a policy has authorized it. A layer outside adds it, and reads it when the response
/// is there, because the extensions of a request are not returned with the response.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct DecisionFlag(Arc<AtomicU8>);

/// A policy that allows every caller has decided.
const OPEN: u8 = 1;
/// A rule has decided, which may reject the next request.
const RULE: u8 = 2;

impl DecisionFlag {
    /// Returns the flag of an outer layer, or inserts a new one.
    pub fn for_request(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_with(Self::default).clone()
    }

    /// Records that the route is open on purpose, or that an authentication has admitted the request.
    pub fn record_open(&self) {
        self.0.fetch_or(OPEN, Ordering::AcqRel);
    }

    /// Records that a rule has allowed the request.
    pub fn record_rule(&self) {
        self.0.fetch_or(RULE, Ordering::AcqRel);
    }

    /// Returns true if any policy has decided.
    pub fn is_decided(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Returns true if only policies that allow every caller have decided: a stored response may be served without asking them
    /// again.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == OPEN
    }
}

/// In the extensions of a request: whether the handler has used a value that was made for this request alone, such as the nonce
/// of a content security policy. The response must not be stored then.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct OneTimeUse(Arc<AtomicBool>);

impl OneTimeUse {
    /// Records that the value was read.
    pub fn record(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns true if the value was read.
    pub fn is_recorded(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_beside_an_open_policy_is_not_open() {
        let flag = DecisionFlag::default();
        assert!(!flag.is_decided() && !flag.is_open());
        flag.record_open();
        assert!(flag.is_decided() && flag.is_open());
        flag.record_rule();
        assert!(flag.is_decided() && !flag.is_open());
    }
}
