use palisade_core::ConfigError;

use super::{algorithm::Algorithm, key::VerifyingKey, token::Fault, unusable::NOT_FOR_SIGNATURES};

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct KeySet {
    pub(super) entries: Box<[Entry]>,
    /// The names of all keys, including those that cannot be used.
    pub(super) ids: Box<[Box<str>]>,
    skipped: Box<[Skipped]>,
}

/// A key of a set that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) kid: Option<Box<str>>,
    pub(super) reason: &'static str,
}

/// A key, for one algorithm, and its name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kid: Option<Box<str>>,
    pub(super) key: VerifyingKey,
    /// True if the key says that it is for this algorithm, or if it is the usual one of its type.
    pub(super) is_usual: bool,
}

/// The result of looking up a token's `alg` and `kid` in a key set.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    Key(&'a VerifyingKey),
    Refused(Fault),
}

impl KeySet {
    pub(super) fn new(entries: Vec<Entry>, ids: Vec<Box<str>>) -> Self {
        Self { entries: entries.into(), ids: ids.into(), skipped: Box::default() }
    }

    pub(super) fn with_skipped(self, skipped: Vec<Skipped>) -> Self {
        Self { skipped: skipped.into(), ..self }
    }

    /// Creates a set of a single key without a name, which is used for any `kid`.
    pub(super) fn single(key: VerifyingKey) -> Self {
        Self::new(vec![Entry { kid: None, key, is_usual: true }], Vec::new())
    }

    /// Returns an error if no token could ever name one of two keys that are for one of the `allowed` algorithms. A key
    /// id may name keys for several algorithms: the token's `alg` decides between them.
    pub(super) fn check_ids(&self, allowed: &[Algorithm]) -> Result<(), ConfigError> {
        let mut names: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.is_for(allowed))
            .map(|entry| (entry.kid.as_deref(), entry.key.algorithm().name()))
            .collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]) {
            None => Ok(()),
            Some((Some(kid), algorithm)) => Err(ConfigError::new(
                "kid",
                kid.escape_debug(),
                format!("two keys for {algorithm} have it: give each key a `kid` of its own"),
            )),
            Some((None, algorithm)) => Err(ConfigError::without_value(
                "kid",
                format!("two keys for {algorithm} have none: give each key a `kid`"),
            )),
        }
    }

    /// The algorithms of the keys that are for one of the `allowed`.
    pub(super) fn algorithms(&self, allowed: &[Algorithm]) -> impl Iterator<Item = Algorithm> {
        let entries = self.entries.iter().filter(|entry| entry.is_for(allowed));
        entries.map(|entry| entry.key.algorithm())
    }

    /// The one key for a token. With a `kid` it is the one of that name; without, there must be only one that fits.
    /// A key without a name is taken by a token that names one only if it is the only key.
    ///
    /// Of a key that may be used with several algorithms, those that are `allowed` count; if none are named, the usual.
    pub(super) fn choose(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        allowed: &[Algorithm],
    ) -> Choice<'_> {
        if let ([only], true) = (&*self.entries, self.ids.is_empty()) {
            return if only.key.algorithm() == algorithm && only.is_for(allowed) {
                Choice::Key(&only.key)
            } else {
                Choice::Refused(Fault::Algorithm)
            };
        }
        let named = |entry: &&Entry| kid.is_none() || entry.kid.as_deref() == kid;
        if kid.is_some_and(|kid| !self.ids.iter().any(|id| **id == *kid)) {
            return Choice::Refused(Fault::UnknownKey);
        }
        let mut fitting = self
            .entries
            .iter()
            .filter(named)
            .filter(|entry| entry.key.algorithm() == algorithm && entry.is_for(allowed));
        match (fitting.next(), fitting.next()) {
            (Some(entry), None) => Choice::Key(&entry.key),
            (None, _) => Choice::Refused(Fault::Algorithm),
            // Trying each of them would let a token choose, and make a bad one cost as many signatures.
            (Some(_), Some(_)) => Choice::Refused(Fault::AmbiguousKey),
        }
    }
}

impl Entry {
    fn is_for(&self, allowed: &[Algorithm]) -> bool {
        if allowed.is_empty() { self.is_usual } else { allowed.contains(&self.key.algorithm()) }
    }
}

impl KeySet {
    /// Logs the keys that cannot be used and were not in the previous set: each one once.
    pub(super) fn log_skipped(&self, previous: Option<&Self>) {
        let ambiguous = self.check_ids(&[]).err();
        let was_ambiguous = previous.is_some_and(|previous| previous.check_ids(&[]).is_err());
        if let Some(error) = ambiguous.filter(|_| !was_ambiguous) {
            tracing::warn!(target: "palisade::auth", reason = %error, "keys are skipped");
        }
        for Skipped { kid, reason } in &self.skipped {
            let is_known = previous.is_some_and(|previous| {
                previous.skipped.iter().any(|old| old.kid == *kid && old.reason == *reason)
            });
            if is_known {
                continue;
            }
            let kid = kid.as_deref();
            if *reason == NOT_FOR_SIGNATURES.0 {
                // Usual: Keycloak publishes a key for encryption in every set.
                tracing::info!(target: "palisade::auth", kid, reason, "a key is skipped");
            } else {
                tracing::warn!(target: "palisade::auth", kid, reason, "a key is skipped");
            }
        }
    }
}

#[cfg(all(test, feature = "jwks", feature = "_public-keys"))]
mod tests {
    use palisade_core::testing::Log;

    use super::*;
    use crate::{jwks::RemoteKeySet, jwt::jwk};

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn fetched_secrets_are_not_keys() {
        let secret = "c2VjcmV0IG9mIHNpeHR5LWZvdXIgYnl0ZXMgdGhhdCBhbnkgY2xpZW50IGNhbiBmZXRjaCwgaGVuY2Ugbm9uZQ";
        let key = format!(r#"{{"kty":"oct","kid":"a","alg":"HS256","k":"{secret}"}}"#);
        let set = KeySet::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes(), None).unwrap();
        for kid in [Some("a"), None] {
            let choice = set.choose(Algorithm::Hs256, kid, &[]);
            assert!(matches!(choice, Choice::Refused(_)), "{choice:?}");
        }
        assert!(jwk::read_one(key.as_bytes(), jwk::Origin::Configured).is_ok());
    }

    #[test]
    fn skipped_keys_are_logged_once_with_the_reason() {
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{X}"}}"#);
        let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"b","x":"{X}","d":"{X}"}}"#);
        let encrypts = r#"{"kty":"RSA","kid":"c","use":"enc","n":"AQAB","e":"AQAB"}"#;
        let unknown = r#"{"kty":"AKP","kid":"d"}"#;
        let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        let first = set(&[&good, &private, encrypts]);

        let logged = |document: &str, previous: Option<&KeySet>| {
            let log = Log::of_this_thread(tracing::Level::INFO);
            let keys = KeySet::parse(document.as_bytes(), previous).unwrap();
            (keys, log.text())
        };
        let (held, log) = logged(&first, None);
        assert_eq!(log.matches("a key is skipped").count(), 2, "{log}");
        assert!(log.contains("private key") && log.contains("not for verifying"), "{log}");
        assert!(!log.contains(X), "{log}");
        let second = set(&[&private, &good, encrypts, unknown]);
        let (held, log) = logged(&second, Some(&held));
        assert_eq!(log.matches("a key is skipped").count(), 1, "{log}");
        assert!(log.contains("kid=\"d\""), "{log}");
        let twice = set(&[&good, &good]);
        let (_, log) = logged(&twice, Some(&held));
        assert_eq!(log, "", "the same key twice is one key");
    }
}
