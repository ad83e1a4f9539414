use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use palisade_core::{Clock, ConfigError};
use serde_json::Value;

use super::{
    builder::TokenIssuerBuilder, key_ring::KeyRing, new_token::NewToken, signing_key::SigningKey,
};
use crate::jwt::Keys;

/// A clock that is behind accepts a token for so much longer: the skew of [`Jwt`](crate::Jwt).
const SKEW: Duration = Duration::from_secs(60);

/// Issues signed tokens, changes its keys, and publishes them as a JWK set.
///
/// A token has `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and a random `jti`, and the `kid` of its key. For a service that logs
/// users in itself; a service whose users log in elsewhere only [verifies](crate::Jwt).
///
/// ```
/// # #[cfg(any(feature = "aws-lc", feature = "rust-crypto"))] {
/// use palisade_auth::{Algorithm, Authenticate, Jwt, SigningKey, TokenIssuer};
///
/// let key = SigningKey::generate(Algorithm::Es256)?;
/// let issuer = TokenIssuer::new("https://login.example.com", key).audience("orders").build()?;
/// let token = issuer.token("ada").roles(["admin"]).tenants(["acme"]).sign()?;
///
/// // in the same process; other services fetch the published keys
/// let auth = Jwt::<()>::with_keys(issuer.keys())
///     .issuer("https://login.example.com")
///     .audience("orders")
///     .build()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let identity = auth.verify(token.as_str()).await.unwrap();
/// assert!(identity.principal().has_role("admin"));
/// # });
///
/// // tokens of the key before remain valid
/// issuer.rotate(SigningKey::generate(Algorithm::Es256)?)?;
/// assert_eq!(issuer.key_set()["keys"].as_array().unwrap().len(), 2);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Clones are the same issuer.
#[doc(alias = "Issuer")]
#[doc(alias = "sign")]
#[derive(Clone)]
pub struct TokenIssuer(Arc<Inner>);

struct Inner {
    settings: Settings,
    keys: RwLock<KeyRing>,
}

pub(super) struct Settings {
    pub(super) name: String,
    pub(super) audiences: Vec<String>,
    pub(super) lifetime: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) access_tokens: bool,
    pub(super) cache_keys_for: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settings {
    /// Returns the time for which a key verifies tokens after it signed the last one.
    pub(super) fn longest_use(&self) -> Duration {
        self.max_lifetime.saturating_add(SKEW)
    }
}

impl TokenIssuer {
    /// Creates an issuer with this name (`iss`), usually its URL, that signs with this key.
    #[allow(clippy::new_ret_no_self, reason = "an issuer is built, like every policy")]
    pub fn new(name: impl Into<String>, key: SigningKey) -> TokenIssuerBuilder {
        TokenIssuerBuilder::new(name.into(), key)
    }

    pub(super) fn from_parts(settings: Settings, keys: KeyRing) -> Self {
        Self(Arc::new(Inner { settings, keys: RwLock::new(keys) }))
    }

    /// Returns the issuer's name (`iss`).
    pub fn name(&self) -> &str {
        &self.0.settings.name
    }

    /// Begins a token for this subject (`sub`).
    pub fn token(&self, subject: impl Into<String>) -> NewToken<'_> {
        NewToken::new(self, subject.into())
    }

    /// Publishes the key of the next rotation, which does not sign yet. Services that cache the keys then know it when the
    /// first token comes; [`Jwks`](crate::Keys) also fetches the keys again for a `kid` that it does not know.
    ///
    /// # Errors
    ///
    /// If the key has no id, or the id of another key.
    pub fn announce(&self, key: &SigningKey) -> Result<(), ConfigError> {
        self.change(|keys, _| keys.announce(key))
    }

    /// Signs with this key from now on. The public key before it stays published for `max_lifetime` and 60 s, when the last
    /// token that it signed has expired.
    ///
    /// # Errors
    ///
    /// If the key or the current one has no id, or the key has the id of another one that is not
    /// [announced](Self::announce).
    pub fn rotate(&self, key: SigningKey) -> Result<(), ConfigError> {
        let settings = self.settings();
        self.change(|keys, now| keys.rotate(key, now.saturating_add(settings.longest_use())))
    }

    /// Returns the public keys as a JWK set (RFC 7517, section 5): the current one, those announced, and those whose tokens can
    /// still be valid. Secrets (HMAC) are not in it.
    pub fn key_set(&self) -> Value {
        self.pruned(KeyRing::public_keys)
    }

    /// Returns the keys that verify the issuer's tokens, for a [`Jwt`](crate::Jwt) in the same process. They are those of this
    /// moment; a policy that follows rotations fetches them:
    /// `Jwks::url("https://login.example.com/jwks").fetch(issuer.clone())` (feature `jwks`).
    pub fn keys(&self) -> Keys {
        Keys::jwk_set(self.pruned(KeyRing::verifying_keys))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn signing_key(&self) -> SigningKey {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).current().clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut KeyRing, Duration) -> T) -> T {
        let now = self.settings().clock.unix();
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.prune(now);
        change(&mut keys, now)
    }

    fn pruned<T>(&self, read: impl FnOnce(&KeyRing) -> T) -> T {
        self.change(|keys, _| read(keys))
    }
}

/// Fetches the keys without a network, for a [`Jwks`](crate::Jwks) in the same process. Any address has them, except that of the
/// metadata (OpenID Connect Discovery 1.0, section 4).
#[cfg(feature = "jwks")]
impl crate::Fetch for TokenIssuer {
    fn fetch(
        &self,
        url: &http::Uri,
    ) -> palisade_core::BoxFuture<Result<crate::Fetched, palisade_core::BoxError>> {
        let document = if url.path().ends_with("/.well-known/openid-configuration") {
            let name = self.name();
            let base = name.strip_suffix('/').unwrap_or(name);
            serde_json::json!({ "issuer": name, "jwks_uri": format!("{base}/.well-known/jwks.json") })
        } else {
            self.key_set()
        };
        Box::pin(async move { Ok(crate::Fetched::new(document.to_string())) })
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("settings", self.settings())
            .field("key", &self.signing_key())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("audiences", &self.audiences)
            .field("lifetime", &self.lifetime)
            .field("max_lifetime", &self.max_lifetime)
            .field("access_tokens", &self.access_tokens)
            .finish_non_exhaustive()
    }
}
