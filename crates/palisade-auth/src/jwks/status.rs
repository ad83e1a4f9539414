use std::time::Duration;

/// The state of an issuer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksStatus {
    /// A number that changes whenever the keys do; 0 while there are no keys that may be used.
    pub generation: u64,
    /// The number of keys that can be used; 0 if the issuer has withdrawn all of them.
    pub keys: usize,
    /// The time since the issuer last confirmed the keys; `None` if it never has.
    pub age: Option<Duration>,
    /// The number of fetches that were started.
    pub fetches: u64,
    /// The number of fetches that failed.
    pub failures: u64,
}
