use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    ops::RangeInclusive,
};

use http::{Extensions, request};

use crate::ApiError;

use super::{address::client_address, diagnostics, peer::Peer};

/// The address of the client. All policies that need an address use it.
///
/// It is the socket's peer, and headers are ignored, unless an outer [`TrustedProxies`](crate::TrustedProxies) has determined
/// the client and inserted a `ClientIp`. An IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
///
/// ```
/// use palisade_core::{ClientIp, PeerAddr};
///
/// let mut extensions = http::Extensions::new();
/// assert!(ClientIp::from_extensions(&extensions).is_none());
///
/// extensions.insert(PeerAddr("[::ffff:192.0.2.1]:4000".parse().unwrap()));
/// assert_eq!(ClientIp::from_extensions(&extensions).unwrap().to_string(), "192.0.2.1");
/// ```
///
/// # In handlers
///
/// On axum it is an extractor, with the feature `axum`. A request without an address gets 500, and the log names the remedy;
/// `Option<ClientIp>` accepts it.
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, routing::get};
/// use palisade_core::ClientIp;
///
/// async fn who(client: ClientIp) -> String {
///     client.to_string()
/// }
///
/// let app: Router = Router::new().route("/who", get(who));
/// ```
///
/// # How servers provide the peer
///
/// The server has to insert the peer's address into the request's extensions. On axum, with the feature `axum`:
///
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// # use std::net::SocketAddr;
/// # let app = axum::Router::<()>::new();
/// // for axum::serve(listener, …)
/// let app = app.into_make_service_with_connect_info::<SocketAddr>();
/// ```
///
/// On hyper, for each connection:
///
/// ```
/// # use palisade_core::{PeerAddr, PolicyLayer};
/// # use tower::Layer;
/// # let service = tower::service_fn(|_: http::Request<String>| async { Ok::<_, ()>(http::Response::new(String::new())) });
/// # let peer: std::net::SocketAddr = "192.0.2.1:4000".parse().unwrap();
/// let service = PolicyLayer::new(PeerAddr(peer)).layer(service);
/// ```
///
/// On tonic, with the feature `tonic`, its own server leaves it and the line is the layer's:
///
#[cfg_attr(feature = "tonic", doc = "```")]
#[cfg_attr(not(feature = "tonic"), doc = "```ignore")]
/// # use palisade_core::TrustedProxies;
/// # let proxies = TrustedProxies::loopback().build().unwrap();
/// let server = tonic::transport::Server::builder().layer(proxies.layer());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

const NO_ADDRESS: &str = "the request has no client address. Let the server leave it there. \
     axum: axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()). \
     hyper: PolicyLayer::new(PeerAddr(peer)).layer(service), for each connection. \
     tonic: serve with its own `Server`, which leaves TcpConnectInfo. \
     axum and tonic need the feature `axum` or `tonic` of palisade";

impl ClientIp {
    /// The lengths of an IPv6 network that may count as one client, for [`network_of`](Self::network_of). Shorter ones
    /// than /32 hold the subscribers of a whole provider.
    pub const IPV6_PREFIXES: RangeInclusive<u8> = 32..=128;

    /// The address, in canonical form.
    ///
    /// ```
    /// use palisade_core::ClientIp;
    ///
    /// let written = |address: &str| ClientIp::new(address.parse().unwrap());
    /// assert_eq!(written("2001:0db8:0:0::1"), written("2001:db8::1"));
    /// assert_eq!(written("::ffff:102:304"), written("1.2.3.4"));
    /// ```
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// Returns the client in a request's extensions: the one of [`TrustedProxies`](crate::TrustedProxies), else the socket's
    /// peer.
    ///
    /// `None` if the server has not provided the peer, or if the peer has no address: a Unix socket, `0.0.0.0` or `::`.
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied().or_else(|| Self::from_peer(extensions))
    }

    fn from_peer(extensions: &Extensions) -> Option<Self> {
        Peer::from_extensions(extensions).address().and_then(client_address).map(Self)
    }

    /// Like [`from_extensions`](Self::from_extensions), for policies that decide by the client's address: if the request was
    /// forwarded but the peer is taken for the client, a warning is logged once per process.
    ///
    /// ```
    /// use palisade_core::{ClientIp, PeerAddr};
    ///
    /// let (mut head, ()) = http::Request::get("/")
    ///     .header("x-forwarded-for", "203.0.113.7")
    ///     .extension(PeerAddr(([192, 0, 2, 1], 4000).into()))
    ///     .body(())
    ///     .unwrap()
    ///     .into_parts();
    /// // 192.0.2.1, and a warning that all clients behind it count as one
    /// assert_eq!(ClientIp::of_request(&head), ClientIp::from_extensions(&head.extensions));
    /// ```
    pub fn of_request(request: &request::Parts) -> Option<Self> {
        if let Some(client) = request.extensions.get() {
            return Some(*client);
        }
        diagnostics::forwarding_without_trust(&request.headers);
        Self::from_peer(&request.extensions)
    }

    /// Like [`of_request`](Self::of_request), for policies that cannot decide without an address.
    ///
    /// # Errors
    ///
    /// 500 if the server has not provided an address; the log contains the remedy for each server. 400 if a trusted proxy at a
    /// Unix socket sent a header without an address, such as a `Forwarded` that the client made malformed.
    ///
    /// ```
    /// use palisade_core::ClientIp;
    ///
    /// let (head, ()) = http::Request::new(()).into_parts();
    /// assert_eq!(ClientIp::required(&head).unwrap_err().status(), 500);
    /// ```
    pub fn required(request: &request::Parts) -> Result<Self, ApiError> {
        Self::of_request(request).ok_or_else(|| {
            if request.extensions.get::<UndeterminedClient>().is_some() {
                ApiError::bad_request()
                    .with_message("the address of the client cannot be determined")
                    .with_source("the header of the proxy at the Unix socket contains no address")
            } else {
                ApiError::internal().with_source(NO_ADDRESS)
            }
        })
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Returns the network of the client: the IPv4 address, or the /64 of an IPv6 address, which a subscriber usually has.
    #[must_use]
    pub fn network(self) -> IpAddr {
        self.network_of(64)
    }

    /// Returns the network of the client: the IPv4 address, or this many bits of an IPv6 address.
    ///
    /// Lengths outside [`IPV6_PREFIXES`](Self::IPV6_PREFIXES) are clamped; builders reject them.
    ///
    /// ```
    /// use palisade_core::ClientIp;
    ///
    /// let client = ClientIp::new("2001:db8:0:1ff::1".parse().unwrap());
    /// assert_eq!(client.network_of(56).to_string(), "2001:db8:0:100::");
    ///
    /// // The bits decide what is an IPv4 address, before any of them is masked.
    /// let client = ClientIp::new("::ffff:c000:201".parse().unwrap());
    /// assert_eq!(client.network_of(56).to_string(), "192.0.2.1");
    /// ```
    #[must_use]
    pub fn network_of(self, ipv6_prefix: u8) -> IpAddr {
        let (shortest, longest) = Self::IPV6_PREFIXES.into_inner();
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let host_bits = 128 - ipv6_prefix.clamp(shortest, longest);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << host_bits)))
            }
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIp({})", self.0)
    }
}

/// On a request whose client cannot be determined from the header that it came with.
#[derive(Clone, Copy, Debug)]
pub(super) struct UndeterminedClient;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerAddr;

    fn client(address: &str) -> ClientIp {
        ClientIp::new(address.parse().unwrap())
    }

    fn network(address: &str) -> String {
        client(address).network().to_string()
    }

    #[test]
    fn ipv4_mapped_clients_are_distinct() {
        // express-rate-limit put every IPv4 client into the bucket ::/56 (CVE-2026-30827).
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:c000:202"), "192.0.2.2");
        for prefix in ClientIp::IPV6_PREFIXES {
            assert_eq!(client("::ffff:192.0.2.1").network_of(prefix).to_string(), "192.0.2.1");
            assert_eq!(
                client("0:0:0:0:0:ffff:c000:0202").network_of(prefix),
                client("192.0.2.2").0
            );
        }
    }

    #[test]
    fn ipv6_clients_are_grouped_by_64_bit_network() {
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn ipv6_prefix_length_is_clamped_to_32_to_128() {
        let all = client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        for (prefix, network) in [
            (32, "ffff:ffff::"),
            (48, "ffff:ffff:ffff::"),
            (56, "ffff:ffff:ffff:ff00::"),
            (64, "ffff:ffff:ffff:ffff::"),
            (127, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
            (128, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            // outside, the nearest inside
            (0, "ffff:ffff::"),
            (31, "ffff:ffff::"),
            (129, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            (255, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(all.network_of(prefix), network.parse::<IpAddr>().unwrap(), "{prefix}");
        }
    }

    #[test]
    fn spellings_of_one_address_are_one_client() {
        // Hono compared addresses as text (CVE-2026-47674).
        for (written, canonical) in [
            ("2001:0db8:0:0::1", "2001:db8::1"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("::ffff:102:304", "1.2.3.4"),
            ("::FFFF:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client(written), client(canonical));
            assert_eq!(client(written).to_string(), canonical);
        }
    }

    #[test]
    fn unspecified_peer_address_yields_no_client() {
        for peer in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
            let mut extensions = Extensions::new();
            extensions.insert(PeerAddr(peer.parse().unwrap()));
            assert_eq!(ClientIp::from_extensions(&extensions), None, "{peer}");
        }
    }

    #[test]
    fn client_ip_extension_overrides_the_peer() {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddr("192.0.2.1:1".parse().unwrap()));
        assert_eq!(ClientIp::from_extensions(&extensions), Some(client("192.0.2.1")));
        extensions.insert(client("203.0.113.7"));
        assert_eq!(ClientIp::from_extensions(&extensions), Some(client("203.0.113.7")));
    }
}
