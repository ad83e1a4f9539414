//! Environment variables, checked at start.

use std::fmt;

use palisade::Secret;
use uuid::Uuid;

/// The configuration of the service.
pub(crate) struct Config {
    /// Signs the access tokens.
    pub(crate) token_secret: Secret,
    /// The signing secret of the endpoint at Stripe.
    pub(crate) stripe_secret: Secret,
    /// Shared with the partner who sends webhooks.
    pub(crate) partner_secret: Secret,
    /// The password of the only user. Hash yours with argon2 or similar, on a blocking thread.
    pub(crate) password: String,
    /// The origin whose pages may call the API.
    pub(crate) app_origin: String,
}

impl Config {
    /// Reads all variables: `Config::from_vars(|name| std::env::var(name).ok())`.
    ///
    /// # Errors
    ///
    /// Lists all variables that are missing or empty, not only the first.
    pub(crate) fn from_vars(
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, MissingVariables> {
        let mut missing = Vec::new();
        let mut read = |name: &'static str| {
            let value = var(name).unwrap_or_default();
            if value.is_empty() {
                missing.push(name);
            }
            value
        };
        let config = Self {
            token_secret: read("TOKEN_SECRET").into(),
            stripe_secret: read("STRIPE_WEBHOOK_SECRET").into(),
            partner_secret: read("PARTNER_WEBHOOK_SECRET").into(),
            password: read("ADMIN_PASSWORD"),
            app_origin: read("APP_ORIGIN"),
        };
        if missing.is_empty() { Ok(config) } else { Err(MissingVariables(missing)) }
    }

    /// Returns a configuration with new secrets, for development and tests.
    pub(crate) fn development() -> Self {
        let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self {
            token_secret: secret().into(),
            stripe_secret: format!("whsec_{}", secret()).into(),
            partner_secret: secret().into(),
            password: "correct horse".to_owned(),
            app_origin: "https://app.example.com".to_owned(),
        }
    }
}

/// The variables without a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MissingVariables(pub(crate) Vec<&'static str>);

impl fmt::Display for MissingVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set these environment variables: {}", self.0.join(", "))
    }
}

impl std::error::Error for MissingVariables {}
