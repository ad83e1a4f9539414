mod translation;

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use http::{HeaderName, HeaderValue, header::GetAll, request};
use palisade_core::{ApiError, ClientIp, ConfigError, Principal};

use self::translation::Translation;

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
/// which there is [`ByAddress::ipv6_prefix`].
///
/// An IPv4 client counts by its IPv4 address, however it arrives: mapped into IPv6 (`::ffff:192.0.2.1`), translated with
/// the well-known prefix `64:ff9b::/96` (RFC 6052) or within `64:ff9b:1::/48` (RFC 8215), or with a prefix of your own
/// ([`translated`](Self::translated)). Otherwise all IPv4 clients behind a translator would share one /64.
///
/// Behind a proxy the address is the proxy's, until [`TrustedProxies`](palisade_core::TrustedProxies) names the proxies
/// that are trusted.
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
/// assert_eq!(key("192.0.2.1:4000"), key("[64:ff9b::192.0.2.1]:4000"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAddress {
    ipv6_prefix: u8,
    translated: [Option<Translation>; MOST_TRANSLATIONS],
}

impl Default for ByAddress {
    fn default() -> Self {
        Self { ipv6_prefix: 64, translated: [None; MOST_TRANSLATIONS] }
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
            Ok(Self { ipv6_prefix: bits, ..Self::default() })
        } else {
            Err(ConfigError::new("ipv6_prefix", bits, "choose 32 to 64 bits, such as 64 or 56"))
        }
    }

    /// Counts clients within this prefix by the IPv4 address that is embedded in theirs: the prefix of a NAT64, SIIT or
    /// SIIT-DC translator in front of the service (RFC 6052, section 2.2). At most four prefixes.
    ///
    /// # Errors
    ///
    /// If it is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, or there are more than four.
    ///
    /// ```
    /// # use palisade_rate_limit::ByAddress;
    /// let key = ByAddress::default().translated("2001:db8:64::/96")?;
    /// assert_eq!(key.key_of("2001:db8:64::c000:201".parse().unwrap()), key.key_of("192.0.2.1".parse().unwrap()));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn translated(mut self, prefix: &str) -> Result<Self, ConfigError> {
        let translation = Translation::parse(prefix)?;
        let Some(place) = self.translated.iter_mut().find(|place| place.is_none()) else {
            return Err(ConfigError::new("translated", prefix, "configure at most four prefixes"));
        };
        *place = Some(translation);
        Ok(self)
    }

    /// Returns the key of an address: for a limit that is asked without a request, as by
    /// [`check`](crate::RateLimit::check).
    pub fn key_of(&self, address: IpAddr) -> u128 {
        let client = ClientIp::new(address);
        let configured = self.translated.iter().flatten();
        let inside = match client.ip() {
            IpAddr::V6(address) => {
                let found = configured.map(|prefix| prefix.inside(address)).find(Option::is_some);
                found.unwrap_or_else(|| translation::well_known(address))
            }
            IpAddr::V4(_) => None,
        };
        match inside.map_or_else(|| client.network_of(self.ipv6_prefix), IpAddr::V4) {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(network) => network.to_bits(),
        }
    }
}

/// How many prefixes of translators can be configured.
const MOST_TRANSLATIONS: usize = 4;

impl Key for ByAddress {
    /// The network as a number, an IPv4 address in its IPv6-mapped form: an IPv6 network has zeros where that has not.
    type Of<'r> = u128;

    fn key(&self, request: &request::Parts) -> Result<u128, ApiError> {
        Ok(self.key_of(ClientIp::required(request)?.ip()))
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

impl ByPrincipal {
    /// Returns the key of a principal: for a limit that is asked without a request, as by
    /// [`check`](crate::RateLimit::check).
    ///
    /// ```
    /// # use palisade_core::Principal;
    /// # use palisade_rate_limit::ByPrincipal;
    /// assert_eq!(ByPrincipal::key_of(&Principal::new("ada")), (&b""[..], &b"ada"[..]));
    /// ```
    pub fn key_of(principal: &Principal) -> (&[u8], &[u8]) {
        (principal.issuer().as_bytes(), principal.subject().as_bytes())
    }
}

impl Key for ByPrincipal {
    /// Issuer and subject. Byte slices are hashed with their length, which strings are not.
    type Of<'r> = (&'r [u8], &'r [u8]);

    fn key<'r>(&self, request: &'r request::Parts) -> Result<Self::Of<'r>, ApiError> {
        let principal: &Principal = request
            .extensions
            .get()
            .ok_or_else(|| ApiError::internal().with_source(NO_PRINCIPAL))?;
        Ok(Self::key_of(principal))
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
        Ok(FieldLines(Lines::All(lines)))
    }
}

/// The lines of a header field, as a key.
pub struct FieldLines<'r>(Lines<'r>);

enum Lines<'r> {
    All(GetAll<'r, HeaderValue>),
    One(&'r [u8]),
}

impl<'r> FieldLines<'r> {
    /// Returns the key of a field with one line: for a limit that is asked without a request, as by
    /// [`check`](crate::RateLimit::check).
    ///
    /// ```
    /// # use palisade_rate_limit::FieldLines;
    /// assert_eq!(FieldLines::from_value("acme").to_string(), "acme");
    /// ```
    pub const fn from_value(value: &'r str) -> Self {
        Self(Lines::One(value.as_bytes()))
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (all, one) = match &self.0 {
            Lines::All(lines) => (Some(lines), None),
            Lines::One(line) => (None, Some(*line)),
        };
        all.into_iter().flatten().map(HeaderValue::as_bytes).chain(one)
    }
}

impl Hash for FieldLines<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // How many, and each with its length: nothing that follows can be taken for a line.
        self.iter().count().hash(hasher);
        for line in self.iter() {
            line.hash(hasher);
        }
    }
}

impl fmt::Display for FieldLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", line.escape_ascii())?;
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
    fn ipv4_clients_behind_a_translator_have_keys_of_their_own() {
        let (one, other) = (from_peer("192.0.2.1:1"), from_peer("192.0.2.2:1"));
        for prefix in ["64:ff9b::", "64:ff9b:1::", "64:ff9b:1:7::"] {
            assert_eq!(from_peer(&format!("[{prefix}192.0.2.1]:1")), one, "{prefix}");
            assert_eq!(from_peer(&format!("[{prefix}192.0.2.2]:1")), other, "{prefix}");
        }
        let key = ByAddress::default().translated("2001:db8:9::/48").unwrap();
        let key_of = |address: &str| key.key_of(address.parse().unwrap());
        assert_eq!(key_of("2001:db8:9:c000:2:100::"), one);
        assert_eq!(key_of("2001:db8:8:c000:2:100::"), key_of("2001:db8:8:c000::"));
        let mut key = key;
        for _ in 0..3 {
            key = key.translated("2001:db8:7::/96").unwrap();
        }
        assert!(key.translated("2001:db8:7::/96").unwrap_err().to_string().contains("four"));
    }

    #[test]
    fn a_value_has_the_key_of_a_request_with_it() {
        let random = RandomState::new();
        let request = http::Request::get("/").header("x-tenant", "acme").body(()).unwrap();
        let (head, ()) = request.into_parts();
        let key = ByHeader::new(HeaderName::from_static("x-tenant")).key(&head).unwrap();
        assert_eq!(random.hash_one(FieldLines::from_value("acme")), random.hash_one(key));
        assert_ne!(
            random.hash_one(FieldLines::from_value("acm")),
            random.hash_one(FieldLines::from_value("acme"))
        );
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
