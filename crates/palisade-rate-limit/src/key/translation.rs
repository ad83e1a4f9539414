//! IPv4 addresses embedded in IPv6 ones by translators (RFC 6052, section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use palisade_core::ConfigError;

/// The prefix of a translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    prefix: u128,
    bits: u8,
}

/// `64:ff9b::/96` of RFC 6052.
const WELL_KNOWN: Translation = Translation { prefix: 0x0064_ff9b << 96, bits: 96 };

/// `64:ff9b:1::/48` of RFC 8215, of which a network may use any part with a prefix of any length.
const LOCAL_USE: Translation = Translation { prefix: 0x0064_ff9b_0001 << 80, bits: 48 };

/// Returns the IPv4 address that is embedded in an address with one of the two prefixes that are reserved for translators.
///
/// RFC 8215 leaves the length of a local prefix open. The last 32 bits of an address are zeros if the prefix has 48 or 56
/// bits, and the IPv4 address itself if it has 96, which is the usual length. A network with a local prefix of 64 bits
/// has to configure it.
pub(super) fn well_known(address: Ipv6Addr) -> Option<Ipv4Addr> {
    WELL_KNOWN.inside(address).or_else(|| {
        let has_tail = address.to_bits() as u32 != 0;
        let bits = if has_tail { 96 } else { LOCAL_USE.bits };
        LOCAL_USE.holds(address).then(|| embedded(address, bits))
    })
}

impl Translation {
    /// # Errors
    ///
    /// If the text is not a prefix of one of the lengths of RFC 6052.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let refused = || {
            let remedy = "write the prefix of a translator as in `2001:db8:64::/96`, with 32, 40, 48, 56, 64 or 96 bits";
            ConfigError::new("translated", text.escape_debug(), remedy)
        };
        let (prefix, bits) = text.split_once('/').ok_or_else(refused)?;
        let prefix = prefix.parse::<Ipv6Addr>().map_err(|_| refused())?.to_bits();
        let bits = bits.parse().map_err(|_| refused())?;
        let fits = matches!(bits, 32 | 40 | 48 | 56 | 64 | 96);
        if !fits || prefix << bits != 0 {
            return Err(refused());
        }
        Ok(Self { prefix, bits })
    }

    /// Returns the IPv4 address inside an address, if the address has the prefix.
    pub(super) fn inside(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        self.holds(address).then(|| embedded(address, self.bits))
    }

    fn holds(self, address: Ipv6Addr) -> bool {
        address.to_bits() >> (128 - self.bits) == self.prefix >> (128 - self.bits)
    }
}

/// Returns the 32 bits that follow a prefix, without bits 64 to 71, which are reserved.
fn embedded(address: Ipv6Addr, prefix: u8) -> Ipv4Addr {
    let octets = address.octets();
    let mut after = octets.iter().enumerate().skip(usize::from(prefix / 8));
    let mut next = || after.find(|(at, _)| *at != 8).map_or(0, |(_, octet)| *octet);
    Ipv4Addr::from([next(), next(), next(), next()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6052, section 2.4.
    #[test]
    fn reads_the_examples_of_the_rfc() {
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            let translation = Translation::parse(prefix).unwrap();
            let inside = translation.inside(address.parse().unwrap());
            assert_eq!(inside, Some(Ipv4Addr::new(192, 0, 2, 33)), "{prefix}");
            assert_eq!(translation.inside("2001:db9::1".parse().unwrap()), None);
        }
    }

    #[test]
    fn recognizes_the_reserved_prefixes() {
        for (address, inside) in [
            ("64:ff9b::192.0.2.33", Some([192, 0, 2, 33])),
            ("64:ff9b:1::192.0.2.33", Some([192, 0, 2, 33])),
            ("64:ff9b:1:fffe::192.0.2.33", Some([192, 0, 2, 33])),
            ("64:ff9b:1:c000:2:2100::", Some([192, 0, 2, 33])),
            ("64:ff9b:0:1::192.0.2.33", None),
            ("64:ff9b:2::192.0.2.33", None),
            ("2001:db8::192.0.2.33", None),
        ] {
            let found = well_known(address.parse().unwrap());
            assert_eq!(found, inside.map(Ipv4Addr::from), "{address}");
        }
    }

    #[test]
    fn rejects_invalid_prefix_lengths_and_stray_bits() {
        for text in [
            "",
            "2001:db8::",
            "2001:db8::/33",
            "2001:db8::/128",
            "2001:db8::/0",
            "192.0.2.0/24",
            "2001:db8::1/96",
            "2001:db8:1::/32",
            "2001:db8::/x",
        ] {
            let error = Translation::parse(text).unwrap_err().to_string();
            assert!(error.contains("translated") && error.contains("2001:db8:64::/96"), "{error}");
        }
    }
}
