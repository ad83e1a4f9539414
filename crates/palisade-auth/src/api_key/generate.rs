use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use palisade_core::{ConfigError, Principal, syntax::LowerHex};

use super::{
    format::{check_prefix, hash_of},
    record::{ApiKey, ApiKeyRecord},
};

impl ApiKey {
    /// A new key for `owner`, with a secret of 256 random bits from the operating system.
    ///
    /// ```
    /// use palisade_auth::ApiKey;
    /// use palisade_core::Principal;
    ///
    /// let key = ApiKey::generate("acme", Principal::new("billing"))?;
    /// // shown to its owner, once
    /// assert!(key.plaintext().starts_with("acme_"));
    /// // and kept
    /// let record = key.into_record();
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `prefix` is not 1 to 32 letters, digits and underscores, or the operating system has no random numbers.
    pub fn generate(prefix: &str, owner: Principal) -> Result<NewApiKey, ConfigError> {
        check_prefix(prefix)?;
        let mut random = [0; 8 + 32];
        getrandom::fill(&mut random).map_err(|error| {
            let remedy = format!("the operating system must give random numbers: {error}");
            ConfigError::without_value("random numbers", remedy)
        })?;
        let (id, secret) = random.split_at(8);
        // Hexadecimal: an id has letters and digits only, so that a double click marks it whole in a log.
        let id = LowerHex(id).to_string();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let plaintext = format!("{prefix}_{id}.{secret}").into();
        Ok(NewApiKey { plaintext, record: ApiKeyRecord::new(id, hash_of(&secret), owner) })
    }
}

/// A key that was just made, by [`ApiKey::generate`]. This is the only time that its secret can be seen.
pub struct NewApiKey {
    plaintext: Box<str>,
    record: ApiKeyRecord,
}

impl NewApiKey {
    /// The whole key, as clients send it. Show it to its owner, and keep it nowhere.
    pub fn plaintext(&self) -> &str {
        &self.plaintext
    }

    /// Returns the record to store.
    pub fn record(&self) -> &ApiKeyRecord {
        &self.record
    }

    /// Converts the key into the record to store, without the secret.
    pub fn into_record(self) -> ApiKeyRecord {
        self.record
    }
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewApiKey").field(&self.record).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::format::Presented, *};

    #[test]
    fn generated_key_is_parsed_back() {
        let key = ApiKey::generate("acme_live", Principal::new("ada")).unwrap();
        let presented = Presented::parse(key.plaintext().as_bytes(), "acme_live").unwrap();
        assert_eq!(presented.id, key.record().id());
        assert!(bool::from(key.record().has_secret_of(&presented.hash)));
        let (_, secret) = key.plaintext().split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
        assert!(ApiKey::generate("a b", Principal::new("ada")).is_err());
    }

    #[test]
    fn generated_ids_and_secrets_are_unique() {
        let mut parts = HashSet::new();
        for _ in 0..100 {
            let key = ApiKey::generate("sk", Principal::new("ada")).unwrap();
            let (id, secret) = key.plaintext().split_once('.').unwrap();
            assert!(parts.insert(id.to_owned()) && parts.insert(secret.to_owned()));
        }
    }

    #[test]
    fn debug_shows_neither_the_secret_nor_its_hash() {
        let key = ApiKey::generate("sk", Principal::new("ada")).unwrap();
        let (_, secret) = key.plaintext().split_once('.').unwrap();
        let hash = format!("{:?}", key.record().secret_sha256());
        for shown in
            [format!("{key:?}"), format!("{:?}", key.record()), format!("{:#?}", key.record())]
        {
            assert!(!shown.contains(secret) && !shown.contains(&hash), "{shown}");
            assert!(shown.contains(key.record().id()) && shown.contains("ada"), "{shown}");
        }
    }
}
