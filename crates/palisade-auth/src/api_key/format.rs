use palisade_core::ConfigError;
use sha2::{Digest, Sha256};

pub(super) const MAX_PREFIX: usize = 32;
const MAX_ID: usize = 64;
const MAX_SECRET: usize = 256;

/// A key from a request: its id, and the hash of its secret.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    pub(super) id: &'a str,
    pub(super) hash: [u8; 32],
}

impl<'a> Presented<'a> {
    /// `prefix "_" id "." secret`, each of its own alphabet and no longer than its cap.
    pub(super) fn parse(key: &'a [u8], prefix: &str) -> Option<Self> {
        if key.len() > MAX_PREFIX + MAX_ID + MAX_SECRET + 2 {
            return None;
        }
        let rest = key.strip_prefix(prefix.as_bytes())?.strip_prefix(b"_")?;
        let (id, secret) = std::str::from_utf8(rest).ok()?.split_once('.')?;
        let is_id =
            (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_secret = (1..=MAX_SECRET).contains(&secret.len())
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (is_id && is_secret).then(|| Self { id, hash: hash_of(secret) })
    }
}

/// Hashes a secret. A fast hash is enough, because a secret of 256 random bits cannot be guessed from its hash, and a slow one
/// would help denial-of-service attacks.
pub(super) fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    let is_prefix_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.bytes().all(is_prefix_byte) {
        return Ok(());
    }
    Err(ConfigError::new(
        "prefix",
        prefix.escape_debug(),
        "use 1 to 32 letters, digits and underscores, such as `acme_live`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_keys_of_prefix_id_and_secret_only() {
        let long =
            |id: usize, secret: usize| format!("sk_live_{}.{}", "i".repeat(id), "s".repeat(secret));
        for good in ["sk_live_a1.S-_9", "sk_live_0.x", &long(64, 256)] {
            assert!(Presented::parse(good.as_bytes(), "sk_live").is_some(), "{good}");
        }
        for bad in [
            "",
            "sk_live",
            "sk_live_",
            "sk_live_.",
            "sk_live_a.",
            "sk_live_.s",
            "sk_live_a",
            "sk_live_a s",
            "sk_test_a.s",
            "SK_LIVE_a.s",
            "sk_livea.s",
            " sk_live_a.s",
            "sk_live_a.s ",
            "sk_live_a.s.t",
            "sk_live_a_b.s",
            "sk_live_a-b.s",
            "sk_live_a.s=",
            "sk_live_a.s+t",
            "sk_live_\u{e9}.s",
            "sk_live_a.\u{e9}",
            "sk_live_a.s\u{0}",
            "sk_live__a.s",
            &long(65, 1),
            &long(1, 257),
            &long(64, 257),
            &long(10, 100_000),
        ] {
            assert!(Presented::parse(bad.as_bytes(), "sk_live").is_none(), "{bad:?}");
        }
        assert!(Presented::parse(b"sk_live_a.\xff", "sk_live").is_none());
    }

    #[test]
    fn the_hash_is_sha_256_of_the_secret_alone() {
        let key = Presented::parse(b"sk_a1.abc", "sk").unwrap();
        assert_eq!((key.id, key.hash[..4].to_vec()), ("a1", vec![0xba, 0x78, 0x16, 0xbf]));
    }

    #[test]
    fn prefix_is_at_most_32_letters_digits_and_underscores() {
        for prefix in ["sk", "acme_live", &"a".repeat(32)] {
            assert_eq!(check_prefix(prefix), Ok(()));
        }
        for prefix in ["", "a-b", "a.b", "a b", "\u{e9}", &"a".repeat(33)] {
            assert_eq!(check_prefix(prefix).unwrap_err().setting(), "prefix", "{prefix:?}");
        }
    }
}
