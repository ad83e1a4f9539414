use std::{hash::Hash, net::IpAddr};

use http::request;
use palisade_core::{ApiError, ClientIp, Principal};

/// What a limit counts by: the requests with the same key share one quota.
///
/// [`ByAddress`] and [`ByPrincipal`] are the usual ones. A key of your own is a type and one method, which borrows from
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
/// One subscriber usually gets a whole /64 and could use a new address for every request. An IPv4 address inside an
/// IPv6 one (`::ffff:192.0.2.1`) counts as the IPv4 address.
///
/// ```
/// use palisade_core::PeerAddr;
/// use palisade_rate_limit::{ByAddress, Key};
///
/// let key = |peer: &str| {
///     let (mut head, ()) = http::Request::new(()).into_parts();
///     head.extensions.insert(PeerAddr(peer.parse().unwrap()));
///     ByAddress.key(&head).unwrap()
/// };
/// assert_eq!(key("[2001:db8::1]:4000"), key("[2001:db8::2]:4001"));
/// assert_ne!(key("192.0.2.1:4000"), key("192.0.2.2:4000"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByAddress;

const NO_ADDRESS: &str = "no client address on the request, so nothing to count by. Let the server leave it there. \
     axum: axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()). \
     hyper: PolicyLayer::new(PeerAddr(peer)).layer(service), for each connection. \
     tonic: serve with its own `Server`, which leaves TcpConnectInfo. \
     axum and tonic need the feature `axum` or `tonic` of palisade";

impl Key for ByAddress {
    /// The network as a number, an IPv4 address in its IPv6-mapped form: an IPv6 network has zeros where that has not.
    type Of<'r> = u128;

    fn key(&self, request: &request::Parts) -> Result<u128, ApiError> {
        let client = ClientIp::of(&request.extensions)
            .ok_or_else(|| ApiError::internal().with_source(NO_ADDRESS))?;
        Ok(match client.network() {
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

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::hash::{BuildHasher, RandomState};

    use palisade_core::PeerAddr;

    use super::*;

    fn from_peer(peer: &str) -> u128 {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.extensions.insert(PeerAddr(peer.parse().unwrap()));
        ByAddress.key(&head).unwrap()
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
    fn a_request_without_a_key_is_a_failure_of_ours_that_names_the_fix() {
        let (head, ()) = http::Request::new(()).into_parts();
        for (error, fix) in [
            (ByAddress.key(&head).unwrap_err(), "into_make_service_with_connect_info"),
            (ByPrincipal.key(&head).unwrap_err(), "inside authentication"),
        ] {
            assert_eq!(error.status(), 500);
            assert!(error.source().unwrap().to_string().contains(fix));
        }
    }
}
