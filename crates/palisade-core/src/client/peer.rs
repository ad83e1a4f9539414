use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The address of a request's socket peer.
///
/// axum and tonic insert it into the request's extensions as their own types, which [`ClientIp`](crate::ClientIp) reads
/// (features `axum` and `tonic`). For a plain hyper server, add `PeerAddr` for each connection: it is a policy that inserts
/// itself into each request.
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
    /// Returns the peer's address from any of the supported types. `None` if the server has not provided it, or for a Unix
    /// socket.
    ///
    /// ```
    /// use palisade_core::PeerAddr;
    ///
    /// let mut extensions = http::Extensions::new();
    /// extensions.insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
    /// assert_eq!(PeerAddr::from_extensions(&extensions).unwrap().0.port(), 4000);
    /// ```
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        socket_peer_of(extensions).map(Self)
    }
}

/// Marks requests from a Unix socket, whose peer has no address.
///
/// tonic does this itself. For an axum or hyper service on a Unix socket, add `UnixPeer`, which is a policy that inserts itself
/// into each request. A proxy at the socket is trusted only if [`TrustedProxies`](crate::TrustedProxies) is configured too:
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
/// An explicit marker distinguishes a Unix socket from a server that does not provide addresses. An address in the extensions
/// has precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer;

/// The peer of the socket, as provided by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// In canonical form.
    Address(IpAddr),
    UnixSocket,
    Unknown,
}

impl Peer {
    pub(super) fn from_extensions(extensions: &Extensions) -> Self {
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
    if let Some(peer) = axum_peer_of(extensions) {
        return Some(peer);
    }
    #[cfg(feature = "tonic")]
    if let Some(peer) = crate::tonic::peer_of(extensions) {
        return Some(peer);
    }
    None
}

#[cfg(feature = "axum")]
fn axum_peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    use axum::extract::ConnectInfo;

    if let Some(ConnectInfo(peer)) = extensions.get() {
        return Some(*peer);
    }
    extensions
        .get::<ConnectInfo<crate::connection::TrackedPeer>>()
        .map(|ConnectInfo(peer)| peer.address)
}
