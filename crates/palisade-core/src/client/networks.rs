use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ranges::Ranges;
use crate::ConfigError;

/// Shorter prefixes hold most of the internet, and no network that one operator runs.
const SHORTEST_V4: u8 = 8;
/// The private networks of RFC 4193 are a /7.
const SHORTEST_V6: u8 = 7;

/// A set of networks. A look-up costs about the same for one network and for 100,000.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// The first network that holds most of the internet. Many small ones that make up a large one count as that one.
    too_large: Option<IpNet>,
}

impl Networks {
    pub(super) fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push(*network),
                IpNet::V6(network) => v6.push(*network),
            }
        }
        // Afterwards each address is in one network at most.
        let (v4, v6) = (Ipv4Net::aggregate(&v4), Ipv6Net::aggregate(&v6));
        let large_v4 = v4.iter().find(|network| network.prefix_len() < SHORTEST_V4);
        let large_v6 = v6.iter().find(|network| network.prefix_len() < SHORTEST_V6);
        Self {
            too_large: large_v4.copied().map(IpNet::V4).or(large_v6.copied().map(IpNet::V6)),
            v4: v4.iter().map(|n| (n.network().to_bits(), n.broadcast().to_bits())).collect(),
            v6: v6.iter().map(|n| (n.network().to_bits(), n.broadcast().to_bits())).collect(),
        }
    }

    /// True if the canonical `address` is in one of the networks.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Returns the first network that is too large to be one of proxies.
    pub(super) fn too_large(&self) -> Option<IpNet> {
        self.too_large
    }
}

/// A network as an operator writes it: `10.0.0.0/8`, or one address.
pub(super) fn parse_network(text: &str) -> Result<IpNet, ConfigError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| {
            ConfigError::new(
                "networks",
                text,
                "write a network as in `10.0.0.0/8` or `2001:db8::/32`, or an address as in `192.0.2.7`",
            )
        })?,
    };
    if network.addr() != network.network() {
        return Err(ConfigError::new(
            "networks",
            text,
            format!(
                "write `{}` for all of the network, or `{}` for the one address",
                network.trunc(),
                network.addr()
            ),
        ));
    }
    Ok(canonical(network))
}

/// Addresses are compared in canonical form, so networks of IPv4 addresses inside IPv6 are IPv4 networks.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(inside) = network else { return network };
    let in_v4 = inside.prefix_len().checked_sub(96).zip(inside.addr().to_ipv4_mapped());
    in_v4
        .and_then(|(prefix, address)| Ipv4Net::new(address, prefix).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Networks {
        let list: Result<Vec<_>, _> = list.iter().map(|text| parse_network(text)).collect();
        Networks::new(&list.unwrap())
    }

    fn contains(networks: &Networks, address: &str) -> bool {
        networks.contains(address.parse::<IpAddr>().unwrap().to_canonical())
    }

    #[test]
    fn network_contains_exactly_its_range() {
        let set = networks(&["192.0.2.0/24", "10.0.0.0/8", "198.51.100.7", "fd00::/8", "::1"]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.0",
            "192.0.2.255",
            "198.51.100.7",
            "::ffff:10.0.0.1",
            "::ffff:a00:1",
            "::1",
            "fd00::",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(contains(&set, inside), "{inside}");
        }
        for outside in [
            "0.0.0.1",
            "9.255.255.255",
            "11.0.0.0",
            "192.0.1.255",
            "192.0.3.0",
            "198.51.100.6",
            "198.51.100.8",
            "255.255.255.255",
            "::2",
            "::a00:1",
            "fe00::",
        ] {
            assert!(!contains(&set, outside), "{outside}");
        }
        assert!(!contains(&Networks::default(), "10.0.0.1"));
    }

    #[test]
    fn overlapping_networks_are_one() {
        let set = networks(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.5", "9.0.0.1"]);
        for inside in ["10.0.0.6", "10.1.2.3", "10.200.0.1", "9.0.0.1"] {
            assert!(contains(&set, inside), "{inside}");
        }
    }

    #[test]
    fn ipv4_mapped_network_is_an_ipv4_network() {
        let set = networks(&["::ffff:10.0.0.0/104", "::ffff:192.0.2.7"]);
        assert!(contains(&set, "10.1.2.3") && contains(&set, "192.0.2.7"));
        assert!(!contains(&set, "11.0.0.0"));
    }

    #[test]
    fn invalid_network_is_an_error_with_a_remedy() {
        for (bad, remedy) in [
            ("", "`10.0.0.0/8`"),
            ("10.0.0.0/33", "`10.0.0.0/8`"),
            ("10.0.0.0/", "`10.0.0.0/8`"),
            ("10.0.0/8", "`10.0.0.0/8`"),
            ("proxy.internal", "`10.0.0.0/8`"),
            ("10.0.0.0-10.0.0.9", "`10.0.0.0/8`"),
            ("10.0.0.5/8", "write `10.0.0.0/8` for all of the network, or `10.0.0.5`"),
            ("fd00::1/8", "write `fd00::/8` for all of the network, or `fd00::1`"),
        ] {
            let error = parse_network(bad).unwrap_err();
            assert_eq!(error.setting(), "networks");
            let error = error.to_string();
            assert!(error.contains(bad) && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn detects_lists_that_cover_most_of_the_internet() {
        for list in [
            &["0.0.0.0/0"][..],
            &["::/0"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["10.0.0.0/8", "0.0.0.0/7"],
            &["::ffff:0:0/96"],
            &["::ffff:0.0.0.0/97", "::ffff:128.0.0.0/97"],
            &["::/1", "8000::/1"],
            &["2000::/3"],
        ] {
            assert!(networks(list).too_large().is_some(), "{list:?}");
        }
        for list in [&["10.0.0.0/8"][..], &["fc00::/7"], &[]] {
            assert!(networks(list).too_large().is_none(), "{list:?}");
        }
    }
}
