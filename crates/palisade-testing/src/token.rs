use std::{fmt, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::TestIssuer;

/// How a token is made useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Tampered,
    UnknownKey,
}

/// A token that is about to be signed. Made by [`TestIssuer::token`].
///
/// It is valid for 10 minutes. Each method that makes it invalid does one thing, so that a test knows what was rejected.
///
/// ```
/// use palisade_testing::TestIssuer;
///
/// let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes");
/// let token = issuer.token("ada").role("admin").tenant("acme").build();
/// assert_eq!(token.split('.').count(), 3);
/// assert_ne!(issuer.token("ada").tampered().build(), token);
/// ```
#[derive(Clone)]
#[must_use = "a token is signed by `build`, `bearer` or `opaque`"]
pub struct TestToken {
    issuer: TestIssuer,
    claims: Map<String, Value>,
    /// Seconds from now.
    begins: i64,
    ends: i64,
    flaw: Option<Flaw>,
}

impl TestIssuer {
    /// Begins a token for this subject (`sub`).
    pub fn token(&self, subject: impl AsRef<str>) -> TestToken {
        TestToken::new(self.clone(), subject.as_ref())
    }
}

impl TestToken {
    fn new(issuer: TestIssuer, subject: &str) -> Self {
        let claims = Map::from_iter([
            ("iss".to_owned(), issuer.name().into()),
            ("sub".to_owned(), subject.into()),
            ("aud".to_owned(), issuer.audience().into()),
        ]);
        Self { issuer, claims, begins: 0, ends: 600, flaw: None }
    }

    /// Adds a role.
    pub fn role(self, role: impl Into<String>) -> Self {
        self.push("roles", role.into())
    }

    /// Adds a tenant.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.push("tenants", tenant.into())
    }

    /// Adds a scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        let scopes = match self.claims.get("scope").and_then(Value::as_str) {
            Some(others) => format!("{others} {scope}"),
            None => scope,
        };
        self.claims.insert("scope".into(), scopes.into());
        self
    }

    /// Sets a claim, also one of those that a token always has.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets all claims of a struct or map.
    ///
    /// # Panics
    ///
    /// If they are not an object.
    #[track_caller]
    pub fn claims(self, claims: &impl Serialize) -> Self {
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => {
                claims.into_iter().fold(self, |token, (name, value)| token.claim(name, value))
            }
            Ok(other) => panic!("claims are an object: {other}"),
            Err(error) => panic!("the claims cannot be written as JSON: {error}"),
        }
    }

    /// Sets how long the token is valid. Default: 10 min.
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.ends = self.begins + seconds(time);
        self
    }

    /// Lets the token expire an hour ago, beyond any clock skew that a service can allow.
    pub fn expired(mut self) -> Self {
        (self.begins, self.ends) = (-7200, -3601);
        self
    }

    /// Lets the token begin in two hours.
    pub fn not_yet_valid(mut self) -> Self {
        (self.begins, self.ends) = (7200, 7800);
        self
    }

    /// Issues the token to another service.
    pub fn for_audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// Names another issuer, which the service does not trust.
    pub fn from_issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer.into())
    }

    /// Changes the claims after the signature was made.
    pub fn tampered(mut self) -> Self {
        self.flaw = Some(Flaw::Tampered);
        self
    }

    /// Signs with a key that the issuer has not published.
    pub fn signed_by_unknown_key(mut self) -> Self {
        self.flaw = Some(Flaw::UnknownKey);
        self
    }

    /// Signs the token.
    pub fn build(self) -> String {
        let claims = self.dated();
        let token = self.issuer.sign(&claims, self.flaw == Some(Flaw::UnknownKey));
        if self.flaw != Some(Flaw::Tampered) {
            return token;
        }
        let mut forged = claims;
        forged.insert("sub".into(), "mallory".into());
        let other = self.issuer.sign(&forged, false);
        let part = |token: &str, at: usize| token.split('.').nth(at).unwrap_or_default().to_owned();
        format!("{}.{}.{}", part(&token, 0), part(&other, 1), part(&token, 2))
    }

    /// Signs the token, and returns the value of an `Authorization` header.
    pub fn bearer(self) -> String {
        format!("Bearer {}", self.build())
    }

    /// Issues an opaque token with these claims, about which a service asks the issuer (RFC 7662). It has no flaws but those of
    /// its claims; [`TestIssuer::revoke`] ends it.
    pub fn opaque(self) -> String {
        let claims = self.dated();
        self.issuer.opaque_issuer().issue(claims.into())
    }

    /// Returns the claims with the times. Times that were set as claims stay.
    fn dated(&self) -> Map<String, Value> {
        let now = i64::try_from(self.issuer.now().as_secs()).unwrap_or(i64::MAX);
        let at = |seconds: i64| Value::from(now.saturating_add(seconds).max(0));
        let mut claims = self.claims.clone();
        claims.entry("exp").or_insert_with(|| at(self.ends));
        claims.entry("nbf").or_insert_with(|| at(self.begins));
        claims.entry("iat").or_insert_with(|| at(self.begins.min(0)));
        claims.entry("jti").or_insert_with(|| self.issuer.next_id().into());
        claims
    }

    fn push(mut self, name: &str, value: String) -> Self {
        let list = self.claims.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        match list {
            Value::Array(values) => values.push(value.into()),
            other => *other = vec![value].into(),
        }
        self
    }

    /// Returns the caller in words, for the message of a failed assertion.
    pub(crate) fn description(&self) -> String {
        let mut shown = self.claims.clone();
        let subject = shown.remove("sub");
        let subject = subject.as_ref().and_then(Value::as_str).unwrap_or("no subject").to_owned();
        for usual in ["iss", "aud"] {
            shown.remove(usual);
        }
        if shown.is_empty() { subject } else { format!("{subject} {}", Value::from(shown)) }
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken")
            .field("claims", &self.claims)
            .field("flaw", &self.flaw)
            .finish_non_exhaustive()
    }
}
