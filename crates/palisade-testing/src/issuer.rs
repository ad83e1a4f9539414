use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri};
use palisade_auth::{
    Algorithm, Fetch, Fetched, Introspection, IntrospectionBuilder, Jwks, Keys, SigningKey,
    testing::OpaqueIssuer,
};
use palisade_core::{BoxError, BoxFuture, Clock, ManualClock, Secret, SystemClock};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const CLIENT: (&str, &str) = ("test-client", "test-secret");

/// An issuer for tests: a key pair, the tokens that it signs, and opaque tokens that it answers questions about.
///
/// Its name is `https://issuer.test`, and its tokens are for the audience `test`, until [`named`](Self::named) and
/// [`for_audience`](Self::for_audience) set those of the service. Clones share keys and tokens.
#[cfg_attr(any(feature = "aws-lc", feature = "rust-crypto"), doc = "```")]
#[cfg_attr(not(any(feature = "aws-lc", feature = "rust-crypto")), doc = "```ignore")]
/// use palisade_auth::Jwt;
/// use palisade_testing::TestIssuer;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issuer = TestIssuer::new().for_audience("orders");
/// // the service under test
/// let auth = Jwt::<()>::with_keys(issuer.keys()).issuer(issuer.name()).audience("orders").build()?;
///
/// let ada = issuer.token("ada").role("admin").tenant("acme").build();
/// assert!(auth.verify(&ada).await.unwrap().principal().has_role("admin"));
/// for invalid in [
///     issuer.token("ada").expired(),
///     issuer.token("ada").not_yet_valid(),
///     issuer.token("ada").for_audience("billing"),
///     issuer.token("ada").from_issuer("https://another.test"),
///     issuer.token("ada").tampered(),
///     issuer.token("ada").signed_by_unknown_key(),
/// ] {
///     assert!(auth.verify(&invalid.build()).await.is_err());
/// }
/// # Ok::<_, palisade_core::ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct TestIssuer {
    name: String,
    audience: String,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The last one signs.
    keys: RwLock<Vec<SigningKey>>,
    /// Of HS256.
    secret: Option<Secret>,
    unknown: SigningKey,
    opaque: OpaqueIssuer,
    tokens: AtomicU64,
}

impl TestIssuer {
    /// Creates an issuer that signs with a fixed Ed25519 key (`EdDSA`).
    #[cfg(any(feature = "aws-lc", feature = "rust-crypto"))]
    #[allow(clippy::new_without_default, reason = "the name says that it is for tests")]
    pub fn new() -> Self {
        // The key of RFC 8037, appendix A.1, which the whole world knows.
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"test-1","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        Self::with_key(SigningKey::jwk(jwk).expect("a valid key"))
    }

    /// Creates an issuer that shares a secret with the service, for [`Jwt::hs256`](palisade_auth::Jwt::hs256).
    ///
    /// # Panics
    ///
    /// If the secret has less than 32 bytes.
    #[track_caller]
    pub fn hs256(secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        match SigningKey::secret(Algorithm::Hs256, secret.clone()) {
            Ok(key) => Self::from_key(key, Some(secret)),
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates an issuer that signs with this key, for services that accept one algorithm only.
    pub fn with_key(key: SigningKey) -> Self {
        Self::from_key(key, None)
    }

    fn from_key(key: SigningKey, secret: Option<Secret>) -> Self {
        let unknown = SigningKey::generate(key.algorithm())
            .and_then(|unknown| unknown.with_id("unknown"))
            .expect("a key of an algorithm that the other key has");
        let shared = Shared {
            keys: RwLock::new(vec![key]),
            secret,
            unknown,
            opaque: OpaqueIssuer::new(CLIENT.0, CLIENT.1),
            tokens: AtomicU64::new(0),
        };
        Self {
            name: "https://issuer.test".to_owned(),
            audience: "test".to_owned(),
            clock: SystemClock::shared(),
            shared: Arc::new(shared),
        }
    }

    /// Sets the name (`iss`) that the service trusts.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the audience (`aud`) that the service requires.
    #[must_use]
    pub fn for_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// Issues tokens by this clock, which the service has too. Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Arc::new(clock.clone());
        self
    }

    /// Returns the name of the issuer (`iss`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the audience of its tokens (`aud`).
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Returns the keys of this moment, for [`Jwt::with_keys`](palisade_auth::Jwt::with_keys).
    pub fn keys(&self) -> Keys {
        match &self.shared.secret {
            Some(secret) => Keys::secret(Algorithm::Hs256, secret.clone()),
            None => Keys::jwk_set(self.key_set().to_string()),
        }
    }

    /// Returns published keys that follow [`rotate`](Self::rotate), without a server.
    pub fn jwks(&self) -> Jwks {
        let jwks = Jwks::url("https://issuer.test/jwks").fetch(self.clone()).build();
        jwks.expect("a valid address")
    }

    /// Returns the public keys as a JWK set.
    pub fn key_set(&self) -> Value {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<_> = keys.iter().filter_map(SigningKey::public_jwk).collect();
        json!({ "keys": keys })
    }

    /// Signs with a new key from now on. Tokens of the keys before stay valid, as in a real rotation.
    ///
    /// # Panics
    ///
    /// For an issuer of [`hs256`](Self::hs256): a shared secret is not published.
    #[track_caller]
    pub fn rotate(&self) {
        assert!(
            self.shared.secret.is_none(),
            "a shared secret does not rotate: use `TestIssuer::new()`"
        );
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        let id = format!("test-{}", keys.len() + 1);
        let key = SigningKey::generate(keys[0].algorithm()).and_then(|key| key.with_id(id));
        keys.push(key.expect("a key of the same algorithm"));
    }

    /// Withdraws all keys but the current one. Their tokens are no longer valid, once the service has fetched the keys again.
    pub fn withdraw_old_keys(&self) {
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        let old = keys.len() - 1;
        keys.drain(..old);
    }

    /// Begins an [`Introspection`] that asks this issuer about opaque tokens, without a server.
    pub fn introspection<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> IntrospectionBuilder<C> {
        Introspection::endpoint("https://issuer.test/introspect")
            .client_secret_basic(CLIENT.0, CLIENT.1)
            .issuer(self.name())
            .audience(self.audience())
            .fetch(self.shared.opaque.clone())
    }

    /// Returns the client id and secret that the introspection endpoint accepts.
    pub fn client_credentials(&self) -> (&'static str, &'static str) {
        CLIENT
    }

    /// Revokes an opaque token.
    pub fn revoke(&self, token: &str) {
        self.shared.opaque.revoke(token);
    }

    pub(crate) fn opaque_issuer(&self) -> &OpaqueIssuer {
        &self.shared.opaque
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.unix()
    }

    /// Returns an id that no other token has.
    pub(crate) fn next_id(&self) -> String {
        format!("test-{}", self.shared.tokens.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn sign(&self, claims: &Map<String, Value>, with_unknown_key: bool) -> String {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.last().filter(|_| !with_unknown_key).unwrap_or(&self.shared.unknown);
        key.sign(claims).expect("a test key signs any claims")
    }
}

/// Fetches keys and answers introspection requests without a server.
impl Fetch for TestIssuer {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        let document = match url.path() {
            path if path.ends_with("/.well-known/openid-configuration") => {
                let jwks_uri = format!("{}/.well-known/jwks.json", self.name.trim_end_matches('/'));
                json!({ "issuer": self.name, "jwks_uri": jwks_uri })
            }
            _ => self.key_set(),
        };
        Box::pin(async move { Ok(Fetched::new(document.to_string())) })
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        self.shared.opaque.post(request)
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer")
            .field("name", &self.name)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
