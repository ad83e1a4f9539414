mod nonce;
mod proof;
mod replay;
mod target;
mod used;

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, header, request};
use palisade_core::{ApiError, Clock, ConfigError, Secret, requested_uri};
use sha2::{Digest, Sha256};

#[cfg(feature = "redis")]
pub use self::replay::RedisDpopReplays;
pub use self::replay::{DpopReplays, InMemoryDpopReplays};
pub(crate) use self::used::UsedProofs;
use self::{
    nonce::Nonces,
    proof::{ALGORITHMS, Proof, ProofFault},
    target::Target,
};
use crate::scheme::{challenge, with_challenge};

/// By how much the clocks of the machines of a service may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Settings for tokens that are bound to a key of the client, which signs a proof for each request (DPoP, RFC 9449).
///
/// A client sends `Authorization: DPoP <token>` and a proof in the header `DPoP`. The proof must be signed by the key that
/// the token's `cnf.jkt` names, be made for this method, this URL and this token, be no older than `max_age`, and be new: its
/// `jti` is remembered for as long as the proof could be sent again. What fails is in the log at level INFO, sampled, target
/// `palisade::auth`; the client gets 401 with a challenge of the scheme `DPoP`.
///
/// Needs the feature `aws-lc` or `rust-crypto`. Under axum's `Router::nest` enable the feature `axum`, so that the whole path
/// is compared.
///
/// ```
/// use palisade_auth::{Dpop, Jwt};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
///     .audience("https://api.example.com")
///     .dpop(Dpop::new("https://api.example.com"))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Dpop {
    public_url: String,
    replays: Option<Arc<dyn DpopReplays>>,
    nonces: Option<(Secret, Duration)>,
    max_age: Duration,
    required: bool,
}

impl Dpop {
    /// DPoP for a service that clients reach at this URL: scheme, host, and the path that a proxy removes, if any. Proofs
    /// name the URL of the request in `htu`. The `Host` of a request is not used, because a client chooses it and proxies
    /// change it.
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            replays: None,
            nonces: None,
            max_age: Duration::from_secs(60),
            required: false,
        }
    }

    /// Stores used proofs here. Default: [`InMemoryDpopReplays`] for 100,000 proofs, which is enough for one process with
    /// some 1,500 requests per second. Several processes need a shared store, such as `RedisDpopReplays`.
    ///
    /// A proof is stored for as long as it could be sent again: until its `iat` plus [`max_age`](Self::max_age), or until its
    /// [nonce](Self::nonces) expires, and 5 s longer, by which the clocks of machines may differ.
    ///
    /// Two policies that check the same request share its proof if they are clones of each other or were built with clones of
    /// this `Dpop`. With two stores each of them stores the proof.
    #[must_use]
    pub fn replays(mut self, replays: impl DpopReplays) -> Self {
        self.replays = Some(Arc::new(replays));
        self
    }

    /// Accepts proofs with a nonce of this service only (RFC 9449, section 9), so that no proof can be made in advance. A
    /// client without one gets 401 with `error="use_dpop_nonce"` and the header `DPoP-Nonce`, and each response to an
    /// authenticated request carries a new one.
    ///
    /// All processes of a service use the same secret, of at least 32 bytes. A nonce is valid for `lifetime`: 10 s to 1 h.
    /// Proofs are stored until their nonce expires, so the store needs room for the proofs of one lifetime.
    #[must_use]
    pub fn nonces(mut self, secret: impl Into<Secret>, lifetime: Duration) -> Self {
        self.nonces = Some((secret.into(), lifetime));
        self
    }

    /// Sets how far the `iat` of a proof may be from the time of the service, in either direction: up to 10 minutes.
    /// Default: 60 s. With [`nonces`](Self::nonces) the nonce's lifetime counts instead.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Rejects tokens that are not bound to a key. Default: such tokens are accepted as bearer tokens.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("public_url", &self.public_url)
            .field("max_age", &self.max_age)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

/// The checked settings.
pub(crate) struct DpopCheck {
    url: Target,
    replays: Arc<dyn DpopReplays>,
    nonces: Option<Nonces>,
    max_age: Duration,
    required: bool,
    clock: Arc<dyn Clock>,
    missing: HeaderValue,
    unbound: HeaderValue,
    bearer: HeaderValue,
    invalid_proof: HeaderValue,
    use_nonce: HeaderValue,
}

/// What a request presents: taken from it at once, because the token's key may have to be fetched first.
pub(super) struct Presented {
    proofs: Vec<HeaderValue>,
    method: Method,
    path: Box<str>,
    /// The hash of the access token.
    ath: [u8; 32],
}

impl Presented {
    pub(super) fn new(request: &request::Parts, token: &[u8]) -> Self {
        Self {
            // One too many is enough to reject them.
            proofs: request.headers.get_all(DPOP).iter().take(2).cloned().collect(),
            method: request.method.clone(),
            path: requested_uri(request).path().into(),
            ath: Sha256::digest(token).into(),
        }
    }
}

/// A proof that is valid if it was not used before.
pub(super) struct UnusedProof {
    id: Box<str>,
    keep_for: Duration,
    replays: Arc<dyn DpopReplays>,
    replayed: ApiError,
}

impl UnusedProof {
    /// Stores the proof's id, unless the same request has stored it before.
    pub(super) async fn mark_used(self, used: UsedProofs) -> Result<(), ApiError> {
        if used.contains(&self.replays, &self.id) {
            return Ok(());
        }
        match self.replays.insert(&self.id, self.keep_for).await {
            Ok(true) => {
                used.insert(self.replays, self.id);
                Ok(())
            }
            Ok(false) => {
                log_rejection!("a DPoP proof was used before");
                Err(self.replayed)
            }
            Err(error) => Err(ApiError::unavailable().with_source(error)),
        }
    }
}

/// Returns the names of the algorithms of proofs, as challenges contain them.
pub(crate) fn algs() -> String {
    let algs: Vec<_> = ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
    algs.join(" ")
}

impl DpopCheck {
    pub(super) fn new(dpop: Dpop, realm: &str, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let Dpop { public_url, replays, nonces, max_age, required } = dpop;
        let seconds = 1..=600;
        if !seconds.contains(&max_age.as_secs()) {
            let remedy = "use 1 s to 10 minutes: proofs are made for each request";
            return Err(ConfigError::new("max_age", format!("{max_age:?}"), remedy));
        }
        let algs = algs();
        let dpop = |error: &str| challenge("DPoP", realm, &format!("{error}, algs=\"{algs}\""));
        let error = |code: &str, description: &str| {
            dpop(&format!(", error=\"{code}\", error_description=\"{description}\""))
        };
        let replays = match replays {
            Some(replays) => replays,
            None => Arc::new(InMemoryDpopReplays::with_clock(100_000, Arc::clone(&clock))?),
        };
        Ok(Self {
            url: Target::parse(&public_url)?,
            replays,
            nonces: nonces.map(|(secret, lifetime)| Nonces::new(&secret, lifetime)).transpose()?,
            max_age,
            required,
            clock,
            missing: dpop("")?,
            unbound: error("invalid_token", "The access token is not bound to a key")?,
            bearer: error("invalid_token", "The access token is bound to a key and needs a proof")?,
            invalid_proof: error("invalid_dpop_proof", "The DPoP proof is not valid")?,
            use_nonce: error("use_dpop_nonce", "The DPoP proof needs the nonce of this response")?,
        })
    }

    pub(super) fn is_required(&self) -> bool {
        self.required
    }

    pub(super) fn missing(&self, error: ApiError) -> ApiError {
        if self.required {
            return with_challenge(ApiError::unauthenticated(), &self.missing);
        }
        with_challenge(error, &self.missing)
    }

    pub(super) fn unbound_token(&self) -> ApiError {
        reject(&self.unbound)
    }

    pub(super) fn bearer_of_bound_token(&self) -> ApiError {
        log_rejection!("a token with `cnf.jkt` came without the scheme DPoP");
        reject(&self.bearer)
    }

    pub(super) fn nonce_field(&self) -> Option<(HeaderName, HeaderValue)> {
        let nonce = self.nonces.as_ref()?.issue(self.clock.unix());
        Some((DPOP_NONCE, HeaderValue::try_from(nonce).ok()?))
    }

    /// Checks a proof for a token that is bound to the key with this thumbprint (RFC 9449, section 4.3).
    pub(super) fn check(&self, presented: &Presented, jkt: &str) -> Result<UnusedProof, ApiError> {
        self.verify(presented, jkt).map_err(|fault| {
            log_rejection!(?fault, "a DPoP proof was rejected");
            match (fault, self.nonce_field()) {
                (ProofFault::Nonce, Some((name, nonce))) => {
                    reject(&self.use_nonce).with_header(name, nonce)
                }
                _ => reject(&self.invalid_proof),
            }
        })
    }

    fn verify(&self, presented: &Presented, jkt: &str) -> Result<UnusedProof, ProofFault> {
        let [field] = &*presented.proofs else { return Err(ProofFault::Count) };
        let proof = Proof::parse(field.as_bytes())?;
        // Everything that is cheap comes before the signature.
        if proof.thumbprint != *jkt {
            return Err(ProofFault::Key);
        }
        if proof.claims.htm != presented.method.as_str() {
            return Err(ProofFault::Method);
        }
        if !self.url.is_target(&proof.claims.htu, &presented.path) {
            return Err(ProofFault::Target);
        }
        if !proof.is_for_token(presented.ath) {
            return Err(ProofFault::Token);
        }
        proof.verify_signature()?;
        let now = self.clock.unix();
        let time_left = match &self.nonces {
            Some(nonces) => {
                let nonce = proof.claims.nonce.as_deref().unwrap_or_default();
                nonces.time_left(nonce, now).ok_or(ProofFault::Nonce)?
            }
            None => {
                let (now, max_age) = (now.as_secs_f64(), self.max_age.as_secs_f64());
                let left = proof.claims.iat + max_age - now;
                // A proof may be as far in the future as in the past.
                if !(0.0..=2.0 * max_age).contains(&left) {
                    return Err(ProofFault::Time);
                }
                Duration::from_secs_f64(left)
            }
        };
        Ok(UnusedProof {
            id: proof.id().into(),
            keep_for: time_left + CLOCK_DIFFERENCE,
            replays: Arc::clone(&self.replays),
            replayed: reject(&self.invalid_proof),
        })
    }
}

fn reject(value: &HeaderValue) -> ApiError {
    let error =
        ApiError::unauthenticated().with_message("the access token or its proof is not valid");
    error.with_header(header::WWW_AUTHENTICATE, value.clone())
}
