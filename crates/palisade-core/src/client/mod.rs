//! The address of the client: the socket's peer, or an address from trusted proxies.

mod address;
mod builder;
mod client_ip;
mod diagnostics;
mod elements;
mod forwarded;
mod model;
mod network_lists;
mod networks;
mod peer;
mod ranges;
mod trusted_proxies;

pub use builder::TrustedProxiesBuilder;
pub use client_ip::ClientIp;
pub use network_lists::{AllowNetworks, DenyNetworks, NetworksHandle};
pub use peer::{PeerAddr, UnixPeer};
pub use trusted_proxies::TrustedProxies;
