use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use super::{
    diagnostics::Log,
    model::{FORWARDED, ListHeader, MOST_HOPS, Model, X_FORWARDED_FOR},
    networks::{Networks, parse_network},
    trusted_proxies::{Settings, TrustedPeers, TrustedProxies},
};
use crate::ConfigError;

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// RFC 1918, section 3, and RFC 4193, section 3.1.
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// Makes a [`TrustedProxies`]. Every mistake in it is found by [`build`](TrustedProxiesBuilder::build).
///
/// ```
/// use palisade_core::TrustedProxies;
///
/// let proxies = TrustedProxies::loopback().networks(["192.0.2.0/24"]).forwarded().build()?;
///
/// let error = TrustedProxies::networks(["10.0.0.5/8"]).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "networks `10.0.0.5/8` is not valid: \
///      write `10.0.0.0/8` for all of the network, or `10.0.0.5` for the one address"
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct TrustedProxiesBuilder {
    walk: Walk,
    networks: Vec<String>,
    unix_sockets: bool,
    forwarded: bool,
    everyone: bool,
}

/// The configured model before it is checked.
#[derive(Clone, Debug)]
pub(super) enum Walk {
    ByAddress,
    ByCount(usize),
    OneHeader(String),
}

impl TrustedProxiesBuilder {
    pub(super) fn new(walk: Walk) -> Self {
        Self { walk, networks: Vec::new(), unix_sockets: false, forwarded: false, everyone: false }
    }

    /// Trusts these too: networks as in `10.0.0.0/8`, or single addresses. With [`TrustedProxies::hops`] and
    /// [`TrustedProxies::header`], these are the peers that are believed, and no others.
    pub fn networks<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.networks.extend(networks.into_iter().map(|network| network.as_ref().to_owned()));
        self
    }

    /// Trusts this host too, as [`TrustedProxies::loopback`] does.
    pub fn loopback(self) -> Self {
        self.networks(LOOPBACK)
    }

    /// Trusts private networks too, as [`TrustedProxies::private_networks`] does.
    pub fn private_networks(self) -> Self {
        self.networks(PRIVATE)
    }

    /// Trusts Unix sockets too, as [`TrustedProxies::unix_sockets`] does.
    pub fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// Reads `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)) instead of `X-Forwarded-For`.
    ///
    /// A header that is malformed anywhere is ignored, all of it. An IPv6 address is in brackets and in quotes
    /// ([section 6](https://www.rfc-editor.org/rfc/rfc7239#section-6)).
    ///
    /// ```
    /// use palisade_core::{Decision, PeerAddr, Policy, TrustedProxies};
    ///
    /// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).forwarded().build()?;
    /// let (head, ()) = http::Request::get("/")
    ///     .header("forwarded", "for=192.0.2.66, for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2")
    ///     .extension(PeerAddr(([10, 0, 0, 1], 4000).into()))
    ///     .body(())
    ///     .unwrap()
    ///     .into_parts();
    /// let Decision::Now(Ok(Some(client))) = proxies.decide(&head) else { panic!("there is a client") };
    /// assert_eq!(client.to_string(), "2001:db8::7");
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn forwarded(mut self) -> Self {
        self.forwarded = true;
        self
    }

    /// Trusts all peers and all addresses in the header, so that clients can choose their address.
    ///
    /// For a server that only proxies can reach, whose addresses are not known and which overwrite the header with one address.
    /// With [`TrustedProxies::networks`] the leftmost element is the client, which the client can choose.
    ///
    /// ```
    /// use palisade_core::TrustedProxies;
    ///
    /// assert!(TrustedProxies::header("fly-client-ip").build().is_err());
    /// let proxies = TrustedProxies::header("fly-client-ip").insecure_trust_everyone().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn insecure_trust_everyone(mut self) -> Self {
        self.everyone = true;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// If a network is not valid, has host bits, or contains most of the internet (`0.0.0.0/0`, `::/0`); if there is no trusted
    /// proxy; if the hop count is 0 or more than 32; if a header name is not valid or that of a list.
    pub fn build(self) -> Result<TrustedProxies, ConfigError> {
        let networks: Result<Vec<IpNet>, _> =
            self.networks.iter().map(|network| parse_network(network)).collect();
        let networks = Networks::new(&networks?);
        if !self.everyone
            && let Some(network) = networks.too_large()
        {
            return Err(ConfigError::new(
                "networks",
                network,
                "list the networks of your proxies only: a client in a listed network chooses its own address. `insecure_trust_everyone` is for servers that only proxies can reach",
            ));
        }
        let says_whom = !networks.is_empty() || self.unix_sockets || self.everyone;
        let list = if self.forwarded { ListHeader::Forwarded } else { ListHeader::XForwardedFor };
        let model = match self.walk {
            Walk::ByAddress if !says_whom => {
                return Err(ConfigError::without_value(
                    "networks",
                    "list the networks of your proxies, as in `10.0.0.0/8`, or leave TrustedProxies out: the client is \
                     the socket's peer then",
                ));
            }
            Walk::ByAddress => Model::Networks(list),
            Walk::ByCount(count @ 1..=MOST_HOPS) => Model::Hops(list, count),
            Walk::ByCount(count) => {
                return Err(ConfigError::new(
                    "hops",
                    count,
                    "count the proxies between the client and this server, 1 to 32; with none, leave TrustedProxies out",
                ));
            }
            Walk::OneHeader(name) => {
                let name = header_of_one_address(&name)?;
                if self.forwarded {
                    return Err(ConfigError::new(
                        "forwarded",
                        &name,
                        "read this header or Forwarded: leave out one of them",
                    ));
                }
                if !says_whom {
                    return Err(ConfigError::new(
                        "header",
                        &name,
                        "name the proxies that may send it, with `networks`, `loopback`, `private_networks` or `unix_sockets`: clients can send it too",
                    ));
                }
                Model::Header(name)
            }
        };
        if self.everyone {
            tracing::warn!(
                target: "palisade::client_ip",
                ?model,
                "insecure_trust_everyone: a client that reaches this server without a proxy chooses its own address"
            );
        }
        let every_address = self.everyone || (matches!(model, Model::Hops(..)) && !says_whom);
        let peers = TrustedPeers { networks, every_address, unix_sockets: self.unix_sockets };
        Ok(TrustedProxies(Arc::new(Settings { model, peers, log: Log::default() })))
    }
}

fn header_of_one_address(name: &str) -> Result<HeaderName, ConfigError> {
    let Ok(parsed) = name.parse::<HeaderName>() else {
        return Err(ConfigError::new("header", name, "write a header's name, as in `x-real-ip`"));
    };
    if [&X_FORWARDED_FOR, &FORWARDED].contains(&&parsed) {
        return Err(ConfigError::new(
            "header",
            name,
            "it is a list whose first element any client can write: use `networks` or `hops`, and `forwarded` for Forwarded",
        ));
    }
    Ok(parsed)
}
