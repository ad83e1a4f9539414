use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::request;
use palisade_core::{ApiError, Clock, PolicyLayer, Secret};
use serde::de::DeserializeOwned;

use super::{
    algorithm::{Algorithm, Family},
    builder::JwtBuilder,
    cache::{BadSignatures, Generation, TokenCache},
    claims::Expectations,
    key_set::{Choice, KeySet},
    keys::Keys,
    registered::Registered,
    source::{self, Found, TokenSource},
    token::{Fault, Unverified},
};
use crate::{Attempt, Authenticate, Identity, authenticate::policy_of, challenge::Challenges};

/// Authentication by a bearer JWT.
///
/// Whoever passes has an [`Identity<C>`] and a [`Principal`](palisade_core::Principal) in the request's extensions; `C`
/// is your type for the claims. Whoever does not gets 401 with a challenge, or 400 for two credentials (RFC 6750, section
/// 3.1). Which check failed is logged at level DEBUG, target `palisade::auth`, and not said to the client.
///
/// A token must be signed with the key and the algorithm that are configured, whatever its header says; carry `exp` and
/// a `sub` that is not empty; name the configured issuer and one of the configured audiences; have no `crit` and no
/// member twice. `nbf` and `iat` are checked where they are. Roles come from the claim `roles`, a text or a list of texts
/// ([`roles_at`](JwtBuilder::roles_at) says otherwise), and scopes from `scope`, separated by spaces, or from a list `scp`.
///
/// A token that was verified is remembered for a while, and then costs a hash and a comparison.
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
    rules: Arc<Rules<C>>,
}

pub(super) struct Rules<C> {
    pub(super) issuers: Vec<Issuer>,
    pub(super) expectations: Expectations,
    pub(super) sources: Vec<TokenSource>,
    pub(super) cache: TokenCache<C>,
    /// Seconds.
    pub(super) cache_for: f64,
    pub(super) bad: BadSignatures,
    /// How often everything was forgotten.
    pub(super) cleared: AtomicU64,
    pub(super) challenges: Challenges,
    pub(super) clock: Arc<dyn Clock>,
}

/// Who signs, and with what.
pub(super) struct Issuer {
    pub(super) name: Option<Box<str>>,
    pub(super) keys: Arc<KeySet>,
}

impl<C: DeserializeOwned + Send + Sync + 'static> Jwt<C> {
    /// Tokens signed with HS256 and this secret, of at least 32 bytes.
    pub fn hs256(secret: impl Into<Secret>) -> JwtBuilder<C> {
        Self::with_keys(Keys::secret(Algorithm::Hs256, secret))
    }

    /// Tokens signed with one of these keys.
    ///
    /// ```
    /// use palisade_auth::{Algorithm, Jwt, Keys};
    /// # let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    /// # #[derive(serde::Deserialize)]
    /// # struct Claims { sub: String }
    /// let auth = Jwt::<Claims>::with_keys(Keys::pem(Algorithm::EdDsa, pem)).audience("orders").build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn with_keys(keys: Keys) -> JwtBuilder<C> {
        JwtBuilder::new(keys)
    }

    pub(super) fn of(rules: Rules<C>) -> Self {
        Self { rules: Arc::new(rules) }
    }

    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Forgets all verified tokens at once: each is verified anew when it comes again.
    pub fn clear(&self) {
        self.rules.cleared.fetch_add(1, Ordering::AcqRel);
    }

    fn check(&self, token: &[u8]) -> Result<Identity<C>, Fault> {
        let rules = &*self.rules;
        let now = rules.clock.unix().as_secs_f64();
        if let Some(hit) = rules.cache.find(token, now, |issuer| rules.generation(issuer)) {
            hit.validity.check(now, rules.expectations.skew)?;
            return Ok(hit.identity);
        }
        // Whatever is not base64url and dots fails here, so that the form needs no check of its own.
        let text = std::str::from_utf8(token).map_err(|_| Fault::Malformed)?;
        let unverified = Unverified::parse(text, rules.expectations.profile)?;
        let (at, issuer) = rules.issuer_of(&unverified)?;
        let generation = rules.generation(at);
        let key = match issuer.keys.choose(unverified.algorithm, unverified.kid.as_deref()) {
            Choice::Key(key) => key,
            Choice::UnknownKid => return Err(Fault::UnknownKey),
            Choice::Refused(fault) => return Err(fault),
        };
        // An HMAC costs no more than finding out whether it was bad before.
        let costly = key.algorithm().family() != Family::Hmac;
        if costly && rules.bad.contains(token, generation) {
            return Err(Fault::KnownBad);
        }
        if !key.verifies(unverified.message.as_bytes(), &unverified.signature) {
            if costly {
                rules.bad.add(token, generation);
            }
            return Err(Fault::Signature);
        }
        let payload = &unverified.payload;
        let (identity, validity) =
            rules.expectations.check(payload, issuer.name.as_deref(), now)?;
        let leaves = now + rules.cache_for;
        rules.cache.keep(token, &identity, validity, (at, generation), leaves);
        Ok(identity)
    }
}

impl<C> Rules<C> {
    fn generation(&self, _issuer: usize) -> Generation {
        Generation { keys: 0, cleared: self.cleared.load(Ordering::Acquire) }
    }

    /// Whose token it says it is. With one issuer there is nothing to choose, and its name is checked with the claims,
    /// after the signature.
    fn issuer_of(&self, unverified: &Unverified<'_>) -> Result<(usize, &Issuer), Fault> {
        if let [only] = &*self.issuers {
            return Ok((0, only));
        }
        let named = Registered::issuer(&unverified.payload).ok_or(Fault::Issuer)?;
        let mut issuers = self.issuers.iter().enumerate();
        issuers.find(|(_, issuer)| issuer.name.as_deref() == Some(&named)).ok_or(Fault::Issuer)
    }
}

fn refusal(challenges: &Challenges, fault: Fault) -> ApiError {
    tracing::debug!(target: "palisade::auth", ?fault, "a token was refused");
    match fault {
        Fault::Expired => challenges.expired(),
        _ => challenges.invalid(),
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Authenticate for Jwt<C> {
    type Claims = C;

    fn authenticate(&self, request: &request::Parts) -> Attempt<C> {
        let Rules { sources, challenges, .. } = &*self.rules;
        Attempt::Now(match source::find(sources, request) {
            Found::Token(token) => self.check(token).map_err(|fault| refusal(challenges, fault)),
            Found::Nothing => return Attempt::Absent(challenges.missing()),
            Found::Several => Err(challenges.two_tokens()),
        })
    }
}

policy_of!([C] Jwt<C>);

impl<C> Clone for Jwt<C> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules) }
    }
}

impl<C> fmt::Debug for Jwt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.rules.issuers.iter().map(|issuer| issuer.name.as_deref());
        f.debug_struct("Jwt")
            .field("issuers", &issuers.collect::<Vec<_>>())
            .field("audiences", &self.rules.expectations.audiences)
            .finish_non_exhaustive()
    }
}
