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

    /// Returns for how long proofs with this nonce are accepted, or `None` if it is not valid.
    pub(super) fn time_left(&self, nonce: &str, now: Duration) -> Option<Duration> {
        let mut bytes = [0; 24];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(24) {
            return None;
        }
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[..8]);
        let mut mac = self.key.clone();
        mac.update(&time);
        let (issued, now) = (u64::from_be_bytes(time), now.as_secs());
        // Another machine's clock may be a little ahead.
        let is_fresh = now.abs_diff(issued) <= self.lifetime;
        let is_ours = mac.verify_truncated_left(&bytes[8..]).is_ok();
        // One second more, because the time of issue is rounded.
        (is_ours && is_fresh)
            .then(|| Duration::from_secs((issued + self.lifetime + 1).saturating_sub(now)))
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
        let accepts = |nonces: &Nonces, nonce: &str, now| nonces.time_left(nonce, now).is_some();
        let nonce = ours.issue(now);
        assert!(accepts(&ours, &nonce, now));
        assert!(accepts(&ours, &nonce, now + Duration::from_secs(60)));
        assert!(!accepts(&ours, &nonce, now + Duration::from_secs(61)));
        assert!(!accepts(&ours, &nonce, now - Duration::from_secs(61)));
        assert!(!accepts(&theirs, &nonce, now));
        let changed = format!("{}A", &nonce[..nonce.len() - 1]);
        for bad in ["", "a", &nonce[1..], &format!("{nonce}A"), &"A".repeat(200)] {
            assert!(!accepts(&ours, bad, now), "{bad}");
        }
        assert!(changed == nonce || !accepts(&ours, &changed, now));
        let left = |age| ours.time_left(&nonce, now + Duration::from_secs(age)).unwrap().as_secs();
        assert_eq!((left(0), left(50), left(60)), (61, 11, 1));
        assert!(Nonces::new(&"short".into(), Duration::from_secs(60)).is_err());
        assert!(Nonces::new(&"a".repeat(32).into(), Duration::ZERO).is_err());
    }
}
