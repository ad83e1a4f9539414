use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The other end of the socket that a request came in on.
///
/// axum and tonic leave it in the request's extensions themselves, under types of their own, and
/// [`ClientIp`](crate::ClientIp) knows both (features `axum` and `tonic`). A plain hyper server says it in one line per
/// connection, because `PeerAddr` is a policy that leaves itself on each request:
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

impl PeerAddr {
    /// The other end of a request's socket, as the server left it, under whatever type. `None` where it left nothing,
    /// or where the other end of a Unix socket has no address.
    ///
    /// ```
    /// use palisade_core::PeerAddr;
    ///
    /// let mut extensions = http::Extensions::new();
    /// extensions.insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
    /// assert_eq!(PeerAddr::of(&extensions).unwrap().0.port(), 4000);
    /// ```
    pub fn of(extensions: &Extensions) -> Option<Self> {
        socket_peer_of(extensions).map(Self)
    }
}

/// Says that requests come in on a Unix socket, whose other end has no address.
///
/// tonic says it itself. Around an axum or a hyper service that listens on a Unix socket it is one line, because
/// `UnixPeer` is a policy that leaves itself on each request. A proxy at the other end is believed only where
/// [`TrustedProxies`](crate::TrustedProxies) says so too:
///
/// ```
/// # use palisade_core::{PolicyLayer, TrustedProxies, UnixPeer};
/// # use tower::Layer;
/// # let service = tower::service_fn(|_: http::Request<String>| async { Ok::<_, ()>(http::Response::new(String::new())) });
/// let proxies = TrustedProxies::unix_sockets().build()?;
/// let service = PolicyLayer::new(UnixPeer).layer(proxies.layer().layer(service));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// Only the server says it, so that one that merely forgot to leave its peers' addresses is not taken for one that
/// has none. An address that is there wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer;

/// What the server says of the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// In canonical form.
    Address(IpAddr),
    UnixSocket,
    Unknown,
}

impl Peer {
    pub(super) fn of(extensions: &Extensions) -> Self {
        if let Some(peer) = socket_peer_of(extensions) {
            return Self::Address(peer.ip().to_canonical());
        }
        if extensions.get::<UnixPeer>().is_some() {
            return Self::UnixSocket;
        }
        #[cfg(all(feature = "tonic", unix))]
        if crate::tonic::is_unix_peer(extensions) {
            return Self::UnixSocket;
        }
        Self::Unknown
    }

    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::UnixSocket | Self::Unknown => None,
        }
    }
}

fn socket_peer_of(extensions: &Extensions) -> Option<SocketAddr> {
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
