use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderName, HeaderValue, header, request, response};
#[cfg(feature = "jwks")]
use palisade_core::BoxFuture;
use palisade_core::{ApiError, Clock, Measured, Measurement, PolicyLayer, Secret};
use serde::de::DeserializeOwned;

use super::{
    algorithm::{Algorithm, Family},
    builder::JwtBuilder,
    cache::{BadSignatures, Generation, TokenCache},
    claims::Expectations,
    issuer::{Found, FoundKeys, Issuer},
    key_set::Choice,
    keys::Keys,
    registered::Registered,
    source::{self, TokenSource},
    token::{Fault, Unverified},
};
use crate::{
    Attempt, Authenticate, CsrfCheck, Identity, authenticate::policy_of, challenge::Challenges,
    measured,
};

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
    pub(super) csrf: CsrfCheck,
    pub(super) cache: TokenCache<C>,
    /// Seconds.
    pub(super) cache_for: f64,
    pub(super) bad: BadSignatures,
    /// How often everything was forgotten.
    pub(super) cleared: AtomicU64,
    pub(super) challenges: Challenges,
    pub(super) clock: Arc<dyn Clock>,
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
    /// # #[cfg(any(feature = "aws-lc", feature = "rust-crypto"))] {
    /// # let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    /// # #[derive(serde::Deserialize)]
    /// # struct Claims { sub: String }
    /// let auth = Jwt::<Claims>::with_keys(Keys::pem(Algorithm::EdDsa, pem)).audience("orders").build()?;
    /// # }
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

    fn check(&self, token: &[u8]) -> Attempt<C> {
        let rules = &*self.rules;
        let refuse = |fault| refusal(&rules.challenges, fault);
        if let Some(known) = rules.recognise(token) {
            return Attempt::Now(known.map_err(refuse));
        }
        let read = Unverified::of(token, rules.expectations.profile)
            .and_then(|unverified| Ok((rules.issuer_of(&unverified)?, unverified)));
        let (at, unverified) = match read {
            Ok(read) => read,
            Err(fault) => return Attempt::Now(Err(refuse(fault))),
        };
        match rules.issuers[at].keys.find(unverified.kid.as_deref()) {
            Found::Here(keys) => match rules.verify(token, &unverified, at, &keys) {
                #[cfg(feature = "jwks")]
                Err(fault) if fault.may_be_an_older_key() => {
                    self.check_again(token, &unverified, at, keys.1, fault)
                }
                checked => Attempt::Now(checked.map_err(refuse)),
            },
            #[cfg(feature = "jwks")]
            Found::Soon(keys) => self.check_later(token, at, None, keys),
            #[cfg(feature = "jwks")]
            Found::Nowhere => Attempt::Now(Err(refuse(Fault::UnknownKey))),
            #[cfg(feature = "jwks")]
            Found::CannotTell(error) => Attempt::Now(Err(error)),
        }
    }

    /// The signature is not valid under the keys of this generation. The issuer may have replaced a key under the same
    /// `kid`, or the key of tokens without one.
    #[cfg(feature = "jwks")]
    fn check_again(
        &self,
        token: &[u8],
        unverified: &Unverified<'_>,
        at: usize,
        generation: u64,
        fault: Fault,
    ) -> Attempt<C> {
        let rules = &*self.rules;
        match rules.issuers[at].keys.find_newer(unverified.kid.as_deref(), generation) {
            Found::Here(keys) => Attempt::Now(
                rules
                    .verify(token, unverified, at, &keys)
                    .map_err(|fault| refusal(&rules.challenges, fault)),
            ),
            Found::Soon(keys) => self.check_later(token, at, Some(fault), keys),
            Found::Nowhere | Found::CannotTell(_) => {
                Attempt::Now(Err(refusal(&rules.challenges, fault)))
            }
        }
    }

    /// Checks a token when its keys have been fetched. Without newer keys a token that was checked before keeps its
    /// `fault`: its signature is not valid under the keys that are known.
    #[cfg(feature = "jwks")]
    fn check_later(
        &self,
        token: &[u8],
        at: usize,
        fault: Option<Fault>,
        keys: BoxFuture<Result<FoundKeys, ApiError>>,
    ) -> Attempt<C> {
        let (jwt, token) = (self.clone(), Box::<[u8]>::from(token));
        Attempt::Later(crate::Pending::new(async move {
            let rules = &*jwt.rules;
            let refuse = |fault| refusal(&rules.challenges, fault);
            let keys = match (keys.await, fault) {
                (Ok(keys), _) => keys,
                (Err(_), Some(fault)) => return Err(refuse(fault)),
                (Err(error), None) => return Err(error),
            };
            Unverified::of(&token, rules.expectations.profile)
                .and_then(|unverified| rules.verify(&token, &unverified, at, &keys))
                .map_err(refuse)
        }))
    }
}

impl<C: DeserializeOwned> Rules<C> {
    /// What is known of a token that was verified before.
    fn recognise(&self, token: &[u8]) -> Option<Result<Identity<C>, Fault>> {
        let now = self.clock.unix().as_secs_f64();
        let hit = self.cache.find(token, now, |issuer| self.generation(issuer))?;
        Some(hit.validity.check(now, self.expectations.skew).map(|()| hit.identity))
    }

    fn verify(
        &self,
        token: &[u8],
        unverified: &Unverified<'_>,
        at: usize,
        (keys, generation): &FoundKeys,
    ) -> Result<Identity<C>, Fault> {
        let issuer = &self.issuers[at];
        let generation = self.generation_of(*generation);
        let kid = unverified.kid.as_deref();
        let key = match keys.choose(unverified.algorithm, kid, issuer.keys.algorithms()) {
            Choice::Key(key) => key,
            Choice::Refused(fault) => return Err(fault),
        };
        // An HMAC costs no more than finding out whether it was bad before.
        let costly = key.algorithm().family() != Family::Hmac;
        if costly && self.bad.contains(token, generation) {
            return Err(Fault::KnownBad);
        }
        if !key.verifies(unverified.message.as_bytes(), &unverified.signature) {
            if costly {
                self.bad.add(token, generation);
            }
            return Err(Fault::Signature);
        }
        let now = self.clock.unix().as_secs_f64();
        let (identity, validity) =
            self.expectations.check(&unverified.payload, issuer.name.as_deref(), now)?;
        let until = (now, now + self.cache_for);
        self.cache.keep(token, &identity, validity, (at, generation), until);
        Ok(identity)
    }
}

impl<C> Rules<C> {
    /// Returns `None` if a token of this issuer must wait for keys.
    fn generation(&self, issuer: usize) -> Option<Generation> {
        let keys = self.issuers[issuer].keys.generation()?;
        Some(self.generation_of(keys))
    }

    fn generation_of(&self, keys: u64) -> Generation {
        Generation { keys, cleared: self.cleared.load(Ordering::Acquire) }
    }

    /// Whose token it says it is. With one issuer there is nothing to choose, and its name is checked with the claims,
    /// after the signature.
    fn issuer_of(&self, unverified: &Unverified<'_>) -> Result<usize, Fault> {
        if self.issuers.len() == 1 {
            return Ok(0);
        }
        let named = Registered::issuer(&unverified.payload).ok_or(Fault::Issuer)?;
        let mut names = self.issuers.iter().map(|issuer| issuer.name.as_deref());
        names.position(|name| name == Some(&named)).ok_or(Fault::Issuer)
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
        let Rules { sources, csrf, challenges, .. } = &*self.rules;
        match source::find(sources, request) {
            source::Found::Token(token) => self.check(token),
            source::Found::CookieToken(token) => match csrf.check(request) {
                Ok(()) => self.check(token),
                Err(refused) => Attempt::Now(Err(refused)),
            },
            source::Found::Nothing => Attempt::Absent(challenges.missing()),
            source::Found::Several => Attempt::Now(Err(challenges.two_tokens())),
        }
    }

    fn invalid(&self) -> ApiError {
        self.rules.challenges.invalid()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.rules.sources.iter().filter_map(TokenSource::field).collect()
    }

    /// A response to a URI that may hold a token must not be stored under it (RFC 6750, section 2.3).
    fn mark_response(&self, response: &mut response::Parts) {
        let in_query = self.rules.sources.iter().any(|source| source.field().is_none());
        if in_query && !response.headers.contains_key(header::CACHE_CONTROL) {
            let no_store = HeaderValue::from_static("no-store");
            response.headers.insert(header::CACHE_CONTROL, no_store);
        }
    }
}

policy_of!([C] Jwt<C>);

/// What became of tokens that came again. Which were refused is counted with the decisions of policies.
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
        let issuers = self.rules.issuers.iter().map(|issuer| issuer.name.as_deref());
        f.debug_struct("Jwt")
            .field("issuers", &issuers.collect::<Vec<_>>())
            .field("audiences", &self.rules.expectations.audiences)
            .finish_non_exhaustive()
    }
}
