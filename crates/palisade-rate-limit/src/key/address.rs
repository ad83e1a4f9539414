use std::net::IpAddr;

use http::request;
use palisade_core::{ApiError, ClientIp, ConfigError};

use super::{
    Key,
    translation::{self, Translation},
};

/// Counts by the address of the client: [`ClientIp`], an IPv6 address by its /64.
///
/// One subscriber usually gets a whole /64 and could use a new address for every request; some get a /56 or a /48, for
/// which there is [`ByAddress::ipv6_prefix`].
///
/// An IPv4 client counts by its IPv4 address, however it arrives: mapped into IPv6 (`::ffff:192.0.2.1`), translated with
/// the well-known prefix `64:ff9b::/96` (RFC 6052) or within `64:ff9b:1::/48` (RFC 8215), or with a prefix of your own
/// ([`translated`](Self::translated)). Otherwise all IPv4 clients behind a translator would share one /64.
///
/// Behind a proxy the address is the proxy's, until [`TrustedProxies`](palisade_core::TrustedProxies) names the proxies
/// that are trusted.
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
    /// If there are fewer than 32, which would put a whole provider into one quota, or more than 64, which would give
    /// one subscriber as many quotas as it has addresses.
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

    /// Counts clients within this prefix by the IPv4 address that is embedded in theirs: the prefix of a NAT64, SIIT or
    /// SIIT-DC translator in front of the service (RFC 6052, section 2.2). At most four prefixes.
    ///
    /// # Errors
    ///
    /// If it is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, or there are more than four.
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

    /// Returns the key of an address: for a limit that is asked without a request, as by
    /// [`check`](crate::RateLimit::check).
    pub fn key_of(&self, address: IpAddr) -> u128 {
        let client = ClientIp::new(address);
        let configured = self.translated.iter().flatten();
        let inside = match client.ip() {
            IpAddr::V6(address) => {
                let found = configured.map(|prefix| prefix.inside(address)).find(Option::is_some);
                found.unwrap_or_else(|| translation::well_known(address))
            }
            IpAddr::V4(_) => None,
        };
        match inside.map_or_else(|| client.network_of(self.ipv6_prefix), IpAddr::V4) {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(network) => network.to_bits(),
        }
    }
}

/// How many prefixes of translators can be configured.
const MOST_TRANSLATIONS: usize = 4;

impl Key for ByAddress {
    /// The network as a number, an IPv4 address in its IPv6-mapped form: an IPv6 network has zeros where that has not.
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
    fn two_ipv4_clients_inside_ipv6_addresses_have_two_keys() {
        // express-rate-limit put all of them into one bucket (CVE-2026-30827).
        assert_ne!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("[::ffff:192.0.2.2]:1"));
        assert_eq!(from_peer("[::ffff:192.0.2.1]:1"), from_peer("192.0.2.1:2"));
    }

    #[test]
    fn ipv4_clients_behind_a_translator_have_keys_of_their_own() {
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
    fn one_64_bit_network_has_one_key_and_no_ipv4_client_shares_it() {
        assert_eq!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:1:ffff::2]:1"));
        assert_ne!(from_peer("[2001:db8:0:1::1]:1"), from_peer("[2001:db8:0:2::1]:1"));
        assert_ne!(from_peer("[::1]:1"), from_peer("0.0.0.1:1"));
    }

    #[test]
    fn an_ipv6_client_is_as_wide_as_it_is_said_to_be() {
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
