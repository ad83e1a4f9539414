mod address;
pub(crate) mod hash;
mod principal;
mod request;
mod translation;

use std::{fmt, hash::Hash};

use http::request::Parts;
use palisade_core::ApiError;

pub use self::{
    address::ByAddress,
    principal::ByPrincipal,
    request::{ByHeader, ByMethod, ByPath, FieldLines},
};

/// What a limit counts by: the requests with the same key share one quota.
///
/// [`ByAddress`] and [`ByPrincipal`] are the usual ones, [`ByHeader`], [`ByMethod`] and [`ByPath`] go with them in tuples,
/// and [`by`] makes one of a closure. A key of your own is a type and one method, which borrows from
/// the request what tells clients apart; the limit hashes it and keeps the hash only. Never take it from a header that
/// nobody has verified: a client that chooses its own key has no limit.
///
/// Text that is put together from parts wants a tuple of byte slices, not a string: slices are hashed with their length,
/// so that `("a:b", "c")` and `("a", "b:c")` are two keys.
///
/// ```
/// use std::time::Duration;
/// use http::request;
/// use palisade_core::ApiError;
/// use palisade_rate_limit::{Key, Quota, RateLimit};
///
/// /// Left in the extensions by the application's own middleware.
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// struct ByTenant;
///
/// impl Key for ByTenant {
///     type Of<'r> = &'r [u8];
///
///     fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
///         let tenant: Option<&Tenant> = request.extensions.get();
///         tenant.map(|tenant| tenant.0.as_bytes()).ok_or_else(|| {
///             ApiError::internal().with_source("no Tenant: put the limit inside the tenant layer")
///         })
///     }
/// }
///
/// let limit = RateLimit::per_key(ByTenant, Quota::per(1000, Duration::from_secs(60))).build().unwrap();
/// ```
pub trait Key: Send + Sync + 'static {
    /// What tells one client from another, borrowed from the request.
    type Of<'r>: Hash;

    /// Finds the key. An error refuses the request; a status of 5xx says that the stack is put together wrongly, and its
    /// source what to do about it. The limit logs that once.
    fn key<'r>(&self, request: &'r Parts) -> Result<Self::Of<'r>, ApiError>;
}

/// Counts by what a closure finds. `None` is a missing key. See [`by`].
#[derive(Clone, Copy)]
pub struct By<F>(F);

/// Counts by what `find` makes of a request; where it finds nothing, the request is refused with 500, or see
/// [`missing_key`](crate::RateLimitBuilder::missing_key). A [`Key`] of your own can borrow from the request instead.
///
/// ```
/// use std::time::Duration;
/// use http::request;
/// use palisade_rate_limit::{Quota, RateLimit, by};
///
/// #[derive(Clone, Copy)]
/// struct TenantId(u64);
///
/// let tenant = by(|head: &request::Parts| head.extensions.get().map(|TenantId(id)| *id));
/// let limit = RateLimit::per_key(tenant, Quota::per(1000, Duration::from_secs(60))).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub fn by<F, T>(find: F) -> By<F>
where
    F: Fn(&Parts) -> Option<T> + Send + Sync + 'static,
    T: Hash + 'static,
{
    By(find)
}

const NOTHING_FOUND: &str = "the closure of a limit's key found nothing to count by. Put the limit inside the layer that \
     leaves it there, or say what to do without it: missing_key(MissingKey::Skip) or MissingKey::Share";

impl<F, T> Key for By<F>
where
    F: Fn(&Parts) -> Option<T> + Send + Sync + 'static,
    T: Hash + 'static,
{
    type Of<'r> = T;

    fn key(&self, request: &Parts) -> Result<T, ApiError> {
        (self.0)(request).ok_or_else(|| ApiError::internal().with_source(NOTHING_FOUND))
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("by(..)")
    }
}

/// Two keys together. Each is hashed with its length, so that no pair is taken for another.
impl<A: Key, B: Key> Key for (A, B) {
    type Of<'r> = (A::Of<'r>, B::Of<'r>);

    fn key<'r>(&self, request: &'r Parts) -> Result<Self::Of<'r>, ApiError> {
        Ok((self.0.key(request)?, self.1.key(request)?))
    }
}

/// Three keys together.
impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    type Of<'r> = (A::Of<'r>, B::Of<'r>, C::Of<'r>);

    fn key<'r>(&self, request: &'r Parts) -> Result<Self::Of<'r>, ApiError> {
        Ok((self.0.key(request)?, self.1.key(request)?, self.2.key(request)?))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn request_without_a_key_is_500_and_names_the_fix() {
        let (head, ()) = http::Request::new(()).into_parts();
        for (error, fix) in [
            (ByAddress::default().key(&head).unwrap_err(), "into_make_service_with_connect_info"),
            (ByPrincipal.key(&head).unwrap_err(), "inside authentication"),
        ] {
            assert_eq!(error.status(), 500);
            assert!(error.source().unwrap().to_string().contains(fix));
        }
    }
}
