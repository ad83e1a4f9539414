use std::{fmt, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use http::request;

use super::{
    ClientIp,
    networks::{Networks, parse_network},
};
use crate::{Allowed, ApiError, ConfigError, Decision, Policy, PolicyLayer};

/// Requires that the client's address is in one of a list of networks.
///
/// The address is the [`ClientIp`]: put the policy inside [`TrustedProxies`](crate::TrustedProxies) where there are
/// proxies. Other clients are rejected with 403; a request without an address, because the server left none, with 500 and
/// the remedy in the log. A list of 100,000 networks costs a request as much as one network does.
///
/// ```
/// use http::Request;
/// use palisade_core::{AllowNetworks, PeerAddr, testing::Probe};
/// use tower::{Layer, ServiceExt};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let office = AllowNetworks::new(["192.0.2.0/24", "2001:db8::/32"])?;
/// let service = office.layer().layer(Probe::new());
/// let status = async |peer: &str| {
///     let request = Request::get("/").extension(PeerAddr(peer.parse().unwrap()));
///     service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap().status()
/// };
///
/// assert_eq!(status("192.0.2.7:4000").await, 200);
/// assert_eq!(status("203.0.113.7:4000").await, 403);
///
/// // While the service runs: a network more.
/// office.handle().replace(["192.0.2.0/24", "2001:db8::/32", "203.0.113.0/24"])?;
/// assert_eq!(status("203.0.113.7:4000").await, 200);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AllowNetworks(NetworksHandle);

/// Rejects clients whose address is in one of a list of networks.
///
/// The address is the [`ClientIp`]: put the policy inside [`TrustedProxies`](crate::TrustedProxies) where there are
/// proxies. Listed clients are rejected with 403; a request without an address, because the server left none, with 500
/// and the remedy in the log. The list may be empty, for a file that fills up while the service runs. A list of 100,000
/// networks costs a request as much as one network does.
///
/// ```
/// use palisade_core::{Decision, DenyNetworks, PeerAddr, Policy};
///
/// let path = std::env::temp_dir().join(format!("denied-{}.txt", std::process::id()));
/// std::fs::write(&path, "# scanners\n198.51.100.0/24\n")?;
/// let denied = DenyNetworks::from_file(&path)?;
///
/// let (mut head, ()) = http::Request::new(()).into_parts();
/// head.extensions.insert(PeerAddr("198.51.100.9:4000".parse()?));
/// assert!(matches!(denied.decide(&head), Decision::Now(Err(_))));
///
/// // After the file was changed, for example on SIGHUP: a file with a mistake in it changes nothing.
/// std::fs::write(&path, "198.51.100.0/33\n")?;
/// let error = denied.handle().reload(&path).unwrap_err();
/// assert!(error.to_string().contains("line 1"), "{error}");
/// assert!(matches!(denied.decide(&head), Decision::Now(Err(_))));
/// # std::fs::remove_file(path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DenyNetworks(NetworksHandle);

/// Replaces the list of an [`AllowNetworks`] or a [`DenyNetworks`] while it serves.
///
/// All clones of the policy follow at once. Made by [`AllowNetworks::handle`] and [`DenyNetworks::handle`].
#[derive(Clone)]
pub struct NetworksHandle {
    networks: Arc<ArcSwap<Networks>>,
    may_be_empty: bool,
}

impl AllowNetworks {
    /// Allows clients in these networks, as in `10.0.0.0/8`, or of these single addresses.
    ///
    /// # Errors
    ///
    /// If an entry is not a network, or the list is empty, which would reject every client.
    pub fn new<I>(networks: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        NetworksHandle::new(parse(networks)?, false).map(Self)
    }

    /// Reads the list from a file: one network a line, with empty lines and comments that start with `#`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or for those of [`new`](Self::new), with the number of the line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        NetworksHandle::new(read(path.as_ref())?, false).map(Self)
    }

    /// Returns the handle that replaces the list.
    pub fn handle(&self) -> NetworksHandle {
        self.0.clone()
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl DenyNetworks {
    /// Rejects clients in these networks, as in `10.0.0.0/8`, or of these single addresses.
    ///
    /// # Errors
    ///
    /// If an entry is not a network.
    pub fn new<I>(networks: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        NetworksHandle::new(parse(networks)?, true).map(Self)
    }

    /// Reads the list from a file: one network a line, with empty lines and comments that start with `#`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a line is not a network.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        NetworksHandle::new(read(path.as_ref())?, true).map(Self)
    }

    /// Returns the handle that replaces the list.
    pub fn handle(&self) -> NetworksHandle {
        self.0.clone()
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl Policy for AllowNetworks {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        match self.0.contain_client(request) {
            Ok(true) => Decision::grant(()),
            Ok(false) => Decision::refuse(not_allowed()),
            Err(error) => Decision::refuse(error),
        }
    }
}

impl Policy for DenyNetworks {
    type Grant = ();

    fn allowed((): &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        match self.0.contain_client(request) {
            Ok(false) => Decision::grant(()),
            Ok(true) => Decision::refuse(not_allowed()),
            Err(error) => Decision::refuse(error),
        }
    }
}

#[cold]
fn not_allowed() -> ApiError {
    ApiError::forbidden().with_message("requests from your network are not allowed")
}

impl NetworksHandle {
    fn new(networks: Networks, may_be_empty: bool) -> Result<Self, ConfigError> {
        let handle = Self { networks: Arc::default(), may_be_empty };
        handle.store(networks)?;
        Ok(handle)
    }

    /// Replaces the list for every request that begins from now on.
    ///
    /// # Errors
    ///
    /// If an entry is not a network, or the list of an [`AllowNetworks`] is empty. The old list stays.
    pub fn replace<I>(&self, networks: I) -> Result<(), ConfigError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.store(parse(networks)?)
    }

    /// Replaces the list by that of a file, for every request that begins from now on. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or for those of [`replace`](Self::replace). The old list stays.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<(), ConfigError> {
        self.store(read(path.as_ref())?)
    }

    fn store(&self, networks: Networks) -> Result<(), ConfigError> {
        if networks.is_empty() && !self.may_be_empty {
            let remedy = "list at least one network: an empty list rejects every client";
            return Err(ConfigError::without_value("networks", remedy));
        }
        self.networks.store(Arc::new(networks));
        Ok(())
    }

    fn contain_client(&self, request: &request::Parts) -> Result<bool, ApiError> {
        let client = ClientIp::required(request)?;
        Ok(self.networks.load().contains(client.ip()))
    }
}

impl fmt::Debug for NetworksHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworksHandle(..)")
    }
}

fn parse<I>(networks: I) -> Result<Networks, ConfigError>
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let parsed = networks.into_iter().map(|network| parse_network(network.as_ref()));
    Ok(Networks::new(&parsed.collect::<Result<Vec<_>, _>>()?))
}

fn read(path: &Path) -> Result<Networks, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new("networks", path.display(), format!("the file cannot be read: {error}"))
    })?;
    let mut networks = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let network = line.split_once('#').map_or(line, |(network, _)| network).trim();
        if !network.is_empty() {
            networks.push(parse_network(network).map_err(|error| {
                let place = format!("line {} of {}", number + 1, path.display());
                ConfigError::new("networks", place, error.to_string())
            })?);
        }
    }
    Ok(Networks::new(&networks))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use http::Request;

    use super::*;
    use crate::{Halt, PeerAddr, UnixPeer};

    fn from(peer: &str) -> request::Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.extensions.insert(PeerAddr(format!("{peer}:4000").parse().unwrap()));
        head
    }

    fn status(decision: Decision<()>) -> u16 {
        match decision {
            Decision::Now(Ok(())) => 200,
            Decision::Now(Err(Halt::Refuse(error))) => error.status().as_u16(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn allow_and_deny_lists_are_opposites_for_every_address_form() {
        let list = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"];
        let (allow, deny) = (AllowNetworks::new(list).unwrap(), DenyNetworks::new(list).unwrap());
        for inside in ["192.0.2.1", "[::ffff:192.0.2.1]", "198.51.100.7", "[2001:db8:1::1]"] {
            let head = from(inside);
            assert_eq!(
                (status(allow.decide(&head)), status(deny.decide(&head))),
                (200, 403),
                "{inside}"
            );
        }
        for outside in ["192.0.3.1", "198.51.100.8", "[2001:db9::1]", "[::192.0.2.1]"] {
            let head = from(outside);
            assert_eq!(
                (status(allow.decide(&head)), status(deny.decide(&head))),
                (403, 200),
                "{outside}"
            );
        }
    }

    #[test]
    fn client_must_be_allowed_even_if_it_is_not_denied() {
        let deny = || DenyNetworks::new(["192.0.2.0/24"]).unwrap();
        let allow = || AllowNetworks::new(["198.51.100.0/24"]).unwrap();
        let allowed = |peer: &str| {
            let decision = crate::any_of(deny(), allow()).decide(&from(peer));
            matches!(decision, Decision::Now(Ok(_)))
        };
        assert!(allowed("198.51.100.1"));
        assert!(!allowed("192.0.2.1"));
        assert!(!allowed("203.0.113.1"), "the deny list does not let it in");
    }

    #[test]
    fn client_address_is_checked_and_not_that_of_the_proxy() {
        let deny = DenyNetworks::new(["203.0.113.7"]).unwrap();
        let mut head = from("10.0.0.1");
        head.extensions.insert(ClientIp::new("203.0.113.7".parse().unwrap()));
        assert_eq!(status(deny.decide(&head)), 403);
    }

    #[test]
    fn missing_address_fails_both_and_names_the_remedy() {
        let (mut unix, ()) = Request::new(()).into_parts();
        unix.extensions.insert(UnixPeer);
        let (none, ()) = Request::new(()).into_parts();
        for head in [unix, none] {
            let deny = DenyNetworks::new(["192.0.2.0/24"]).unwrap();
            let allow = AllowNetworks::new(["192.0.2.0/24"]).unwrap();
            for decision in [deny.decide(&head), allow.decide(&head)] {
                let Decision::Now(Err(Halt::Refuse(error))) = decision else { panic!("it passed") };
                assert_eq!(error.status(), 500);
                let cause = error.source().unwrap().to_string();
                assert!(cause.contains("into_make_service_with_connect_info"), "{cause}");
            }
        }
    }

    #[test]
    fn invalid_replacement_changes_nothing() {
        let allow = AllowNetworks::new(["192.0.2.0/24"]).unwrap();
        let handle = allow.handle();
        for bad in [&["192.0.2.1/24"][..], &["192.0.2.0/24", "example.com"], &[]] {
            assert!(handle.replace(bad).is_err(), "{bad:?}");
        }
        assert!(handle.reload("/no/such/file").is_err());
        assert_eq!(status(allow.decide(&from("192.0.2.1"))), 200);
        assert!(AllowNetworks::new([""; 0]).is_err());
        assert_eq!(status(DenyNetworks::new([""; 0]).unwrap().decide(&from("192.0.2.1"))), 200);
    }

    #[test]
    fn clones_follow_a_replacement() {
        let deny = DenyNetworks::new([""; 0]).unwrap();
        let clone = deny.clone();
        deny.handle().replace(["192.0.2.0/24"]).unwrap();
        assert_eq!(status(clone.decide(&from("192.0.2.1"))), 403);
        deny.handle().replace(["198.51.100.0/24"]).unwrap();
        assert_eq!(status(clone.decide(&from("192.0.2.1"))), 200, "the old list is gone");
    }
}
