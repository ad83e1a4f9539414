use std::time::Duration;

use super::{directives::Directives, freshness::Terms};

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It is served.
    Fresh,
    /// It is served, and renewed in the background (RFC 5861, section 3).
    WhileRevalidating,
    /// It is validated first (section 4.3).
    Validate,
}

/// Decides how a stored response may be used (section 4), for a request with these directives.
pub(crate) fn decide(request: &Directives, stored: &Terms, now: Duration) -> Reuse {
    if stored.always_validate || request.no_cache {
        return Reuse::Validate;
    }
    // Section 5.2.1.1.
    let age = stored.age(now);
    if request.max_age.is_some_and(|most| age > Duration::from_secs(most)) {
        return Reuse::Validate;
    }
    match stored.staleness(now) {
        None => match request.min_fresh {
            // Section 5.2.1.3.
            Some(least) if stored.lifetime - age < Duration::from_secs(least) => Reuse::Validate,
            _ => Reuse::Fresh,
        },
        Some(_) if stored.never_stale => Reuse::Validate,
        Some(staleness) => {
            // Section 5.2.1.2.
            if request.max_stale.is_some_and(|most| staleness <= Duration::from_secs(most)) {
                Reuse::Fresh
            } else if staleness < stored.stale_while_revalidate {
                Reuse::WhileRevalidating
            } else {
                Reuse::Validate
            }
        }
    }
}
