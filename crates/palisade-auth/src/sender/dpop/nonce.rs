use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use palisade_core::{ConfigError, Secret};
use sha2::Sha256;

/// Nonces that need no store: the time of issue and its HMAC, so that every machine with the secret accepts them.
#[derive(Clone)]
pub(super) struct Nonces {
    key: Hmac<Sha256>,
    /// Seconds.
    lifetime: u64,
}

impl Nonces {
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(super) fn new(secret: &Secret, lifetime: Duration) -> Result<Self, ConfigError> {
        if secret.len() < 32 {
            let remedy = "the secret needs at least 32 bytes: `openssl rand -base64 32` makes one";
            return Err(ConfigError::without_value("nonces", remedy));
        }
        let lifetime = lifetime.as_secs();
        if !(10..=3600).contains(&lifetime) {
            return Err(ConfigError::new("nonces", lifetime, "use a lifetime of 10 s to 1 h"));
        }
        let key = Hmac::new_from_slice(secret.expose())
            .map_err(|_| ConfigError::without_value("nonces", "the secret is not a key"))?;
        Ok(Self { key, lifetime })
    }

    pub(super) fn issue(&self, now: Duration) -> String {
        let time = now.as_secs().to_be_bytes();
        URL_SAFE_NO_PAD.encode([&time[..], &self.tag(time)].concat())
    }

    pub(super) fn accepts(&self, nonce: &str, now: Duration) -> bool {
        let mut bytes = [0; 24];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(24) {
            return false;
        }
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[..8]);
        let mut mac = self.key.clone();
        mac.update(&time);
        let issued = u64::from_be_bytes(time);
        // Another machine's clock may be a little ahead.
        let is_fresh = now.as_secs().abs_diff(issued) <= self.lifetime;
        mac.verify_truncated_left(&bytes[8..]).is_ok() && is_fresh
    }

    /// The time for which a proof with an accepted nonce could be sent again.
    pub(super) fn window(&self) -> Duration {
        Duration::from_secs(2 * self.lifetime + 1)
    }

    fn tag(&self, time: [u8; 8]) -> [u8; 16] {
        let mut mac = self.key.clone();
        mac.update(&time);
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_expire_and_cannot_be_forged() {
        let nonces = |secret: &str| Nonces::new(&secret.into(), Duration::from_secs(60)).unwrap();
        let (ours, theirs) = (nonces(&"a".repeat(32)), nonces(&"b".repeat(32)));
        let now = Duration::from_secs(1_800_000_000);
        let nonce = ours.issue(now);
        assert!(ours.accepts(&nonce, now));
        assert!(ours.accepts(&nonce, now + Duration::from_secs(60)));
        assert!(!ours.accepts(&nonce, now + Duration::from_secs(61)));
        assert!(!ours.accepts(&nonce, now - Duration::from_secs(61)));
        assert!(!theirs.accepts(&nonce, now));
        let changed = format!("{}A", &nonce[..nonce.len() - 1]);
        for bad in ["", "a", &nonce[1..], &format!("{nonce}A"), &"A".repeat(200)] {
            assert!(!ours.accepts(bad, now), "{bad}");
        }
        assert!(changed == nonce || !ours.accepts(&changed, now));
        assert!(Nonces::new(&"short".into(), Duration::from_secs(60)).is_err());
        assert!(Nonces::new(&"a".repeat(32).into(), Duration::ZERO).is_err());
    }
}
