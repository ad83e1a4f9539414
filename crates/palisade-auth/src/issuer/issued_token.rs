use std::{fmt, time::Duration};

/// A signed token. `Debug` does not show it.
///
/// ```
/// use std::time::Duration;
/// use palisade_auth::{Algorithm, SigningKey, TokenIssuer};
///
/// let key = SigningKey::secret(Algorithm::Hs256, "a signing key of at least thirty-two bytes")?;
/// let issuer = TokenIssuer::new("https://login.example.com", key).audience("orders").build()?;
/// let token = issuer.token("ada").sign()?;
/// // the response of an OAuth token endpoint (RFC 6749, section 5.1)
/// let body = serde_json::json!({
///     "access_token": token.as_str(),
///     "token_type": "Bearer",
///     "expires_in": token.lifetime().as_secs(),
/// });
/// assert_eq!(body["expires_in"], 600);
/// assert!(!format!("{token:?}").contains(token.as_str()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct IssuedToken {
    pub(super) token: String,
    pub(super) id: String,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
}

impl IssuedToken {
    /// Returns the token for the client.
    pub fn as_str(&self) -> &str {
        &self.token
    }

    /// Returns the token for the client.
    pub fn into_string(self) -> String {
        self.token
    }

    /// Returns the token's id (`jti`), to revoke it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the time from which the token is not valid (`exp`), since the Unix epoch.
    pub fn expires_at(&self) -> Duration {
        Duration::from_secs(self.expires_at)
    }

    /// Returns the time from issue to expiry.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.expires_at.saturating_sub(self.issued_at))
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
