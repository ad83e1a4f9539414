use std::sync::atomic::Ordering;

use palisade_core::ApiError;
#[cfg(feature = "jwks")]
use palisade_core::BoxFuture;
use serde::de::DeserializeOwned;

use super::{
    algorithm::Family,
    cache::{Generation, Lease},
    fault::{Fault, Reason},
    issuer_keys::{KeyLookup, ReadyKeys},
    key_set::Choice,
    policy::{Jwt, Rules},
    registered::Registered,
    token::{Buffer, Unverified},
};
use crate::{Attempt, Identity};

impl<C: DeserializeOwned + Send + Sync + 'static> Jwt<C> {
    /// Verifies a token, at once if its keys are known.
    pub(super) fn verify_token(&self, token: &[u8]) -> Attempt<C> {
        let rules = &*self.rules;
        if let Some(remembered) = rules.recall(token) {
            return Attempt::Now(remembered);
        }
        let mut buffer = Buffer::new();
        let unverified = match Unverified::parse(token, &mut buffer) {
            Ok(unverified) => unverified,
            Err(fault) => return Attempt::Now(Err(rules.reject(fault, None, None))),
        };
        let kid = unverified.header.kid.as_deref();
        let at = match rules.issuer_of(&unverified) {
            Ok(at) => at,
            Err(fault) => return Attempt::Now(Err(rules.reject(fault, kid, None))),
        };
        match rules.issuers[at].keys.find(kid) {
            KeyLookup::Ready(keys) => match rules.verify(token, &unverified, at, &keys) {
                #[cfg(feature = "jwks")]
                Err(fault) if fault.may_be_an_older_key() => {
                    self.verify_with_newer_keys(token, &unverified, at, keys.1, fault)
                }
                verified => {
                    Attempt::Now(verified.map_err(|fault| rules.reject(fault, kid, Some(at))))
                }
            },
            #[cfg(feature = "jwks")]
            KeyLookup::Pending(keys) => self.verify_later(token, at, keys),
            #[cfg(feature = "jwks")]
            KeyLookup::Missing => Attempt::Now(Err(rules.reject(Fault::UnknownKey, kid, Some(at)))),
            #[cfg(feature = "jwks")]
            KeyLookup::Unavailable(error) => Attempt::Now(Err(error)),
        }
    }

    /// The signature is not valid under the keys of this generation. The issuer may have replaced a key under the same
    /// `kid`, or the key of tokens without one.
    #[cfg(feature = "jwks")]
    fn verify_with_newer_keys(
        &self,
        token: &[u8],
        unverified: &Unverified<'_>,
        at: usize,
        generation: u64,
        fault: Fault,
    ) -> Attempt<C> {
        let rules = &*self.rules;
        let kid = unverified.header.kid.as_deref();
        let reject = |fault| rules.reject(fault, kid, Some(at));
        match rules.issuers[at].keys.find_newer(generation) {
            KeyLookup::Ready(keys) => {
                Attempt::Now(rules.verify(token, unverified, at, &keys).map_err(reject))
            }
            KeyLookup::Pending(keys) => self.verify_later(token, at, keys),
            KeyLookup::Missing => Attempt::Now(Err(reject(fault))),
            KeyLookup::Unavailable(error) => Attempt::Now(Err(error)),
        }
    }

    /// Verifies a token when its keys have been fetched.
    #[cfg(feature = "jwks")]
    fn verify_later(
        &self,
        token: &[u8],
        at: usize,
        keys: BoxFuture<Result<ReadyKeys, ApiError>>,
    ) -> Attempt<C> {
        let (jwt, token) = (self.clone(), Box::<[u8]>::from(token));
        Attempt::Later(crate::Pending::new(async move {
            let keys = keys.await?;
            let rules = &*jwt.rules;
            let mut buffer = Buffer::new();
            let unverified = Unverified::parse(&token, &mut buffer)
                .map_err(|fault| rules.reject(fault, None, Some(at)))?;
            rules
                .verify(&token, &unverified, at, &keys)
                .map_err(|fault| rules.reject(fault, unverified.header.kid.as_deref(), Some(at)))
        }))
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Rules<C> {
    /// Returns the outcome for a token that was verified before.
    fn recall(&self, token: &[u8]) -> Option<Result<Identity<C>, ApiError>> {
        let now = self.clock.unix_coarse().as_secs_f64();
        let found = self.cache.find(token, now, |issuer| self.generation(issuer))?;
        let lease = found.lease();
        let expectations = &self.issuers[lease.issuer].expectations;
        let checked = lease
            .validity
            .check(now, expectations.skew)
            // The exact time decides about a token that is rejected: without a skew it may be valid since a moment.
            .or_else(|_| {
                let now = self.clock.unix().as_secs_f64();
                lease.validity.check(now, expectations.skew)
            })
            .and_then(|()| expectations.validate(found.claims()));
        Some(match checked {
            Ok(()) => Ok(found.into()),
            Err(fault) => {
                // Parsed again, for the log only.
                let mut buffer = Buffer::new();
                let unverified = Unverified::parse(token, &mut buffer).ok();
                let kid = unverified.as_ref().and_then(|token| token.header.kid.as_deref());
                Err(self.reject(fault, kid, Some(lease.issuer)))
            }
        })
    }

    /// Verifies a token with these keys of its issuer, and remembers it.
    fn verify(
        &self,
        token: &[u8],
        unverified: &Unverified<'_>,
        at: usize,
        (keys, generation): &ReadyKeys,
    ) -> Result<Identity<C>, Fault> {
        let issuer = &self.issuers[at];
        let generation = self.generation_of(*generation);
        let header = &unverified.header;
        let kid = header.kid.as_deref();
        let key = match keys.choose(header.algorithm, kid, issuer.keys.algorithms()) {
            Choice::Key(key) => key,
            Choice::Refused(fault) => return Err(fault),
        };
        // An HMAC costs no more than finding out whether it was bad before.
        let costly = key.algorithm().family() != Family::Hmac;
        if costly && self.bad.contains(token, generation) {
            return Err(Fault::KnownBad);
        }
        if !key.verifies(unverified.message, unverified.signature) {
            if costly {
                self.bad.add(token, generation);
            }
            return Err(Fault::Signature);
        }
        let (verified, validity) = issuer.expectations.check(unverified, &*self.clock)?;
        let now = self.clock.unix_coarse().as_secs_f64();
        let ends = (now + self.cache_for).min(validity.end(issuer.expectations.skew));
        let lease = Lease { generation, ends, validity, issuer: at };
        let identity = self.cache.insert(token, verified, lease, now);
        issuer.expectations.validate(identity.claims()).map(|()| identity)
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

    /// Returns the position of the issuer that the token names. A single issuer is not looked up: its name is checked
    /// with the other claims, after the signature.
    fn issuer_of(&self, unverified: &Unverified<'_>) -> Result<usize, Fault> {
        if self.issuers.len() == 1 {
            return Ok(0);
        }
        let named = Registered::issuer(unverified.payload).ok_or(Fault::Missing("iss"))?;
        let position = self.issuers.iter().position(|issuer| issuer.name() == Some(&named));
        position.ok_or_else(|| Fault::Issuer(Reason::new(format_args!("found {named:?}"))))
    }

    /// Logs why a token is rejected, and returns the error for the client.
    fn reject(&self, fault: Fault, key_id: Option<&str>, issuer: Option<usize>) -> ApiError {
        fault.log(key_id, issuer.and_then(|at| self.issuers[at].name()));
        match fault {
            Fault::Expired => self.tokens.challenges.expired(),
            Fault::Own(error) => self.tokens.challenges.complete(*error),
            _ => self.tokens.challenges.invalid(),
        }
    }
}
