use std::sync::Arc;

#[cfg(feature = "_public-keys")]
use http::{HeaderName, HeaderValue};
use http::{request, response};
use palisade_core::{ApiError, Clock, ConfigError};

#[cfg(feature = "_public-keys")]
use super::dpop::{self, Dpop, DpopCheck, UsedProofs};
use super::{ClientCertificates, PeerCertificate};
#[cfg(feature = "_public-keys")]
use crate::authorization::Authorization;
use crate::{Attempt, Identity, Pending, challenge::Challenges};

/// The authentication scheme that a token came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Bearer`, a cookie, or another place that names no scheme.
    Bearer,
    Dpop,
}

/// The settings of tokens that are bound to a client.
#[derive(Debug, Default)]
pub(crate) struct SenderSettings {
    #[cfg(feature = "_public-keys")]
    pub(crate) dpop: Option<Dpop>,
    pub(crate) certificates: ClientCertificates,
    pub(crate) accept_as_bearer: bool,
}

impl SenderSettings {
    pub(crate) fn has_dpop(&self) -> bool {
        #[cfg(feature = "_public-keys")]
        return self.dpop.is_some();
        #[cfg(not(feature = "_public-keys"))]
        false
    }
}

/// Checks that a token is used by the client that it was issued to.
#[derive(Clone)]
pub(crate) struct SenderCheck {
    #[cfg(feature = "_public-keys")]
    dpop: Option<Arc<DpopCheck>>,
    certificates: ClientCertificates,
    accept_as_bearer: bool,
}

/// The proofs of a request in addition to its token.
struct Presented {
    scheme: Scheme,
    certificate: Option<PeerCertificate>,
    #[cfg(feature = "_public-keys")]
    proof: Option<dpop::Presented>,
}

/// The remaining check of a token after all checks without I/O.
enum Checked {
    Done,
    #[cfg(feature = "_public-keys")]
    Proof(dpop::UnusedProof),
}

impl SenderCheck {
    pub(crate) fn new(
        settings: SenderSettings,
        realm: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        #[cfg(not(feature = "_public-keys"))]
        let _ = (realm, clock);
        #[cfg(feature = "_public-keys")]
        if settings.accept_as_bearer && settings.dpop.is_some() {
            return Err(ConfigError::without_value(
                "insecure_accept_bound_tokens_as_bearer",
                "leave it out: with `.dpop(…)` it would accept bound tokens without a proof",
            ));
        }
        Ok(Self {
            #[cfg(feature = "_public-keys")]
            dpop: match settings.dpop {
                Some(dpop) => Some(Arc::new(DpopCheck::new(dpop, realm, Arc::clone(clock))?)),
                None => None,
            },
            certificates: settings.certificates,
            accept_as_bearer: settings.accept_as_bearer,
        })
    }

    /// Returns the token after the scheme `DPoP`, if DPoP is configured. Two fields are no token: the places where a token
    /// may be report them.
    #[cfg(feature = "_public-keys")]
    pub(crate) fn dpop_token<'a>(&self, request: &'a request::Parts) -> Option<&'a [u8]> {
        self.dpop.as_ref()?;
        match Authorization::read(&request.headers, "DPoP") {
            Authorization::Credentials(token) => Some(token),
            Authorization::Absent => None,
            // Never the first one of them: no token verifies.
            Authorization::Two => Some(b""),
        }
    }

    /// Returns `None`: proofs cannot be verified without a backend.
    #[cfg(not(feature = "_public-keys"))]
    pub(crate) fn dpop_token<'a>(&self, _: &'a request::Parts) -> Option<&'a [u8]> {
        None
    }

    /// Adds the challenges of this check to the error for a request without a token.
    pub(crate) fn missing(&self, error: ApiError) -> ApiError {
        #[cfg(feature = "_public-keys")]
        if let Some(dpop) = &self.dpop {
            return dpop.missing(error);
        }
        error
    }

    /// Adds a new nonce to the response to an authenticated request.
    pub(crate) fn mark_response(&self, response: &mut response::Parts) {
        #[cfg(feature = "_public-keys")]
        if let Some((name, nonce)) = self.nonce() {
            palisade_core::set_header(&mut response.headers, name, nonce);
        }
        #[cfg(not(feature = "_public-keys"))]
        let _ = response;
    }

    #[cfg(feature = "_public-keys")]
    fn nonce(&self) -> Option<(HeaderName, HeaderValue)> {
        self.dpop.as_ref()?.nonce_field()
    }

    /// Rejects the identity of a token that this client may not use.
    pub(crate) fn confirm<C: Send + Sync + 'static>(
        &self,
        attempt: Attempt<C>,
        request: &request::Parts,
        token: &[u8],
        scheme: Scheme,
        challenges: &Challenges,
    ) -> Attempt<C> {
        let identity = match attempt {
            Attempt::Now(Ok(identity)) => identity,
            Attempt::Later(pending) => {
                let presented = self.presented(request, token, scheme);
                let (check, challenges) = (self.clone(), challenges.clone());
                #[cfg(feature = "_public-keys")]
                let used = UsedProofs::of_request(request);
                return Attempt::Later(Pending::new(async move {
                    let identity = pending.outcome().await?;
                    match check.check(&identity, &presented, &challenges)? {
                        Checked::Done => Ok(identity),
                        #[cfg(feature = "_public-keys")]
                        Checked::Proof(proof) => {
                            proof.mark_used(used).await.map(|()| identity.with_proof())
                        }
                    }
                }));
            }
            other => return other,
        };
        if identity.confirmation().is_none() && scheme == Scheme::Bearer && !self.requires_dpop() {
            return Attempt::Now(Ok(identity));
        }
        match self.check(&identity, &self.presented(request, token, scheme), challenges) {
            Ok(Checked::Done) => Attempt::Now(Ok(identity)),
            #[cfg(feature = "_public-keys")]
            Ok(Checked::Proof(proof)) => {
                let used = UsedProofs::of_request(request);
                Attempt::Later(Pending::new(async move {
                    proof.mark_used(used).await.map(|()| identity.with_proof())
                }))
            }
            Err(error) => Attempt::Now(Err(error)),
        }
    }

    /// Rejects the identity of a token that is bound to a client and came without a request.
    pub(crate) fn check_without_request<C>(
        &self,
        identity: &Identity<C>,
        challenges: &Challenges,
    ) -> Result<(), ApiError> {
        let presented = Presented {
            scheme: Scheme::Bearer,
            certificate: None,
            #[cfg(feature = "_public-keys")]
            proof: None,
        };
        self.check(identity, &presented, challenges).map(drop)
    }

    fn requires_dpop(&self) -> bool {
        #[cfg(feature = "_public-keys")]
        return self.dpop.as_ref().is_some_and(|dpop| dpop.is_required());
        #[cfg(not(feature = "_public-keys"))]
        false
    }

    #[cfg_attr(not(feature = "_public-keys"), allow(unused_variables))]
    fn presented(&self, request: &request::Parts, token: &[u8], scheme: Scheme) -> Presented {
        Presented {
            scheme,
            certificate: self.certificates.find(request),
            #[cfg(feature = "_public-keys")]
            proof: (scheme == Scheme::Dpop).then(|| dpop::Presented::new(request, token)),
        }
    }

    fn check<C>(
        &self,
        identity: &Identity<C>,
        presented: &Presented,
        challenges: &Challenges,
    ) -> Result<Checked, ApiError> {
        let Some(confirmation) = identity.confirmation() else {
            return self.check_unbound(presented.scheme);
        };
        let reject = |reason: &'static str| {
            log_rejection!(reason, "a bound token was rejected");
            challenges.invalid()
        };
        if self.accept_as_bearer && presented.scheme == Scheme::Bearer {
            return Ok(Checked::Done);
        }
        if let Some(expected) = &confirmation.certificate {
            let actual = presented.certificate.as_ref().map(PeerCertificate::thumbprint);
            if actual.as_deref() != Some(&**expected) {
                return Err(reject("the token is bound to another client certificate"));
            }
        }
        match &confirmation.jkt {
            Some(jkt) => self.check_proof(jkt, presented, reject),
            None if confirmation.certificate.is_none() => {
                Err(reject("the token is bound in a way that is not supported"))
            }
            None if presented.scheme == Scheme::Bearer => Ok(Checked::Done),
            None => self.check_unbound(presented.scheme),
        }
    }

    #[cfg(feature = "_public-keys")]
    fn check_unbound(&self, scheme: Scheme) -> Result<Checked, ApiError> {
        match &self.dpop {
            // RFC 9449, section 7.1: the scheme is for tokens that are bound to a key.
            Some(dpop) if scheme == Scheme::Dpop || dpop.is_required() => {
                log_rejection!("a token without `cnf.jkt` was rejected");
                Err(dpop.unbound_token())
            }
            _ => Ok(Checked::Done),
        }
    }

    #[cfg(not(feature = "_public-keys"))]
    fn check_unbound(&self, _: Scheme) -> Result<Checked, ApiError> {
        Ok(Checked::Done)
    }

    #[cfg(feature = "_public-keys")]
    fn check_proof(
        &self,
        jkt: &str,
        presented: &Presented,
        reject: impl FnOnce(&'static str) -> ApiError,
    ) -> Result<Checked, ApiError> {
        match (&self.dpop, &presented.proof) {
            (Some(dpop), Some(proof)) => dpop.check(proof, jkt).map(Checked::Proof),
            // A stolen token that is sent as a bearer token (RFC 9449, section 7.2).
            (Some(dpop), None) => Err(dpop.bearer_of_bound_token()),
            (None, _) => Err(reject("the token is bound to a key, and DPoP is not configured")),
        }
    }

    #[cfg(not(feature = "_public-keys"))]
    fn check_proof(
        &self,
        _: &str,
        _: &Presented,
        reject: impl FnOnce(&'static str) -> ApiError,
    ) -> Result<Checked, ApiError> {
        Err(reject("the token is bound to a key: DPoP needs the feature `aws-lc` or `rust-crypto`"))
    }
}
