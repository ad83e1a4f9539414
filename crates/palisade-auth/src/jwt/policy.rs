use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderName, request, response};
use palisade_core::{ApiError, Clock, Measured, Measurement, PolicyLayer, Secret};
use serde::de::DeserializeOwned;

use super::{
    algorithm::Algorithm,
    builder::JwtBuilder,
    cache::{BadSignatures, TokenCache},
    claims::Expectations,
    issuer_keys::IssuerKeys,
    keys::Keys,
};
use crate::{
    Attempt, Authenticate, Identity, access_token::TokenCheck, authenticate::policy_of, measured,
};

/// Authentication by a bearer JWT.
///
/// A request that is allowed has an [`Identity<C>`] and a [`Principal`](palisade_core::Principal) in its extensions; `C`
/// is the type of the claims, or `()` if the principal is enough. A request that is rejected gets 401 with a challenge, or
/// 400 for two credentials (RFC 6750, section 3.1). The failed check is logged at level INFO, at most ten times a second and else at DEBUG, target `palisade::auth`,
/// with the claim, the `kid`, the issuer and the reason, and never the token; the client does not learn it.
///
/// A token must be signed with the configured key and algorithm, which its header cannot change; contain `exp` and a subject;
/// name the configured issuer and one of the configured audiences; and have no `crit` and no duplicate members. `nbf` and
/// `iat` are checked if present. A registered claim that is `null` is absent.
///
/// Roles are read from the claim `roles`, tenants from `tenants`, and scopes from `scope` and `scp`. Each is a string or
/// a list of strings; a string of scopes is separated by spaces. See [`roles_at`](JwtBuilder::roles_at).
///
/// A verified token is remembered for a while, and then costs a hash and a comparison.
///
/// ```
/// use palisade_auth::Jwt;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Claims { sub: String }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
///     .issuer("https://issuer.example")
///     .audience("orders")
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct Jwt<C> {
    pub(super) rules: Arc<Rules<C>>,
}

pub(super) struct Rules<C> {
    pub(super) issuers: Vec<TrustedIssuer<C>>,
    pub(super) tokens: TokenCheck,
    pub(super) cache: TokenCache<C>,
    /// Seconds.
    pub(super) cache_for: f64,
    pub(super) bad: BadSignatures,
    /// How often all stored tokens were removed.
    pub(super) cleared: AtomicU64,
    pub(super) clock: Arc<dyn Clock>,
}

/// An issuer, with what its tokens must contain.
pub(super) struct TrustedIssuer<C> {
    pub(super) keys: IssuerKeys,
    pub(super) expectations: Expectations<C>,
}

impl<C> TrustedIssuer<C> {
    pub(super) fn name(&self) -> Option<&str> {
        self.expectations.issuer.as_deref()
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Jwt<C> {
    /// Tokens signed with HS256 and this secret, of at least 32 bytes.
    pub fn hs256(secret: impl Into<Secret>) -> JwtBuilder<C> {
        Self::with_keys(Keys::secret(Algorithm::Hs256, secret))
    }

    /// Tokens signed with one of these keys.
    pub fn with_keys(keys: Keys) -> JwtBuilder<C> {
        JwtBuilder::new(keys)
    }

    pub(super) fn from_rules(rules: Rules<C>) -> Self {
        Self { rules: Arc::new(rules) }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Verifies a token that does not come with a request: the first message of a WebSocket, an entry of a queue. All
    /// checks are those of a request, and a verified token is remembered in the same way. A token that is bound to a key of
    /// the client (`cnf`) is rejected, because nothing proves possession of the key here.
    ///
    /// ```
    /// # use palisade_auth::{Jwt, testing::sign_hs256};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "a signing key of at least thirty-two bytes";
    /// # let token = sign_hs256(secret, &serde_json::json!({ "sub": "ada", "aud": "orders", "exp": 4_102_444_800_u64 }));
    /// let auth = Jwt::<()>::hs256(secret).audience("orders").build()?;
    /// let identity = auth.verify(&token).await?;
    /// assert_eq!(identity.principal().subject(), "ada");
    /// assert_eq!(auth.verify("not a token").await.unwrap_err().status(), 401);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// 401 if the token is not valid; the error of [`validate`](JwtBuilder::validate); 503 if the issuer's keys cannot
    /// be fetched.
    pub async fn verify(&self, token: &str) -> Result<Identity<C>, ApiError> {
        self.verify_credential(token).outcome().await
    }

    /// Removes all remembered tokens. Each is verified again when it is used next.
    pub fn clear(&self) {
        self.rules.cleared.fetch_add(1, Ordering::AcqRel);
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Authenticate for Jwt<C> {
    type Claims = C;

    fn authenticate(&self, request: &request::Parts) -> Attempt<C> {
        self.rules.tokens.authenticate(request, |token| self.verify_token(token))
    }

    fn verify_credential(&self, token: &str) -> Attempt<C> {
        let rules = Arc::clone(&self.rules);
        self.verify_token(token.as_bytes()).and_then(move |identity| {
            rules.tokens.check_without_request(&identity).map(|()| identity)
        })
    }

    fn invalid(&self) -> ApiError {
        self.rules.tokens.challenges.invalid()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.rules.tokens.fields()
    }

    fn hide_credentials(&self, request: &mut request::Parts) {
        self.rules.tokens.hide_credentials(request);
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.rules.tokens.mark_response(response);
    }
}

policy_of!([C] Jwt<C>);

/// Counts of the token cache. Rejected tokens are counted with the decisions of policies.
impl<C: Send + Sync + 'static> Measured for Jwt<C> {
    fn measure(&self) -> Vec<Measurement> {
        let Some(counts) = self.rules.cache.counts() else { return Vec::new() };
        vec![
            measured::CACHE_HITS.at(counts.hits as f64),
            measured::CACHE_MISSES.at(counts.misses as f64),
            measured::CACHE_EVICTIONS.at(counts.evictions as f64),
        ]
    }
}

impl<C> Clone for Jwt<C> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules) }
    }
}

impl<C> fmt::Debug for Jwt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers =
            self.rules.issuers.iter().map(|issuer| (issuer.name(), &issuer.expectations.audience));
        f.debug_struct("Jwt").field("issuers", &issuers.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
