use std::time::Duration;

use palisade_core::{ConfigError, Secret};
use serde_json::{Value, json};

use super::signing_key::SigningKey;

/// The key that signs, and those that only verify.
pub(super) struct KeyRing {
    current: SigningKey,
    announced: Vec<VerifyingJwk>,
    retired: Vec<Retired>,
}

/// What is left of a key that does not sign.
struct VerifyingJwk {
    id: Option<Box<str>>,
    /// The public key, if it has one.
    public: Option<Value>,
    jwk: Secret,
}

struct Retired {
    key: VerifyingJwk,
    /// When its last token has expired, since the Unix epoch.
    until: Duration,
}

impl VerifyingJwk {
    fn new(key: &SigningKey) -> Self {
        Self { id: key.id().map(Into::into), public: key.public_jwk(), jwk: key.verifying_jwk() }
    }
}

impl KeyRing {
    pub(super) fn new(current: SigningKey) -> Self {
        Self { current, announced: Vec::new(), retired: Vec::new() }
    }

    pub(super) fn current(&self) -> &SigningKey {
        &self.current
    }

    /// Adds a key that does not sign yet.
    pub(super) fn announce(&mut self, key: &SigningKey) -> Result<(), ConfigError> {
        self.check_id(key)?;
        self.announced.push(VerifyingJwk::new(key));
        Ok(())
    }

    /// Adds a key that signed before, and is needed until this time.
    pub(super) fn retire(&mut self, key: &SigningKey, until: Duration) -> Result<(), ConfigError> {
        self.check_id(key)?;
        self.retired.push(Retired { key: VerifyingJwk::new(key), until });
        Ok(())
    }

    /// Signs with this key from now on, and keeps the one before until this time.
    pub(super) fn rotate(&mut self, key: SigningKey, until: Duration) -> Result<(), ConfigError> {
        let announced = self.announced.iter().position(|other| other.id.as_deref() == key.id());
        let announced = announced.map(|at| self.announced.remove(at));
        if let Err(error) = self.check_id(&key) {
            self.announced.extend(announced);
            return Err(error);
        }
        let before = std::mem::replace(&mut self.current, key);
        self.retired.push(Retired { key: VerifyingJwk::new(&before), until });
        Ok(())
    }

    /// Removes the keys whose tokens have expired.
    pub(super) fn prune(&mut self, now: Duration) {
        self.retired.retain(|retired| now < retired.until);
    }

    /// Services find a key by its id, so that each key beside others needs one of its own.
    fn check_id(&self, key: &SigningKey) -> Result<(), ConfigError> {
        let Some(id) = key.id() else {
            return Err(ConfigError::without_value(
                "kid",
                "a secret beside other keys needs an id: add `.with_id(…)` to each",
            ));
        };
        match self.current.id() {
            None => Err(ConfigError::without_value(
                "kid",
                "the current key has no id, so that services would not find another one: add `.with_id(…)` to it",
            )),
            Some(current)
                if current == id || self.others().any(|other| other.id.as_deref() == Some(id)) =>
            {
                Err(ConfigError::new(
                    "kid",
                    id.escape_debug(),
                    "another key has it: give each key an id of its own",
                ))
            }
            Some(_) => Ok(()),
        }
    }

    fn others(&self) -> impl Iterator<Item = &VerifyingJwk> {
        self.announced.iter().chain(self.retired.iter().map(|retired| &retired.key))
    }

    /// Returns the set of public keys (RFC 7517, section 5), the current one first.
    pub(super) fn public_keys(&self) -> Value {
        let others = self.others().filter_map(|key| key.public.clone());
        let keys: Vec<_> = self.current.public_jwk().into_iter().chain(others).collect();
        json!({ "keys": keys })
    }

    /// Returns the set of all keys that verify, with secrets.
    #[allow(
        clippy::disallowed_methods,
        reason = "the bytes go into the keys that are made of them"
    )]
    pub(super) fn verifying_keys(&self) -> Secret {
        let current = self.current.verifying_jwk();
        let keys = std::iter::once(&current).chain(self.others().map(|key| &key.jwk));
        let keys: Vec<_> = keys.map(|key| String::from_utf8_lossy(key.expose())).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into()
    }
}
