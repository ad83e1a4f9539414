use std::{fmt, marker::PhantomData, sync::Arc};

use hmac::Hmac;
use http::request;
use palisade_core::{ApiError, Clock, PolicyLayer, Secret};
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::{builder::JwtBuilder, claims::Expectations, token, token::Fault};
use crate::{
    Attempt, Authenticate, Identity, authenticate::policy_of, bearer::Bearer, challenge::Challenges,
};

/// Authentication by a bearer JWT.
///
/// Whoever passes has an [`Identity<C>`] and a [`Principal`](palisade_core::Principal) in the request's extensions; `C` is your type for the
/// claims. Whoever does not gets 401 with a challenge, or 400 for two credentials (RFC 6750, section 3.1). Which check
/// failed is logged at level DEBUG, target `palisade::auth`, and not said to the client.
///
/// A token must be signed with the algorithm that is configured, whatever its header says; carry `exp` and a `sub`
/// that is not empty; name the configured issuer and one of the configured audiences; have no `crit` and no member
/// twice. `nbf` and `iat` are checked where they are. Roles come from the claim `roles`, a string or a list of
/// strings, and scopes from `scope`, separated by spaces.
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
    rules: Arc<Rules>,
    claims: PhantomData<fn() -> C>,
}

pub(super) struct Rules {
    /// Keyed once; each token starts from a copy.
    pub(super) key: Hmac<Sha256>,
    pub(super) expectations: Expectations,
    pub(super) challenges: Challenges,
    pub(super) clock: Arc<dyn Clock>,
}

impl<C: DeserializeOwned + Send + Sync + 'static> Jwt<C> {
    /// Tokens signed with HS256 and this secret, of at least 32 bytes.
    pub fn hs256(secret: impl Into<Secret>) -> JwtBuilder<C> {
        JwtBuilder::new(secret.into())
    }

    pub(super) fn of(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), claims: PhantomData }
    }

    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    fn check(&self, token: &str) -> Result<Identity<C>, ApiError> {
        let Rules { key, expectations, challenges, clock } = &*self.rules;
        token::verify(token, key)
            .and_then(|payload| expectations.check(&payload, clock.unix().as_secs_f64()))
            .map_err(|fault| refusal(challenges, fault))
            .map(|(claims, principal)| Identity::new(claims, principal))
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
        let Rules { challenges, .. } = &*self.rules;
        Attempt::Now(match Bearer::read(&request.headers) {
            Bearer::Token(token) => self.check(token),
            Bearer::Absent => return Attempt::Absent(challenges.missing()),
            Bearer::TwoTokens => Err(challenges.two_tokens()),
            Bearer::Malformed => Err(refusal(challenges, Fault::Malformed)),
        })
    }
}

policy_of!([C] Jwt<C>);

impl<C> Clone for Jwt<C> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules), claims: PhantomData }
    }
}

impl<C> fmt::Debug for Jwt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("issuer", &self.rules.expectations.issuer)
            .field("audiences", &self.rules.expectations.audiences)
            .finish_non_exhaustive()
    }
}
