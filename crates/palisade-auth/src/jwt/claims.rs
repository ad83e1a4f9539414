use std::{borrow::Cow, collections::HashSet, sync::Arc};

use palisade_core::{ApiError, Clock, Principal};
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::{
    cache::Verified,
    claim_path::{ClaimPath, RolesByTenant},
    claims_type,
    fault::{Fault, Reason},
    registered::{List, Registered},
    token::{TokenType, Unverified},
    validity::Validity,
};

/// The required claims of one issuer's tokens (RFC 7519, section 4.1), and what they grant.
pub(crate) struct Expectations<C> {
    /// `None`: `iss` is not checked.
    pub(super) issuer: Option<Box<str>>,
    pub(super) audience: Audience,
    pub(super) profile: Profile,
    /// Seconds, as the other two.
    pub(super) skew: f64,
    pub(super) max_lifetime: Option<f64>,
    pub(super) max_age: Option<f64>,
    /// False: its subjects may be equal to those of the service's own issuer.
    pub(super) is_home: bool,
    pub(super) subject: Subject,
    pub(super) grants: Grants,
    pub(super) checks: Vec<Check<C>>,
    pub(super) conversion: Option<Conversion<C>>,
}

pub(super) type Check<C> = Arc<dyn Fn(&C) -> Result<(), ApiError> + Send + Sync>;
pub(super) type Conversion<C> = Arc<dyn Fn(&C, Principal) -> Principal + Send + Sync>;

/// The required audience of tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Audience {
    Any,
    /// One of these audiences; or no audience at all, and one of these clients.
    Listed {
        audiences: Vec<String>,
        clients: Vec<String>,
    },
}

/// The accepted type of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Plain,
    /// Access tokens of RFC 9068. ID tokens are rejected.
    AccessToken,
    /// Tokens about which the issuer was asked (RFC 7662). Its answer need not repeat `iss` and `exp`.
    #[cfg(feature = "introspection")]
    Introspected,
}

/// The claims of the subject.
#[derive(Debug)]
pub(super) struct Subject {
    /// The first of these that is present. Empty: `sub`.
    pub(super) paths: Vec<ClaimPath>,
    /// Before the client, if that is the subject of tokens without one.
    pub(super) client_prefix: Option<Box<str>>,
    pub(super) is_optional: bool,
}

/// The claims of roles, scopes and tenants. Values of several claims are joined.
#[derive(Debug)]
pub(super) struct Grants {
    /// The outermost members of all paths.
    pub(super) members: Vec<String>,
    pub(super) roles: Vec<ClaimPath>,
    pub(super) scopes: Vec<ClaimPath>,
    pub(super) tenants: Vec<ClaimPath>,
    pub(super) roles_by_tenant: Vec<ClaimPath>,
    pub(super) tenants_by_role: Vec<ClaimPath>,
}

impl<C: DeserializeOwned + 'static> Expectations<C> {
    /// Checks the claims of a token whose signature is valid and from this issuer.
    pub(super) fn check(
        &self,
        token: &Unverified<'_>,
        clock: &dyn Clock,
    ) -> Result<(Verified<C>, Validity), Fault> {
        self.check_payload(token.payload, token.header.token_type, clock)
    }

    /// Checks what the issuer says about a token.
    #[cfg(feature = "introspection")]
    pub(crate) fn check_introspected(
        &self,
        answer: &[u8],
        clock: &dyn Clock,
    ) -> Result<(Verified<C>, Validity), Fault> {
        self.check_payload(answer, TokenType::Jwt, clock)
    }

    fn check_payload(
        &self,
        payload: &[u8],
        token_type: TokenType,
        clock: &dyn Clock,
    ) -> Result<(Verified<C>, Validity), Fault> {
        let payload =
            std::str::from_utf8(payload).map_err(|error| Fault::unreadable(None, error))?;
        let claims = claims_type::read(payload)?;
        let mut registered = Registered::default();
        registered.read(payload, &self.grants.members)?;
        let validity = self
            .check_times(&registered, clock.unix_coarse().as_secs_f64())
            // The exact time decides about a token that is rejected: without a skew it may be valid since a moment.
            .or_else(|_| self.check_times(&registered, clock.unix().as_secs_f64()))?;
        let issuer = match registered.iss.as_deref() {
            #[cfg(feature = "introspection")]
            None if self.profile == Profile::Introspected => {
                self.issuer.as_deref().unwrap_or_default()
            }
            issuer => issuer.unwrap_or_default(),
        };
        if self.issuer.as_deref().is_some_and(|expected| expected != issuer) {
            return Err(Fault::Issuer(Reason::new(format_args!("found {issuer:?}"))));
        }
        self.audience.check(&registered)?;
        if self.profile == Profile::AccessToken {
            self.check_access_token(token_type, &registered)?;
        }
        // After the checks: a claim that the user's type does not fit says less than one that is not valid.
        let claims = claims?;
        let principal = self.principal(&registered, issuer, &claims)?;
        let confirmation = registered.cnf.map(Arc::new);
        Ok((Verified { claims, principal, confirmation }, validity))
    }

    fn principal(
        &self,
        registered: &Registered<'_>,
        issuer: &str,
        claims: &C,
    ) -> Result<Principal, Fault> {
        let subject = self.subject.find(registered)?;
        let principal = self.grants.principal(registered, issuer, &subject);
        let principal = match &self.conversion {
            None => principal,
            Some(convert) => match convert(claims, principal) {
                // Two issuers may use the same subject: a principal without its issuer could be taken for another.
                own if own.issuer().is_empty() && !issuer.is_empty() => own.issued_by(issuer),
                own => own,
            },
        };
        // Without a subject there is no identity to count, to log or to authorize.
        if principal.subject().is_empty() && !self.subject.is_optional {
            return Err(Fault::Missing("sub"));
        }
        // A conversion that sets another issuer has mapped the caller to one of that issuer.
        let is_mapped = principal.issuer() != issuer;
        let principal = if self.is_home || is_mapped { principal } else { principal.as_foreign() };
        let method = match self.profile {
            #[cfg(feature = "introspection")]
            Profile::Introspected => "introspection",
            Profile::Plain | Profile::AccessToken => "jwt",
        };
        Ok(if principal.method().is_empty() {
            principal.authenticated_by(method)
        } else {
            principal
        })
    }

    fn check_times(&self, claims: &Registered<'_>, now: f64) -> Result<Validity, Fault> {
        for (name, time) in [("exp", claims.exp), ("nbf", claims.nbf), ("iat", claims.iat)] {
            if time.is_some_and(|time| !time.is_finite() || time < 0.0) {
                return Err(Fault::unreadable(Some(name), "not a time"));
            }
        }
        let expires = match claims.exp {
            #[cfg(feature = "introspection")]
            None if self.profile == Profile::Introspected => f64::INFINITY,
            expires => expires.ok_or(Fault::Missing("exp"))?,
        };
        let too_old_after = match self.max_age {
            Some(most) => claims.iat.ok_or(Fault::Missing("iat"))? + most,
            None => f64::INFINITY,
        };
        let validity = Validity { not_before: claims.nbf.unwrap_or(0.0), expires, too_old_after };
        if claims.iat.is_some_and(|issued| issued > now + self.skew) {
            return Err(Fault::IssuedInFuture);
        }
        if self.max_lifetime.is_some_and(|most| expires - now > most + self.skew) {
            return Err(Fault::LivesTooLong);
        }
        validity.check(now, self.skew).map(|()| validity)
    }

    /// RFC 9068, sections 2.1 and 2.2: an ID token lacks some of these.
    fn check_access_token(
        &self,
        token_type: TokenType,
        claims: &Registered<'_>,
    ) -> Result<(), Fault> {
        if token_type != TokenType::AccessToken {
            return Err(Fault::AccessToken);
        }
        let texts = [
            ("iss", &claims.iss),
            ("sub", &claims.sub),
            ("jti", &claims.jti),
            ("client_id", &claims.client_id),
        ];
        for (name, text) in texts {
            let is_optional = name == "sub" && !self.subject.requires_sub();
            if !is_optional && text.as_ref().is_none_or(|text| text.is_empty()) {
                return Err(Fault::Missing(name));
            }
        }
        if claims.aud.is_empty() {
            return Err(Fault::Missing("aud"));
        }
        claims.iat.map(drop).ok_or(Fault::Missing("iat"))
    }
}

#[cfg(feature = "introspection")]
impl<C> Expectations<C> {
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the skew in seconds.
    pub(crate) fn skew(&self) -> f64 {
        self.skew
    }
}

impl<C> Expectations<C> {
    /// Runs the user's checks. They run on each request, also for a remembered token.
    pub(crate) fn validate(&self, claims: &C) -> Result<(), Fault> {
        let mut checks = self.checks.iter();
        checks.try_for_each(|check| check(claims)).map_err(|error| Fault::Own(Box::new(error)))
    }
}

impl Subject {
    /// Returns the subject of a token; empty if it has none.
    fn find<'a>(&self, claims: &Registered<'a>) -> Result<Cow<'a, str>, Fault> {
        let subject = match &*self.paths {
            [] => claims.sub.clone(),
            paths => paths.iter().find_map(|path| path.id(claims)),
        };
        let subject = subject.unwrap_or_default();
        let Some(prefix) = &self.client_prefix else { return Ok(subject) };
        if subject.starts_with(&**prefix) {
            return Err(Fault::unreadable(Some("sub"), "it begins with the prefix of clients"));
        }
        if !subject.is_empty() {
            return Ok(subject);
        }
        let mut clients = [&claims.client_id, &claims.azp].into_iter().flatten();
        let client = clients.find(|client| !client.is_empty());
        Ok(client.map(|client| format!("{prefix}{client}").into()).unwrap_or_default())
    }

    /// Returns true if `sub` is the only place where a subject may be, and there must be one.
    fn requires_sub(&self) -> bool {
        !self.is_optional && self.client_prefix.is_none() && self.paths.len() <= 1
    }
}

impl Audience {
    fn check(&self, claims: &Registered<'_>) -> Result<(), Fault> {
        let Self::Listed { audiences, clients } = self else { return Ok(()) };
        if !claims.aud.is_empty() {
            let is_listed = claims.aud.iter().any(|found| audiences.iter().any(|own| own == found));
            return if is_listed {
                Ok(())
            } else {
                Err(Fault::Audience(Reason::new(format_args!("found {:?}", claims.aud))))
            };
        }
        if clients.is_empty() {
            return Err(Fault::Missing("aud"));
        }
        let mut named = [&claims.client_id, &claims.azp].into_iter().flatten().peekable();
        let is_listed = |client: &Cow<'_, str>| clients.iter().any(|own| own == client);
        if named.peek().is_some() && named.all(is_listed) { Ok(()) } else { Err(Fault::Client) }
    }
}

impl Grants {
    fn principal(&self, claims: &Registered<'_>, issuer: &str, subject: &str) -> Principal {
        // Lists are filled in place: they are large to move.
        let mut roles = List::new();
        let mut scopes = List::new();
        let mut tenants = List::new();
        add_texts(&self.roles, claims, &mut roles);
        add_texts(&self.scopes, claims, &mut scopes);
        add_texts(&self.tenants, claims, &mut tenants);
        let mut by_tenant = RolesByTenant::new();
        for path in &self.roles_by_tenant {
            path.roles_by_tenant(claims, &mut by_tenant);
        }
        for path in &self.tenants_by_role {
            path.tenants_by_role(claims, &mut by_tenant);
        }
        if !by_tenant.is_empty() {
            tenants.extend(by_tenant.keys().map(|tenant| Cow::Owned(tenant.clone())));
        }
        remove_repeated(&mut roles);
        remove_repeated(&mut tenants);
        // A scope has no space (RFC 6749, section 3.3), so that an entry of a list may be a list too.
        let mut single_scopes = SmallVec::<[&str; FEW]>::new();
        single_scopes.extend(scopes.iter().flat_map(|scopes| scopes.split_ascii_whitespace()));
        remove_repeated(&mut single_scopes);
        let tenants = tenants.iter().map(|tenant| {
            let roles = by_tenant.get(&**tenant).into_iter().flatten().map(String::as_str);
            let mut roles: SmallVec<[&str; FEW]> = roles.collect();
            remove_repeated(&mut roles);
            (&**tenant, roles)
        });
        let roles = roles.iter().map(AsRef::as_ref);
        Principal::from_names(issuer, subject, roles, single_scopes.iter().copied(), tenants)
    }
}

fn add_texts<'a>(paths: &[ClaimPath], claims: &Registered<'a>, list: &mut List<'a>) {
    paths.iter().for_each(|path| path.add_texts(claims, list));
}

/// Keeps the first of equal names.
fn remove_repeated<A: smallvec::Array<Item: AsRef<str>>>(names: &mut SmallVec<A>) {
    if names.len() > FEW {
        let mut seen = HashSet::with_capacity(names.len());
        let repeated: Vec<bool> = names.iter().map(|name| !seen.insert(name.as_ref())).collect();
        let mut repeated = repeated.iter();
        return names.retain(|_| repeated.next() == Some(&false));
    }
    for at in (1..names.len()).rev() {
        let (before, name) = (&names[..at], names[at].as_ref());
        if before.iter().any(|other| other.as_ref() == name) {
            names.remove(at);
        }
    }
}

/// Up to this many names are compared with each other; for more, a set is built.
const FEW: usize = 16;
