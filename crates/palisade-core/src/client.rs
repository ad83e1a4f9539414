use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::{Extensions, request};

use crate::{Decision, Policy};

/// The other end of the socket that a request came in on.
///
/// axum and tonic leave it in the request's extensions themselves, under types of their own, and [`ClientIp`] knows
/// both (features `axum` and `tonic`). A plain hyper server says it in one line per connection, because `PeerAddr` is
/// a policy that leaves itself on each request:
///
/// ```
/// # use palisade_core::{PeerAddr, PolicyLayer};
/// # use tower::Layer;
/// # let service = tower::service_fn(|_: http::Request<String>| async { Ok::<_, ()>(http::Response::new(String::new())) });
/// # let peer: std::net::SocketAddr = "192.0.2.1:4000".parse().unwrap();
/// // in the accept loop: let (stream, peer) = listener.accept().await?;
/// let service = PolicyLayer::new(PeerAddr(peer)).layer(service);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl Policy for PeerAddr {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(*self);
    }
}

/// The address a client is known by: the one answer to "who is this", wherever an address matters.
///
/// It is the socket's peer. No header is believed. An IPv4 address that arrives inside an IPv6 one
/// (`::ffff:192.0.2.1`) is the IPv4 address.
///
/// ```
/// use palisade_core::{ClientIp, PeerAddr};
///
/// let mut extensions = http::Extensions::new();
/// assert!(ClientIp::of(&extensions).is_none());
///
/// extensions.insert(PeerAddr("[::ffff:192.0.2.1]:4000".parse().unwrap()));
/// assert_eq!(ClientIp::of(&extensions).unwrap().to_string(), "192.0.2.1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// The address, in canonical form.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// Finds the socket's peer in a request's extensions. `None` means that the server did not leave it there.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        peer_of(extensions).map(|peer| Self::new(peer.ip()))
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The network that counts as one client: an IPv4 address itself, an IPv6 address by its /64, which is what one
    /// subscriber usually gets.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
        }
    }
}

fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    if let Some(PeerAddr(peer)) = extensions.get() {
        return Some(*peer);
    }
    #[cfg(feature = "axum")]
    if let Some(peer) = crate::axum::peer_of(extensions) {
        return Some(peer);
    }
    #[cfg(feature = "tonic")]
    if let Some(peer) = crate::tonic::peer_of(extensions) {
        return Some(peer);
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        ClientIp::new(address.parse().unwrap()).network().to_string()
    }

    #[test]
    fn two_ipv4_clients_inside_ipv6_addresses_are_two_clients() {
        // express-rate-limit put every IPv4 client into the bucket ::/56 (CVE-2026-30827).
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:c000:202"), "192.0.2.2");
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_network() {
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }
}
