use std::{collections::HashSet, fmt};

use palisade_core::ConfigError;

use crate::Quota;

/// The maximum number of quotas of one limit.
pub(crate) const MOST_QUOTAS: usize = 4;

/// The quotas of a limit. A request is charged to all of them or to none.
///
/// Created from one quota, an array or a `Vec`. At most four, with different names.
///
/// ```
/// use std::time::Duration;
/// use palisade_rate_limit::{Quota, RateLimit};
///
/// let limit = RateLimit::per_address([
///     Quota::per(10, Duration::from_secs(1)).named("burst"),
///     Quota::per(1000, Duration::from_secs(3600)).named("hourly"),
/// ])
/// .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Quotas {
    // Inline, so that a closure that chooses quotas for each request does not allocate.
    list: [Option<Quota>; MOST_QUOTAS],
    given: usize,
}

impl Quotas {
    fn collect(quotas: impl IntoIterator<Item = Quota>) -> Self {
        let mut list = [const { None }; MOST_QUOTAS];
        let mut given = 0;
        for quota in quotas {
            if let Some(place) = list.get_mut(given) {
                *place = Some(quota);
            }
            given += 1;
        }
        Self { list, given }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Quota> + Clone {
        self.list.iter().flatten()
    }

    /// Gives the limit's name to quotas without a name.
    pub(crate) fn named_after(mut self, limit: &str) -> Self {
        for quota in self.list.iter_mut().flatten() {
            if !quota.has_name() {
                *quota = quota.clone().named(limit.to_owned());
            }
        }
        self
    }

    /// Checks the number of quotas and their names.
    ///
    /// # Errors
    ///
    /// If there are no quotas or more than four, or two have the same name.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.given == 0 || self.given > MOST_QUOTAS {
            return Err(ConfigError::new("quotas", self.given, "give a limit one to four quotas"));
        }
        let mut names = HashSet::new();
        for quota in self.iter() {
            if !names.insert(quota.name()) {
                let remedy = "give each quota of a limit a different name with named(\"…\")";
                return Err(ConfigError::new("quotas", quota.name(), remedy));
            }
        }
        Ok(())
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self::collect([quota])
    }
}

impl<const N: usize> From<[Quota; N]> for Quotas {
    fn from(quotas: [Quota; N]) -> Self {
        Self::collect(quotas)
    }
}

impl From<Vec<Quota>> for Quotas {
    fn from(quotas: Vec<Quota>) -> Self {
        Self::collect(quotas)
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
