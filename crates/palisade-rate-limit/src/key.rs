use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use http::{HeaderName, HeaderValue, header::GetAll, request};
use palisade_core::{ApiError, ClientIp, ConfigError, Principal};

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
    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError>;
}

/// Counts by the address of the client: [`ClientIp`], an IPv6 address by its /64.
///
/// One subscriber usually gets a whole /64 and could use a new address for every request; some get a /56 or a /48, for
/// which there is [`ByAddress::ipv6_prefix`]. An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`) counts as the IPv4
/// address.
///
/// Behind a proxy the address is the proxy's, until [`TrustedProxies`](palisade_core::TrustedProxies) says whom to believe.
///
/// ```
/// use palisade_core::PeerAddr;
/// use palisade_rate_limit::{ByAddress, Key};
///
/// let key = |peer: &str| {
///     let (mut head, ()) = http::Request::new(()).into_parts();
///     head.extensions.insert(PeerAddr(peer.parse().unwrap()));
///     ByAddress::default().key(&head).unwrap()
/// };
/// assert_eq!(key("[2001:db8::1]:4000"), key("[2001:db8::2]:4001"));
/// assert_ne!(key("192.0.2.1:4000"), key("192.0.2.2:4000"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAddress {
    ipv6_prefix: u8,
}

impl Default for ByAddress {
    fn default() -> Self {
        Self { ipv6_prefix: 64 }
    }
}

impl ByAddress {
    /// Counts an IPv6 address by this many of its first bits.
    ///
    /// # Errors
    ///
    /// If there are fewer than 32, which would put a whole provider into one quota, or more than 64, which would give
    /// one subscriber as many quotas as it has addresses.
    ///
    /// ```
    /// # use palisade_rate_limit::ByAddress;
    /// assert!(ByAddress::ipv6_prefix(56).is_ok());
    /// assert!(ByAddress::ipv6_prefix(128).is_err());
    /// ```
    pub fn ipv6_prefix(bits: u8) -> Result<Self, ConfigError> {
        if (32..=64).contains(&bits) {
            Ok(Self { ipv6_prefix: bits })
        } else {
            Err(ConfigError::new("ipv6_prefix", bits, "choose 32 to 64 bits, such as 64 or 56"))
        }
    }
}

impl Key for ByAddress {
    /// The network as a number, an IPv4 address in its IPv6-mapped form: an IPv6 network has zeros where that has not.
    type Of<'r> = u128;

    fn key(&self, request: &request::Parts) -> Result<u128, ApiError> {
        let client = ClientIp::required(request)?;
        Ok(match client.network_of(self.ipv6_prefix) {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(network) => network.to_bits(),
        })
    }
}

/// Counts by who is calling: the issuer and the subject of the [`Principal`] that authentication left on the request.
///
/// ```
/// use palisade_core::Principal;
/// use palisade_rate_limit::{ByPrincipal, Key};
///
/// let (mut head, ()) = http::Request::new(()).into_parts();
/// head.extensions.insert(Principal::new("ada").issued_by("https://issuer.example"));
/// assert_eq!(ByPrincipal.key(&head).unwrap(), (&b"https://issuer.example"[..], &b"ada"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPrincipal;

const NO_PRINCIPAL: &str = "no Principal on the request, so nothing to count by. Put the limit inside authentication: \
     the layer that authenticates must be the outer one";

impl Key for ByPrincipal {
    /// Issuer and subject. Byte slices are hashed with their length, which strings are not.
    type Of<'r> = (&'r [u8], &'r [u8]);

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        let principal: &Principal = request
            .extensions
            .get()
            .ok_or_else(|| ApiError::internal().with_source(NO_PRINCIPAL))?;
        Ok((principal.issuer().as_bytes(), principal.subject().as_bytes()))
    }
}

/// Counts by the value of a header field, all of its lines together.
///
/// Only for a field that somebody has verified: a gateway that sets it, an API key that a policy further out has checked.
/// A client that chooses the value chooses its quota. A request without the field is refused with 400, or see
/// [`missing_key`](crate::RateLimitBuilder::missing_key).
///
/// ```
/// use http::HeaderName;
/// use palisade_rate_limit::{ByHeader, Key};
///
/// let (mut head, ()) = http::Request::get("/").header("x-tenant", "acme").body(()).unwrap().into_parts();
/// let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
/// assert_eq!(tenant.key(&head).unwrap().to_string(), "acme");
/// head.headers.remove("x-tenant");
/// assert_eq!(tenant.key(&head).unwrap_err().status(), 400);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHeader {
    name: HeaderName,
}

impl ByHeader {
    /// Counts by this field.
    pub const fn new(name: HeaderName) -> Self {
        Self { name }
    }
}

impl Key for ByHeader {
    type Of<'r> = FieldLines<'r>;

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        let lines = request.headers.get_all(&self.name);
        if lines.iter().next().is_none() {
            let message = format!("the header field {} is missing", self.name);
            return Err(ApiError::bad_request().with_message(message));
        }
        Ok(FieldLines(lines))
    }
}

/// The lines of a header field, as a key.
pub struct FieldLines<'r>(GetAll<'r, HeaderValue>);

impl Hash for FieldLines<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // How many, and each with its length: nothing that follows can be taken for a line.
        self.0.iter().count().hash(hasher);
        for line in &self.0 {
            line.as_bytes().hash(hasher);
        }
    }
}

impl fmt::Display for FieldLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", line.as_bytes().escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldLines<'_> {
    /// A key may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldLines(..)")
    }
}

/// Counts by the method: with another key, as in `(ByAddress::default(), ByMethod)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByMethod;

impl Key for ByMethod {
    type Of<'r> = &'r [u8];

    fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
        Ok(request.method.as_str().as_bytes())
    }
}

/// Counts by where the request goes: the template of the route where the framework knows it (axum, with the feature
/// `axum`), else the path.
///
/// A path that has parts chosen by clients is as many paths as they like. By itself such a key limits nobody; in front
/// of a router it belongs on the route, with [`route_layer`](https://docs.rs/axum/0.8/axum/struct.Router.html), where
/// the template is known.
///
/// ```
/// use palisade_rate_limit::{ByPath, Key};
///
/// let (head, ()) = http::Request::get("/orders?page=2").body(()).unwrap().into_parts();
/// assert_eq!(ByPath.key(&head).unwrap(), b"/orders");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByPath;

impl Key for ByPath {
    type Of<'r> = &'r [u8];

    fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
        #[cfg(feature = "axum")]
        if let Some(route) = request.extensions.get::<axum::extract::MatchedPath>() {
            return Ok(route.as_str().as_bytes());
        }
        Ok(request.uri.path().as_bytes())
    }
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
    F: Fn(&request::Parts) -> Option<T> + Send + Sync + 'static,
    T: Hash + 'static,
{
    By(find)
}

const NOTHING_FOUND: &str = "the closure of a limit's key found nothing to count by. Put the limit inside the layer that \
     leaves it there, or say what to do without it: missing_key(MissingKey::Skip) or MissingKey::Share";

impl<F, T> Key for By<F>
where
    F: Fn(&request::Parts) -> Option<T> + Send + Sync + 'static,
    T: Hash + 'static,
{
    type Of<'r> = T;

    fn key(&self, request: &request::Parts) -> Result<T, ApiError> {
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

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        Ok((self.0.key(request)?, self.1.key(request)?))
    }
}

/// Three keys together.
impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    type Of<'r> = (A::Of<'r>, B::Of<'r>, C::Of<'r>);

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        Ok((self.0.key(request)?, self.1.key(request)?, self.2.key(request)?))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::hash::{BuildHasher, RandomState};

    use palisade_core::PeerAddr;

    use super::*;

    fn from_peer(peer: &str) -> u128 {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.extensions.insert(PeerAddr(peer.parse().unwrap()));
        ByAddress::default().key(&head).unwrap()
    }

    #[test]
    fn two_ipv4_clients_inside_ipv6_addresses_have_two_keys() {
        // express-rate-limit put all of them into one bucket (CVE-2026-30827).
        assert_ne!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("[::ffff:192.0.2.2]:1"));
        assert_eq!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("192.0.2.1:2"));
    }

    #[test]
    fn one_64_bit_network_has_one_key_and_no_ipv4_client_shares_it() {
        assert_eq!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:1:ffff::2]:1"));
        assert_ne!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:2::1]:1"));
        assert_ne!(from_peer("[::1]:1"), from_peer("0.0.0.1:1"));
    }

    #[test]
    fn an_issuer_and_a_subject_do_not_run_into_each_other() {
        let random = RandomState::new();
        let hash = |issuer: &str, subject: &str| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.extensions.insert(Principal::new(subject).issued_by(issuer));
            random.hash_one(ByPrincipal.key(&head).unwrap())
        };
        assert_ne!(hash("a:b", "c"), hash("a", "b:c"));
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(hash("", "ab"), hash("ab", ""));
        assert_eq!(hash("ab", "c"), hash("ab", "c"));
    }

    #[test]
    fn a_tuple_of_keys_is_not_taken_for_another_one() {
        let random = RandomState::new();
        let hash = |method: &str, path: &str, a: &str, b: &str| {
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("a", a).header("b", b);
            let (head, ()) = request.body(()).unwrap().into_parts();
            let [a, b] = ["a", "b"].map(|name| ByHeader::new(HeaderName::from_static(name)));
            random.hash_one((ByMethod, ByPath, (a, b)).key(&head).unwrap())
        };
        assert_eq!(hash("GET", "/x?1", "p", "q"), hash("GET", "/x?2", "p", "q"));
        assert_ne!(hash("GET", "/x", "p", "q"), hash("PUT", "/x", "p", "q"));
        assert_ne!(hash("GET", "/x", "p", "q"), hash("GET", "/y", "p", "q"));
        assert_ne!(hash("GET", "/x", "pq", ""), hash("GET", "/x", "p", "q"));
        assert_ne!(hash("GET", "/x", "", "pq"), hash("GET", "/x", "p", "q"));
    }

    #[test]
    fn lines_of_a_field_do_not_run_into_each_other() {
        let random = RandomState::new();
        let key = |lines: &[&str]| {
            let request = lines
                .iter()
                .fold(http::Request::get("/"), |request, line| request.header("x-tenant", *line));
            let (head, ()) = request.body(()).unwrap().into_parts();
            let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
            random.hash_one(tenant.key(&head).unwrap())
        };
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a"]), key(&["a", "a"]));
    }

    #[test]
    fn an_ipv6_client_is_as_wide_as_it_is_said_to_be() {
        let key = |bits, peer: &str| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.extensions.insert(PeerAddr(peer.parse().unwrap()));
            ByAddress::ipv6_prefix(bits).unwrap().key(&head).unwrap()
        };
        assert_eq!(key(48, "[2001:db8:1:1::1]:1"), key(48, "[2001:db8:1:2::1]:1"));
        assert_ne!(key(64, "[2001:db8:1:1::1]:1"), key(64, "[2001:db8:1:2::1]:1"));
        assert_ne!(key(32, "[::ffff:192.0.2.1]:1"), key(32, "[::ffff:192.0.2.2]:1"));
        for bits in [0, 31, 65, 128, 255] {
            assert!(ByAddress::ipv6_prefix(bits).is_err(), "{bits}");
        }
    }

    #[test]
    fn a_request_without_a_key_is_a_failure_of_ours_that_names_the_fix() {
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
