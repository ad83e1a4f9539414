use std::{fmt, net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, request};

use super::{
    address,
    builder::{TrustedProxiesBuilder, Walk},
    client_ip::{ClientIp, UndeterminedClient},
    diagnostics::Log,
    elements, forwarded,
    model::{FORWARDED, ListHeader, MOST_HOPS, Model, X_FORWARDED_FOR},
    networks::Networks,
    peer::Peer,
};
use crate::{Allowed, Decision, Policy, PolicyLayer};

/// Determines the [`ClientIp`] from a header of trusted proxies, so that inner layers see the client's address instead of the
/// proxy's.
///
/// Without this policy no header is read. With it, one header is read by one of these models:
///
/// | model | the client is | for |
/// | --- | --- | --- |
/// | [`networks`](Self::networks) | the first address from the right that is not of a trusted proxy | nginx, a load balancer, an ingress |
/// | [`hops`](Self::hops) | the address that many elements from the right | a known number of proxies with unknown addresses |
/// | [`header`](Self::header) | the single address in a header of the proxy | `CF-Connecting-IP`, `X-Real-IP` |
///
/// Elements that the client has sent are to the left of those of the first trusted proxy, and are never reached. An untrusted
/// peer is the client, and its headers are ignored.
///
/// ```
/// use http::Request;
/// use palisade_core::{ClientIp, PeerAddr, TrustedProxies};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
/// let service = proxies.layer().layer(service_fn(async |request: Request<String>| {
///     let client = ClientIp::from_extensions(request.extensions()).map(|client| client.to_string());
///     Ok::<_, std::convert::Infallible>(http::Response::new(client.unwrap_or_default()))
/// }));
/// # use http_body_util::BodyExt;
/// let ask = async |peer: &str, forwarded_for: &str| {
///     let peer = PeerAddr(peer.parse().unwrap());
///     let request = Request::get("/").header("x-forwarded-for", forwarded_for).extension(peer);
///     let response = service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
///     response.into_body().collect().await.unwrap().to_bytes()
/// };
///
/// // The client at 203.0.113.7 wrote the first element itself, two proxies the others.
/// assert_eq!(ask("10.0.0.1:4000", "192.0.2.66, 203.0.113.7, 10.0.0.2").await, "203.0.113.7");
/// // Not a trusted proxy.
/// assert_eq!(ask("203.0.113.7:4000", "192.0.2.66").await, "203.0.113.7");
/// # Ok::<_, palisade_core::ConfigError>(())
/// # }).unwrap();
/// ```
///
/// # Which header
///
/// `X-Forwarded-For`, or `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)) where
/// [`forwarded`](TrustedProxiesBuilder::forwarded) says so. The other one is never read, not even where the chosen one
/// is missing: a proxy that writes one of them passes the client's value of the other on.
///
/// # Invalid elements
///
/// An element without an address (`unknown`, `_obfuscated`, `0.0.0.0`, malformed, empty) ends the search: the client is then
/// the last trusted proxy. The same holds for a `Forwarded` that is malformed anywhere, which is ignored as a whole. An
/// allowlist of addresses must therefore not contain the proxies.
///
/// # Costs
///
/// At most 32 elements are read, and only the extension is allocated. Problems (too few elements for the hop count, a malformed
/// header, an ignored header) are logged once per policy, with the target `palisade::client_ip`.
#[derive(Clone)]
pub struct TrustedProxies(pub(super) Arc<Settings>);

pub(super) struct Settings {
    pub(super) model: Model,
    pub(super) peers: TrustedPeers,
    pub(super) log: Log,
}

/// The peers whose headers are trusted.
#[derive(Clone, Debug)]
pub(super) struct TrustedPeers {
    pub(super) networks: Networks,
    pub(super) every_address: bool,
    pub(super) unix_sockets: bool,
}

impl TrustedProxies {
    /// Trusts proxies by their addresses: networks as in `10.0.0.0/8`, or single addresses. More may be added.
    ///
    /// The client is the first address from the right that is not in them, if the peer is. Where all are, it is the
    /// leftmost: a trusted host that made the request itself. List the proxies' networks and not those of clients; who
    /// is in them chooses its own address.
    ///
    /// ```
    /// use palisade_core::TrustedProxies;
    ///
    /// let proxies = TrustedProxies::networks(["10.20.0.0/16", "2001:db8:20::/48", "192.0.2.7"]).build()?;
    ///
    /// let error = TrustedProxies::networks(["0.0.0.0/0"]).build().unwrap_err();
    /// assert!(error.to_string().starts_with("networks `0.0.0.0/0` is not valid"));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn networks<I>(networks: I) -> TrustedProxiesBuilder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        TrustedProxiesBuilder::new(Walk::ByAddress).networks(networks)
    }

    /// Trusts proxies on this host: `127.0.0.0/8` and `::1`. See [`networks`](Self::networks).
    pub fn loopback() -> TrustedProxiesBuilder {
        TrustedProxiesBuilder::new(Walk::ByAddress).loopback()
    }

    /// Trusts proxies in private networks: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`
    /// ([RFC 1918, section 3](https://www.rfc-editor.org/rfc/rfc1918#section-3)) and `fc00::/7`
    /// ([RFC 4193, section 3.1](https://www.rfc-editor.org/rfc/rfc4193#section-3.1)). See [`networks`](Self::networks).
    ///
    /// Not where clients have private addresses too: each of them could choose its own.
    pub fn private_networks() -> TrustedProxiesBuilder {
        TrustedProxiesBuilder::new(Walk::ByAddress).private_networks()
    }

    /// Trusts proxies at Unix sockets. See [`networks`](Self::networks), and [`UnixPeer`](crate::UnixPeer), which marks their
    /// requests.
    pub fn unix_sockets() -> TrustedProxiesBuilder {
        TrustedProxiesBuilder::new(Walk::ByAddress).unix_sockets()
    }

    /// Trusts this many proxies between the client and this server, from 1 to 32, wherever they are.
    ///
    /// The client is the element that many from the right: with one proxy the last one. A request with fewer elements has not
    /// passed all proxies: the client is then the peer, and a warning is logged once.
    ///
    /// All peers are trusted, so only the proxies may be able to reach this server: clients that connect directly can choose
    /// their address, and with too high a count all clients can. Add the last proxy's network with
    /// [`networks`](TrustedProxiesBuilder::networks) if it is known.
    ///
    /// ```
    /// use palisade_core::TrustedProxies;
    ///
    /// // client -> CDN -> load balancer -> us
    /// let proxies = TrustedProxies::hops(2).networks(["10.0.0.0/8"]).build()?;
    ///
    /// assert!(TrustedProxies::hops(0).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn hops(count: usize) -> TrustedProxiesBuilder {
        TrustedProxiesBuilder::new(Walk::ByCount(count))
    }

    /// Trusts one header with a single address, such as `CF-Connecting-IP` and `X-Real-IP`.
    ///
    /// It is trusted only from the peers that the builder lists. The proxy must overwrite the client's value. If the header is
    /// missing, duplicated or not an address, the client is the peer, and a warning is logged once.
    ///
    /// ```
    /// use palisade_core::TrustedProxies;
    ///
    /// // two of the networks in https://www.cloudflare.com/ips/
    /// let cloudflare = ["173.245.48.0/20", "103.21.244.0/22"];
    /// let proxies = TrustedProxies::header("cf-connecting-ip").networks(cloudflare).build()?;
    ///
    /// let error = TrustedProxies::header("cf-connecting-ip").build().unwrap_err();
    /// assert!(error.to_string().contains("name the proxies that may send it"));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn header(name: impl AsRef<str>) -> TrustedProxiesBuilder {
        TrustedProxiesBuilder::new(Walk::OneHeader(name.as_ref().to_owned()))
    }

    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Returns true if the peer of a request with these extensions is one of the proxies, so that its other headers can be
    /// trusted too: the country of the client, its scheme, the id of the request.
    ///
    /// The proxy must overwrite such a header, or remove the client's value.
    ///
    /// ```
    /// use palisade_core::{PeerAddr, TrustedProxies};
    ///
    /// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
    /// let from = |peer: [u8; 4]| {
    ///     let mut extensions = http::Extensions::new();
    ///     extensions.insert(PeerAddr((peer, 4000).into()));
    ///     extensions
    /// };
    /// assert!(proxies.trust_peer_of(&from([10, 0, 0, 1])));
    /// assert!(!proxies.trust_peer_of(&from([203, 0, 113, 7])));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn trust_peer_of(&self, extensions: &Extensions) -> bool {
        self.0.peers.trust(Peer::from_extensions(extensions))
    }

    fn client_of(&self, request: &request::Parts) -> Option<ClientIp> {
        let Settings { model, peers, log } = &*self.0;
        let peer = Peer::from_extensions(&request.extensions);
        let behind = if peers.trust(peer) {
            log.ignored_headers(model, &request.headers);
            model.client_behind(&request.headers, peers, log)
        } else {
            log.untrusted_peer(model, &request.headers, peer);
            None
        };
        behind.or_else(|| address::client_address(peer.address()?)).map(ClientIp::new)
    }
}

impl Policy for TrustedProxies {
    type Grant = Option<ClientIp>;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<Option<ClientIp>> {
        Decision::grant(self.client_of(request))
    }

    fn admit(&self, client: &mut Option<ClientIp>, request: &mut request::Parts) {
        if let Some(client) = client {
            request.extensions.insert(*client);
        } else if Peer::from_extensions(&request.extensions) == Peer::UnixSocket
            && request.headers.contains_key(self.0.model.header())
        {
            // The proxy sent its header, and has no address that could count instead.
            request.extensions.insert(UndeterminedClient);
        }
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies")
            .field("model", &self.0.model)
            .field("peers", &self.0.peers)
            .finish()
    }
}

impl TrustedPeers {
    fn trust(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => self.trust_address(address),
            Peer::UnixSocket => self.unix_sockets,
            // Otherwise a server that does not provide peers would trust all of them.
            Peer::Unknown => false,
        }
    }

    fn trust_address(&self, address: IpAddr) -> bool {
        self.every_address || self.networks.contains(address)
    }
}

impl Model {
    /// The furthest that the headers of a trusted peer are believed. `None` is the peer itself.
    fn client_behind(
        &self,
        headers: &HeaderMap,
        peers: &TrustedPeers,
        log: &Log,
    ) -> Option<IpAddr> {
        match self {
            Self::Networks(list) => {
                list.walk(headers, log, |hops| first_not_trusted(hops, peers, log))
            }
            Self::Hops(list, count) => {
                list.walk(headers, log, |hops| that_many_back(hops, *count, log))
            }
            Self::Header(name) => sole_address(headers, name, log),
        }
    }

    pub(super) fn header(&self) -> &HeaderName {
        match self {
            Self::Networks(list) | Self::Hops(list, _) => list.name(),
            Self::Header(name) => name,
        }
    }
}

/// The addresses that proxies added, the nearest first. `None` is an element without an address.
type Hops<'a> = &'a mut dyn Iterator<Item = Option<IpAddr>>;

impl ListHeader {
    /// Calls `to` with the elements of the header, if it is well-formed.
    fn walk(
        self,
        headers: &HeaderMap,
        log: &Log,
        to: impl FnOnce(Hops<'_>) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => {
                to(&mut elements::from_the_right(headers, &X_FORWARDED_FOR).map(address::parse))
            }
            Self::Forwarded => match forwarded::addresses_from_the_right(headers) {
                Ok(mut addresses) => to(&mut addresses),
                Err(forwarded::Malformed) => {
                    log.malformed();
                    None
                }
            },
        }
    }

    fn name(self) -> &'static HeaderName {
        match self {
            Self::XForwardedFor => &X_FORWARDED_FOR,
            Self::Forwarded => &FORWARDED,
        }
    }
}

/// The first address that is not trusted, or the last trusted one if the walk ends before.
fn first_not_trusted(hops: Hops<'_>, peers: &TrustedPeers, log: &Log) -> Option<IpAddr> {
    let mut client = None;
    for hop in hops.take(MOST_HOPS) {
        // Elements left of one without an address cannot be trusted.
        let Some(address) = hop else { return client };
        client = Some(address);
        if !peers.trust_address(address) {
            return client;
        }
    }
    if hops.next().is_some() {
        log.too_many_hops();
    }
    client
}

/// Returns the address `count` elements from the right, or the nearest address to the right of it.
fn that_many_back(hops: Hops<'_>, count: usize, log: &Log) -> Option<IpAddr> {
    let mut client = None;
    for _ in 0..count {
        match hops.next() {
            Some(hop) => client = hop.or(client),
            None => {
                log.too_few_hops(count);
                return None;
            }
        }
    }
    client
}

/// Returns the address of a header that is present once and contains nothing else.
fn sole_address(headers: &HeaderMap, name: &HeaderName, log: &Log) -> Option<IpAddr> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next().filter(|_| lines.next().is_none()).map(HeaderValue::as_bytes);
    let address = only.and_then(|text| address::parse(elements::without_space_around(text)));
    if address.is_none() {
        log.not_one_address(name);
    }
    address
}

#[cfg(test)]
mod tests;
