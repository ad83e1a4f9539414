use std::net::IpAddr;

use http::request;
use palisade_core::{ApiError, ClientIp, ConfigError};

use super::{
    Key,
    translation::{self, Translation},
};

/// Counts by the address of the client: [`ClientIp`], an IPv6 address by its /64.
///
/// A subscriber usually has a whole /64 and could use a new address for every request. For subscribers with a /56 or a /48 use
/// [`ByAddress::ipv6_prefix`].
///
/// An IPv4 client counts by its IPv4 address, also if it is mapped into IPv6 (`::ffff:192.0.2.1`), translated with the
/// well-known prefix `64:ff9b::/96` (RFC 6052) or within `64:ff9b:1::/48` (RFC 8215), or with a configured prefix
/// ([`translated`](Self::translated)). Otherwise all IPv4 clients behind a translator would share one /64.
///
/// Behind a proxy the address is the proxy's, unless [`TrustedProxies`](palisade_core::TrustedProxies) are configured.
///
/// ```
/// use palisade_core::PeerAddr;
/// use palisade_rate_limit::{ByAddress, Key};
///
/// let key = |peer: &str| {
///     let (mut head, ()) = http::Request::new(()).into_parts();
///     head.extensions.insert(PeerAddr(peer.parse().unwrap()));
///     ByAddress::default().key(&head).unwrap()
/// };
/// assert_eq!(key("[2001:db8::1]:4000"), key("[2001:db8::2]:4001"));
/// assert_ne!(key("192.0.2.1:4000"), key("192.0.2.2:4000"));
/// assert_eq!(key("192.0.2.1:4000"), key("[64:ff9b::192.0.2.1]:4000"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAddress {
    ipv6_prefix: u8,
    translated: [Option<Translation>; MOST_TRANSLATIONS],
}

impl Default for ByAddress {
    fn default() -> Self {
        Self { ipv6_prefix: 64, translated: [None; MOST_TRANSLATIONS] }
    }
}

impl ByAddress {
    /// Counts an IPv6 address by this many of its first bits.
    ///
    /// # Errors
    ///
    /// If there are fewer than 32 bits, because a whole provider would share one quota, or more than 64, because a subscriber
    /// could have a quota for each of its addresses.
    ///
    /// ```
    /// # use palisade_rate_limit::ByAddress;
    /// assert!(ByAddress::ipv6_prefix(56).is_ok());
    /// assert!(ByAddress::ipv6_prefix(128).is_err());
    /// ```
    pub fn ipv6_prefix(bits: u8) -> Result<Self, ConfigError> {
        if (32..=64).contains(&bits) {
            Ok(Self { ipv6_prefix: bits, ..Self::default() })
        } else {
            Err(ConfigError::new("ipv6_prefix", bits, "choose 32 to 64 bits, such as 64 or 56"))
        }
    }

    /// Counts clients within this prefix by the IPv4 address that is embedded in their IPv6 address. For the prefix of a NAT64,
    /// SIIT or SIIT-DC translator in front of the service (RFC 6052, section 2.2). At most four prefixes.
    ///
    /// # Errors
    ///
    /// If the text is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, or there are more than four.
    ///
    /// ```
    /// # use palisade_rate_limit::ByAddress;
    /// let key = ByAddress::default().translated("2001:db8:64::/96")?;
    /// assert_eq!(key.key_of("2001:db8:64::c000:201".parse().unwrap()), key.key_of("192.0.2.1".parse().unwrap()));
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn translated(mut self, prefix: &str) -> Result<Self, ConfigError> {
        let translation = Translation::parse(prefix)?;
        let Some(place) = self.translated.iter_mut().find(|place| place.is_none()) else {
            return Err(ConfigError::new("translated", prefix, "configure at most four prefixes"));
        };
        *place = Some(translation);
        Ok(self)
    }

    /// Returns the key of an address, for calls without a request such as [`check`](crate::RateLimit::check).
    pub fn key_of(&self, address: IpAddr) -> u128 {
        let client = ClientIp::new(address);
        let translated = |address| {
            let configured = self.translated.iter().flatten();
            let found = configured.map(|prefix| prefix.inside(address)).find(Option::is_some);
            found.unwrap_or_else(|| translation::well_known(address))
        };
        let network = match client.ip() {
            address @ IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                translated(address).map_or_else(|| client.network_of(self.ipv6_prefix), IpAddr::V4)
            }
        };
        match network {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(network) => network.to_bits(),
        }
    }
}

/// The maximum number of configured prefixes.
const MOST_TRANSLATIONS: usize = 4;

impl Key for ByAddress {
    /// The network as a number. An IPv4 address is in its IPv6-mapped form, which no IPv6 network equals.
    type Of<'r> = u128;

    fn key(&self, request: &request::Parts) -> Result<u128, ApiError> {
        Ok(self.key_of(ClientIp::required(request)?.ip()))
    }
}

#[cfg(test)]
mod tests {
    use palisade_core::PeerAddr;

    use super::*;

    fn from_peer(peer: &str) -> u128 {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.extensions.insert(PeerAddr(peer.parse().unwrap()));
        ByAddress::default().key(&head).unwrap()
    }

    #[test]
    fn mapped_ipv4_clients_have_different_keys() {
        // express-rate-limit put all of them into one bucket (CVE-2026-30827).
        assert_ne!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("[::ffff:192.0.2.2]:1"));
        assert_eq!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("192.0.2.1:2"));
    }

    #[test]
    fn translated_ipv4_clients_have_different_keys() {
        let (one, other) = (from_peer("192.0.2.1:1"), from_peer("192.0.2.2:1"));
        for prefix in ["64:ff9b::", "64:ff9b:1::", "64:ff9b:1:7::"] {
            assert_eq!(from_peer(&format!("[{prefix}192.0.2.1]:1")), one, "{prefix}");
            assert_eq!(from_peer(&format!("[{prefix}192.0.2.2]:1")), other, "{prefix}");
        }
        let key = ByAddress::default().translated("2001:db8:9::/48").unwrap();
        let key_of = |address: &str| key.key_of(address.parse().unwrap());
        assert_eq!(key_of("2001:db8:9:c000:2:100::"), one);
        assert_eq!(key_of("2001:db8:8:c000:2:100::"), key_of("2001:db8:8:c000::"));
        let mut key = key;
        for _ in 0..3 {
            key = key.translated("2001:db8:7::/96").unwrap();
        }
        assert!(key.translated("2001:db8:7::/96").unwrap_err().to_string().contains("four"));
    }

    #[test]
    fn ipv6_network_of_64_bits_has_one_key() {
        assert_eq!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:1:ffff::2]:1"));
        assert_ne!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:2::1]:1"));
        assert_ne!(from_peer("[::1]:1"), from_peer("0.0.0.1:1"));
    }

    #[test]
    fn ipv6_prefix_sets_the_network_size() {
        let key = |bits, peer: &str| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.extensions.insert(PeerAddr(peer.parse().unwrap()));
            ByAddress::ipv6_prefix(bits).unwrap().key(&head).unwrap()
        };
        assert_eq!(key(48, "[2001:db8:1:1::1]:1"), key(48, "[2001:db8:1:2::1]:1"));
        assert_ne!(key(64, "[2001:db8:1:1::1]:1"), key(64, "[2001:db8:1:2::1]:1"));
        assert_ne!(key(32, "[::ffff:192.0.2.1]:1"), key(32, "[::ffff:192.0.2.2]:1"));
        for bits in [0, 31, 65, 128, 255] {
            assert!(ByAddress::ipv6_prefix(bits).is_err(), "{bits}");
        }
    }
}
