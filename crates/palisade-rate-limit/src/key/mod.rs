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

/// Finds the key of a request. Requests with the same key share one quota.
///
/// [`ByAddress`] and [`ByPrincipal`] are the usual keys. [`ByHeader`], [`ByMethod`] and [`ByPath`] refine them in tuples, and
/// [`by`] creates a key from a closure. Your own key is a type with one method, which borrows from the request. The limit
/// stores only its hash. Do not use a header that has not been verified: a client that chooses its own key has no limit.
///
/// For text of several parts return a tuple of byte slices instead of a string: slices are hashed with their length, so that
/// `("a:b", "c")` and `("a", "b:c")` are different keys.
///
/// ```
/// use std::time::Duration;
/// use http::request;
/// use palisade_core::ApiError;
/// use palisade_rate_limit::{Key, Quota, RateLimit};
///
/// /// Inserted into the extensions by the application's own middleware.
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
    /// The key, borrowed from the request.
    type Of<'r>: Hash;

    /// Returns the key of a request.
    ///
    /// # Errors
    ///
    /// An error rejects the request. A status of 5xx means that a layer is missing or in the wrong place; the limit logs its
    /// source, which should contain the remedy, once.
    fn key<'r>(&self, request: &'r Parts) -> Result<Self::Of<'r>, ApiError>;
}

/// Counts by the return value of a closure. See [`by`].
#[derive(Clone, Copy)]
pub struct By<F>(F);

/// Counts by the return value of `find`. If it returns `None`, the request is rejected with 500;
/// [`missing_key`](crate::RateLimitBuilder::missing_key) changes this. Implement [`Key`] to borrow from the request instead.
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

const NOTHING_FOUND: &str = "the closure of a limit's key returned None. Put the limit inside the layer that sets the \
     key, or allow requests without a key: missing_key(MissingKey::Skip) or MissingKey::Share";

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

/// Combines two keys.
impl<A: Key, B: Key> Key for (A, B) {
    type Of<'r> = (A::Of<'r>, B::Of<'r>);

    fn key<'r>(&self, request: &'r Parts) -> Result<Self::Of<'r>, ApiError> {
        Ok((self.0.key(request)?, self.1.key(request)?))
    }
}

/// Combines three keys.
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
    fn missing_key_is_500_and_the_log_names_the_remedy() {
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
