use std::num::NonZeroU64;

use super::outcome::Outcome;

/// An algorithm, which stores the history of a key in a few words.
///
/// The words of a new key are zeros. Times are nanoseconds on one clock. The caller must not pass a time before that of an
/// earlier call with the same words.
pub(crate) trait Meter {
    /// Returns the number of words of a key.
    fn words(&self) -> usize;

    /// Charges a request if it fits. A cost of 0 charges nothing. A rejected request does not change the meaning of the words.
    fn charge(&self, words: &mut [u64], now: u64, cost: u32) -> Outcome;

    /// Returns a charge of the time `charged_at`, as far as it still counts.
    fn refund(&self, words: &mut [u64], now: u64, charged_at: u64, amount: u32);

    /// Returns how much would be lost by evicting the key. 0 if nothing.
    fn weight(&self, words: &[u64], now: u64) -> u128;

    /// Returns how many requests of the limit the key has used at this time, rounded up.
    fn used(&self, words: &[u64], now: u64) -> u32;

    /// Adds `amount` requests at the time `at`, also if they exceed the limit: the history of an evicted key.
    fn add(&self, words: &mut [u64], at: u64, amount: u32);

    /// Returns the maximum that a key can use at once.
    fn most(&self) -> u32;

    /// Returns the length of an epoch. A charge of one epoch no longer counts after the next.
    fn epoch(&self) -> NonZeroU64;
}
