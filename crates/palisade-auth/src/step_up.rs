use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use http::{HeaderValue, header, request};
use palisade_core::{ApiError, Clock, ConfigError, Decision, Policy, PolicyLayer, SystemClock};

use crate::Identity;

/// The method and time of a login: the claims `acr` and `auth_time` of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginContext<'a> {
    /// The authentication context class reference, if the token names one.
    pub acr: Option<&'a str>,
    /// The time of the login, in seconds since the Unix epoch.
    pub auth_time: Option<u64>,
}

/// Requires that the user has logged in recently, or by a certain method (step-up authentication, RFC 9470).
///
/// A request whose token does not meet the requirement gets 401 with `error="insufficient_user_authentication"` and the
/// requirement in the challenge, so that the client sends the user to log in again. A token without the claims does not meet
/// it. Place it inside of the authentication whose claims it reads.
///
/// ```
/// use std::time::Duration;
/// use palisade_auth::{Jwt, LoginContext, StepUp};
/// use palisade_core::Policy;
///
/// #[derive(serde::Deserialize)]
/// struct Claims { acr: Option<String>, auth_time: Option<u64> }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("bank").build()?;
/// let transfers = StepUp::new(|claims: &Claims| LoginContext {
///     acr: claims.acr.as_deref(),
///     auth_time: claims.auth_time,
/// });
/// let guard = auth.then(transfers.acr_values(["phr"]).max_age(Duration::from_secs(300)).build()?);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct StepUp<C> {
    read: ReadLogin<C>,
    acr_values: Arc<[Box<str>]>,
    /// Seconds.
    max_age: Option<u64>,
    challenge: HeaderValue,
    clock: Arc<dyn Clock>,
}

type ReadLogin<C> = Arc<dyn for<'a> Fn(&'a C) -> LoginContext<'a> + Send + Sync>;

/// The settings of a [`StepUp`].
pub struct StepUpBuilder<C> {
    read: ReadLogin<C>,
    acr_values: Vec<Box<str>>,
    max_age: Option<Duration>,
    clock: Arc<dyn Clock>,
    claims: PhantomData<fn() -> C>,
}

impl<C: Send + Sync + 'static> StepUp<C> {
    /// Creates a builder. `read` returns the login of the claims.
    #[allow(clippy::new_ret_no_self, reason = "the builder is named by what it builds")]
    pub fn new<F>(read: F) -> StepUpBuilder<C>
    where
        F: for<'a> Fn(&'a C) -> LoginContext<'a> + Send + Sync + 'static,
    {
        StepUpBuilder {
            read: Arc::new(read),
            acr_values: Vec::new(),
            max_age: None,
            clock: SystemClock::shared(),
            claims: PhantomData,
        }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    fn is_met(&self, login: LoginContext<'_>) -> bool {
        let has_acr = self.acr_values.is_empty()
            || self.acr_values.iter().any(|value| login.acr == Some(value));
        let is_recent = self.max_age.is_none_or(|most| {
            // A login in the future is a mistake of the issuer, and not a recent one. A minute is for its clock.
            let now = self.clock.unix().as_secs();
            login.auth_time.is_some_and(|time| {
                time <= now.saturating_add(60) && now.saturating_sub(time) <= most
            })
        });
        has_acr && is_recent
    }
}

impl<C: Send + Sync + 'static> StepUpBuilder<C> {
    /// Accepts logins of these classes only, in order of preference.
    #[must_use]
    pub fn acr_values<V: Into<Box<str>>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.acr_values.extend(values.into_iter().map(Into::into));
        self
    }

    /// Accepts logins that are no older than this, in whole seconds.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Without a requirement; for a class that contains spaces, quotes or backslashes.
    pub fn build(self) -> Result<StepUp<C>, ConfigError> {
        if self.acr_values.is_empty() && self.max_age.is_none() {
            let remedy = "add a requirement: `.acr_values([…])` or `.max_age(…)`";
            return Err(ConfigError::without_value("step_up", remedy));
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let wrong = |value: &str| value.is_empty() || !value.bytes().all(is_plain);
        let remedy = "use printable ASCII without spaces, quotes and backslashes";
        if let Some(value) = self.acr_values.iter().find(|value| wrong(value)) {
            return Err(ConfigError::new("acr_values", value.escape_debug(), remedy));
        }
        let mut challenge = "Bearer error=\"insufficient_user_authentication\", \
             error_description=\"Another authentication is required\""
            .to_owned();
        if !self.acr_values.is_empty() {
            challenge.push_str(&format!(", acr_values=\"{}\"", self.acr_values.join(" ")));
        }
        let max_age = self.max_age.map(|age| age.as_secs());
        if let Some(age) = max_age {
            challenge.push_str(&format!(", max_age=\"{age}\""));
        }
        let challenge = HeaderValue::try_from(challenge)
            .map_err(|_| ConfigError::without_value("acr_values", remedy))?;
        let acr_values = self.acr_values.into();
        Ok(StepUp { read: self.read, acr_values, max_age, challenge, clock: self.clock })
    }
}

impl<C: Send + Sync + 'static> Policy for StepUp<C> {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let identity = Identity::<C>::from_extensions(&request.extensions);
        if identity.is_some_and(|identity| self.is_met((self.read)(identity.claims()))) {
            return Decision::grant(());
        }
        if identity.is_some() {
            log_rejection!("a login was rejected: it is too old, or its `acr` is not accepted");
        } else {
            tracing::warn!(
                target: "palisade::auth",
                "a request has no identity with the claims of `StepUp`: place it inside of the authentication"
            );
        }
        let error = ApiError::unauthenticated().with_message("another authentication is required");
        Decision::refuse(error.with_header(header::WWW_AUTHENTICATE, self.challenge.clone()))
    }
}

impl<C> Clone for StepUp<C> {
    fn clone(&self) -> Self {
        Self {
            read: Arc::clone(&self.read),
            acr_values: Arc::clone(&self.acr_values),
            max_age: self.max_age,
            challenge: self.challenge.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}

impl<C> fmt::Debug for StepUp<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUp")
            .field("acr_values", &self.acr_values)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for StepUpBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepUpBuilder")
            .field("acr_values", &self.acr_values)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
