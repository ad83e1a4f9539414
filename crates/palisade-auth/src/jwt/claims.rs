use palisade_core::Principal;
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use super::{
    registered::{Many, Registered},
    token::{Fault, Profile},
};
use crate::Identity;

/// What a token must say (RFC 7519, section 4.1).
#[derive(Debug)]
pub(super) struct Expectations {
    /// Empty: any audience.
    pub(super) audiences: Vec<String>,
    pub(super) profile: Profile,
    /// Seconds, as the other three.
    pub(super) skew: f64,
    pub(super) max_lifetime: Option<f64>,
    pub(super) max_age: Option<f64>,
    pub(super) roles: Path,
    pub(super) tenants: Path,
}

/// Where in the claims something is: names, from the outside in. Names are whole: they may have dots and slashes.
pub(super) type Path = Vec<String>;

/// When a token counts, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    not_before: f64,
    expires: f64,
}

impl Validity {
    pub(super) fn check(self, now: f64, skew: f64) -> Result<(), Fault> {
        if now >= self.expires + skew {
            return Err(Fault::Expired);
        }
        if self.not_before > now + skew {
            return Err(Fault::NotYetValid);
        }
        Ok(())
    }
}

impl Expectations {
    /// Checks the claims of a token whose signature is good, and was made by a key of `issuer`.
    pub(super) fn check<C: DeserializeOwned>(
        &self,
        payload: &[u8],
        issuer: Option<&str>,
        now: f64,
    ) -> Result<(Identity<C>, Validity), Fault> {
        let claims = Registered::read(payload, first(&self.roles), first(&self.tenants))
            .map_err(|_| Fault::Claims)?;
        let validity = self.check_times(&claims, now)?;

        let named = claims.iss.as_deref().unwrap_or_default();
        if issuer.is_some_and(|expected| expected != named) {
            return Err(Fault::Issuer);
        }
        let audiences = &claims.aud.0;
        let is_for_us = self.audiences.is_empty()
            || audiences.iter().any(|audience| self.audiences.iter().any(|own| own == audience));
        if !is_for_us {
            return Err(Fault::Audience);
        }
        if self.profile == Profile::AccessToken {
            check_access_token(&claims)?;
        }
        // Without a subject there is nobody to count, to log or to authorise.
        let subject = claims.sub.as_deref().filter(|subject| !subject.is_empty());
        let scope = claims.scope.as_deref().unwrap_or_default();
        let scopes =
            scope.split_ascii_whitespace().chain(claims.scp.0.iter().map(|scope| &**scope));
        let principal = Principal::new(subject.ok_or(Fault::Subject)?)
            .issued_by(named)
            .with_roles(names_at(claims.roles, &self.roles))
            .with_tenants(names_at(claims.tenants, &self.tenants))
            .with_scopes(scopes);
        let own = serde_json::from_slice(payload).map_err(|_| Fault::Claims)?;
        Ok((Identity::new(own, principal), validity))
    }

    fn check_times(&self, claims: &Registered<'_>, now: f64) -> Result<Validity, Fault> {
        let times = [claims.exp, claims.nbf, claims.iat];
        if times.into_iter().flatten().any(|time| !time.is_finite() || time < 0.0) {
            return Err(Fault::Claims);
        }
        let expires = claims.exp.ok_or(Fault::Claims)?;
        let validity = Validity { not_before: claims.nbf.unwrap_or(0.0), expires };
        validity.check(now, self.skew)?;
        if claims.iat.is_some_and(|issued| issued > now + self.skew) {
            return Err(Fault::IssuedInFuture);
        }
        if self.max_lifetime.is_some_and(|most| expires - now > most + self.skew) {
            return Err(Fault::LivesTooLong);
        }
        if let Some(most) = self.max_age {
            let issued = claims.iat.ok_or(Fault::Claims)?;
            if now - issued > most + self.skew {
                return Err(Fault::TooOld);
            }
        }
        Ok(validity)
    }
}

fn first(path: &Path) -> &str {
    path.first().map_or("", String::as_str)
}

/// RFC 9068, section 2.2: an ID token lacks some of these.
fn check_access_token(claims: &Registered<'_>) -> Result<(), Fault> {
    let texts = [&claims.iss, &claims.sub, &claims.jti, &claims.client_id];
    let complete = texts.into_iter().all(|text| text.as_ref().is_some_and(|text| !text.is_empty()))
        && claims.iat.is_some()
        && !claims.aud.0.is_empty();
    if complete { Ok(()) } else { Err(Fault::AccessToken) }
}

/// The text or texts at the end of a path whose first member this is. What is there and is no text counts for nothing.
fn names_at(member: Option<&RawValue>, path: &Path) -> Vec<Box<str>> {
    let Some(member) = member else { return Vec::new() };
    if let ([_], Ok(names)) = (path.as_slice(), serde_json::from_str::<Many<'_>>(member.get())) {
        return names.0.into_iter().map(Into::into).collect();
    }
    let value = serde_json::from_str::<Value>(member.get()).ok();
    let found = path.iter().skip(1).fold(value.as_ref(), |value, name| value?.get(name));
    let one = |value: &Value| value.as_str().map(Into::into);
    match found {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}
