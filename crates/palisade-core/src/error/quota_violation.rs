use std::borrow::Cow;

/// A quota that a request went over.
///
/// ```
/// use palisade_core::{ApiError, QuotaViolation};
///
/// let error = ApiError::rate_limited().with_quota_violation(QuotaViolation::new("daily", 10_000));
/// assert_eq!(error.quota_violations()[0].name, "daily");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaViolation {
    /// The name of the quota in `RateLimit-Policy`.
    pub name: Cow<'static, str>,
    /// The limit of the quota.
    pub limit: u64,
}

impl QuotaViolation {
    /// A quota of this name, which allows this much.
    pub fn new(name: impl Into<Cow<'static, str>>, limit: u64) -> Self {
        Self { name: name.into(), limit }
    }
}
