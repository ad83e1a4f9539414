use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{error::IssueError, issued_token::IssuedToken, token_issuer::TokenIssuer};

/// Claims that are always the issuer's (RFC 7519, section 4.1).
const OWN_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// A token that is about to be signed. Made by [`TokenIssuer::token`].
///
/// ```
/// use palisade_auth::{Algorithm, SigningKey, TokenIssuer};
///
/// #[derive(serde::Serialize)]
/// struct Custom { plan: &'static str }
///
/// let key = SigningKey::secret(Algorithm::Hs256, "a signing key of at least thirty-two bytes")?;
/// let issuer = TokenIssuer::new("https://login.example.com", key).audience("orders").build()?;
/// let token = issuer
///     .token("ada")
///     .roles(["admin"])
///     .scopes(["orders:read"])
///     .tenants(["acme"])
///     .claims(&Custom { plan: "team" })
///     .sign()?;
/// assert!(!token.id().is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a token is signed by `sign`"]
pub struct NewToken<'a> {
    issuer: &'a TokenIssuer,
    subject: String,
    audiences: Vec<String>,
    lifetime: Duration,
    claims: Map<String, Value>,
    failed: Option<IssueError>,
}

impl<'a> NewToken<'a> {
    pub(super) fn new(issuer: &'a TokenIssuer, subject: String) -> Self {
        Self {
            issuer,
            subject,
            audiences: issuer.settings().audiences.clone(),
            lifetime: issuer.settings().lifetime,
            claims: Map::new(),
            failed: None,
        }
    }

    /// Sets the roles (`roles`).
    pub fn roles<R: Into<String>>(self, roles: impl IntoIterator<Item = R>) -> Self {
        self.with_list("roles", roles)
    }

    /// Sets the scopes (`scope`: RFC 8693, section 4.2).
    pub fn scopes<R: Into<String>>(self, scopes: impl IntoIterator<Item = R>) -> Self {
        let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        self.with_claim("scope".into(), scopes.join(" ").into())
    }

    /// Sets the tenants (`tenants`).
    pub fn tenants<R: Into<String>>(self, tenants: impl IntoIterator<Item = R>) -> Self {
        self.with_list("tenants", tenants)
    }

    /// Sets the client that the token is issued to (`client_id`: RFC 8693, section 4.3).
    pub fn client(self, id: impl Into<String>) -> Self {
        self.with_claim("client_id".into(), id.into().into())
    }

    /// Adds claims of your own: a struct or a map.
    pub fn claims(self, claims: &impl Serialize) -> Self {
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => {
                claims.into_iter().fold(self, |token, (name, value)| token.with_claim(name, value))
            }
            Ok(_) => self.failing(IssueError::Claims("they are not an object".into())),
            Err(error) => self.failing(IssueError::Claims(error.into())),
        }
    }

    /// Sets the audience, instead of the issuer's.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences = vec![audience.into()];
        self
    }

    /// Sets the time until the token expires, in whole seconds. Default: the issuer's. At most its `max_lifetime`.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Signs the token with the current key.
    ///
    /// # Errors
    ///
    /// If the subject is empty, claims are not an object or are set twice, the lifetime is too long, an access token has no client, the system has no
    /// random numbers, or the backend could not sign.
    pub fn sign(self) -> Result<IssuedToken, IssueError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let settings = self.issuer.settings();
        let longest = settings.max_lifetime;
        if self.lifetime < Duration::from_secs(1) || self.lifetime > longest {
            return Err(IssueError::Lifetime { requested: self.lifetime, longest });
        }
        if self.subject.is_empty() {
            return Err(IssueError::EmptySubject);
        }
        if settings.access_tokens && !self.claims.contains_key("client_id") {
            return Err(IssueError::MissingClient);
        }
        let issued_at = settings.clock.unix().as_secs();
        let expires_at = issued_at.saturating_add(self.lifetime.as_secs());
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| IssueError::Random)?;
        let id = URL_SAFE_NO_PAD.encode(random);

        let mut claims = self.claims;
        let audience = match &*self.audiences {
            [only] => Value::from(only.as_str()),
            several => Value::from(several),
        };
        let own = [
            ("iss", settings.name.as_str().into()),
            ("sub", self.subject.into()),
            ("aud", audience),
            ("exp", expires_at.into()),
            ("nbf", issued_at.into()),
            ("iat", issued_at.into()),
            ("jti", id.as_str().into()),
        ];
        claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let typ = if settings.access_tokens { "at+jwt" } else { "JWT" };
        let token = self.issuer.signing_key().sign_as(typ, &claims)?;
        Ok(IssuedToken { token, id, issued_at, expires_at })
    }

    fn with_list<R: Into<String>>(self, name: &str, values: impl IntoIterator<Item = R>) -> Self {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        self.with_claim(name.to_owned(), values.into())
    }

    fn with_claim(mut self, name: String, value: Value) -> Self {
        if OWN_CLAIMS.contains(&&*name) || self.claims.contains_key(&name) {
            return self.failing(IssueError::ReservedClaim(name));
        }
        self.claims.insert(name, value);
        self
    }

    /// Keeps the first error for [`sign`](Self::sign), so that the setters can be chained.
    fn failing(mut self, error: IssueError) -> Self {
        self.failed.get_or_insert(error);
        self
    }
}

impl fmt::Debug for NewToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("subject", &self.subject)
            .field("audiences", &self.audiences)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
