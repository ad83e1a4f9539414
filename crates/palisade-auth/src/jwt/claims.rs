use palisade_core::Principal;
use serde::{Deserialize, de::DeserializeOwned};

use super::{no_duplicates::NoDuplicates, token::Fault};

/// What a token must say (RFC 7519, section 4.1).
#[derive(Debug)]
pub(super) struct Expectations {
    pub(super) issuer: Option<String>,
    /// Empty: any audience.
    pub(super) audiences: Vec<String>,
    /// Seconds.
    pub(super) skew: f64,
}

/// The claims that we look at ourselves. A number is a JSON number: a string that looks like one is refused.
#[derive(Deserialize)]
struct Registered {
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    iss: Option<String>,
    sub: Option<String>,
    #[serde(default)]
    aud: OneOrMany,
    #[serde(default)]
    roles: OneOrMany,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

impl Expectations {
    /// Checks the claims of a token whose signature is good, at `now` seconds since the Unix epoch.
    pub(super) fn check<C: DeserializeOwned>(
        &self,
        payload: &[u8],
        now: f64,
    ) -> Result<(C, Principal), Fault> {
        NoDuplicates::check(payload).map_err(|_| Fault::Claims)?;
        let claims: Registered = serde_json::from_slice(payload).map_err(|_| Fault::Claims)?;
        self.check_times(&claims, now)?;

        let issuer = claims.iss.unwrap_or_default();
        if self.issuer.as_ref().is_some_and(|expected| *expected != issuer) {
            return Err(Fault::Issuer);
        }
        let audiences = claims.aud.as_slice();
        let is_for_us = self.audiences.is_empty()
            || audiences.iter().any(|audience| self.audiences.contains(audience));
        if !is_for_us {
            return Err(Fault::Audience);
        }
        // Without a subject there is nobody to count, to log or to authorise.
        let subject = claims.sub.filter(|subject| !subject.is_empty()).ok_or(Fault::Subject)?;
        let principal = Principal::new(subject)
            .issued_by(issuer)
            .with_roles(claims.roles.as_slice().iter().map(String::as_str))
            .with_scopes(claims.scope.as_deref().unwrap_or_default().split_ascii_whitespace());
        let own = serde_json::from_slice(payload).map_err(|_| Fault::Claims)?;
        Ok((own, principal))
    }

    fn check_times(&self, claims: &Registered, now: f64) -> Result<(), Fault> {
        let times = [claims.exp, claims.nbf, claims.iat];
        if times.into_iter().flatten().any(|time| !time.is_finite() || time < 0.0) {
            return Err(Fault::Claims);
        }
        let expires = claims.exp.ok_or(Fault::Claims)?;
        if now >= expires + self.skew {
            return Err(Fault::Expired);
        }
        if claims.nbf.is_some_and(|not_before| not_before > now + self.skew) {
            return Err(Fault::NotYetValid);
        }
        if claims.iat.is_some_and(|issued| issued > now + self.skew) {
            return Err(Fault::IssuedInFuture);
        }
        Ok(())
    }
}
