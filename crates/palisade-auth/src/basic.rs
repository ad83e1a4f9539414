use std::{
    fmt,
    future::Future,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::request;
use palisade_core::{ApiError, BoxError, ConfigError, PolicyLayer};

use crate::{
    Attempt, Authenticate, Identity,
    authenticate::{Pending, policy_of},
    authorization::Authorization,
    scheme::Scheme,
};

mod password;

pub use password::Password;
use password::Slot;

/// Authenticates by HTTP Basic (RFC 7617) with your own verification.
///
/// The verification receives the user and the [`Password`], and returns an identity, `None` (401), or an error (503). For a
/// user that does not exist it must verify the password against a fixed hash; otherwise its duration reveals which users exist.
///
/// Password hashes are slow by design, so a flood of guesses could exhaust the CPU. Therefore at most 16 verifications run at
/// the same time ([`concurrency`](BasicBuilder::concurrency)), and further requests get 503 with `Retry-After` at once. A
/// verification keeps its slot until its [`Password`] is dropped and its future has completed or is dropped. Move the password
/// to the thread that hashes it, so that the slot stays taken until the hash is done, also if the client disconnects.
///
/// User and password are UTF-8, as the challenge says (`charset="UTF-8"`), without normalisation. Control characters,
/// invalid base64 and credentials that are too long get 401.
///
/// Browsers repeat these credentials automatically, also in requests from pages of other sites. If browsers use them, add a
/// [`CsrfCheck`](crate::CsrfCheck) as an outer policy. Use TLS.
///
/// ```
/// use palisade_auth::{Basic, Identity, Password};
/// use palisade_core::{BoxError, Principal};
///
/// # fn hash_matches(user: &str, password: &str) -> bool { user == "ada" && password == "correct horse" }
/// let auth = Basic::builder(|user: String, password: Password| async move {
///     let (user, good) = tokio::task::spawn_blocking(move || {
///         // argon2, say; against a fixed hash if there is no such user
///         let good = hash_matches(&user, password.reveal());
///         (user, good)
///     })
///     .await?;
///     Ok::<_, BoxError>(good.then(|| Identity::new((), Principal::new(user))))
/// })
/// .concurrency(4)
/// .build()?;
/// # let layer = auth.layer();
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct Basic<F> {
    rules: Arc<Rules<F>>,
}

struct Rules<F> {
    verify: F,
    running: Arc<AtomicUsize>,
    concurrency: usize,
    max_credentials: usize,
    scheme: Scheme,
}

impl<F, Fut, C, E> Basic<F>
where
    F: Fn(String, Password) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Identity<C>>, E>> + Send + 'static,
    C: Send + Sync + 'static,
    E: Into<BoxError> + 'static,
{
    /// Authenticates callers whose credentials `verify` accepts.
    pub fn builder(verify: F) -> BasicBuilder<F> {
        BasicBuilder { verify, concurrency: 16, max_credentials: 1024, realm: "api".to_owned() }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Verifies credentials that do not come in an `Authorization` header, such as those of a login form. They count
    /// against the same concurrency limit.
    ///
    /// # Errors
    ///
    /// 401 if the credentials are not valid, too long, or contain control characters; 503 if the verification fails or
    /// too many run.
    pub async fn verify(&self, user: &str, password: &str) -> Result<Identity<C>, ApiError> {
        // The limit is in base64, of which four characters encode three bytes.
        let length = user.len() + ":".len() + password.len();
        let is_too_long = length.div_ceil(3) * 4 > self.rules.max_credentials;
        let has_control = [user, password].into_iter().any(|text| text.contains(char::is_control));
        if is_too_long || user.contains(':') || has_control {
            return Err(self.malformed());
        }
        self.verify_password(user.to_owned(), password.into()).outcome().await
    }

    fn malformed(&self) -> ApiError {
        log_rejection!("basic credentials were rejected: malformed");
        self.rules.scheme.invalid(NOT_VALID)
    }

    fn verify_password(&self, user: String, password: Box<str>) -> Attempt<C> {
        let rules = &*self.rules;
        let Some(slot) = Slot::take(&rules.running, rules.concurrency) else {
            tracing::warn!(
                target: "palisade::auth", limit = rules.concurrency,
                "a request was rejected: too many passwords are being verified"
            );
            let error = ApiError::unavailable().with_retry_after(Duration::from_secs(1));
            return Attempt::Now(Err(error));
        };
        let slot = Arc::new(slot);
        let password = Password::new(password, Arc::clone(&slot));
        let rules = Arc::clone(&self.rules);
        Attempt::Later(Pending::new(async move {
            let outcome = (rules.verify)(user, password).await;
            drop(slot);
            match outcome {
                Ok(Some(identity)) => Ok(identity.authenticated_by("basic")),
                Ok(None) => {
                    log_rejection!("basic credentials were rejected");
                    Err(rules.scheme.invalid(NOT_VALID))
                }
                Err(error) => Err(ApiError::unavailable().with_source(error)),
            }
        }))
    }
}

/// The settings of [`Basic`]. Made by [`Basic::builder`].
pub struct BasicBuilder<F> {
    verify: F,
    concurrency: usize,
    max_credentials: usize,
    realm: String,
}

impl<F> BasicBuilder<F> {
    /// Sets how many verifications may run at once. Default: 16. Consider the memory of each: 19 MiB and more with
    /// argon2.
    #[must_use]
    pub fn concurrency(mut self, verifications: usize) -> Self {
        self.concurrency = verifications;
        self
    }

    /// Sets how many bytes of base64 are accepted. Default: 1024.
    #[must_use]
    pub fn max_credentials(mut self, bytes: usize) -> Self {
        self.max_credentials = bytes;
        self
    }

    /// Sets the realm of the challenges, which browsers show. Default: `api`.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// For no verifications at all, no bytes at all, or a realm that needs quoting.
    pub fn build(self) -> Result<Basic<F>, ConfigError> {
        for (setting, value) in
            [("concurrency", self.concurrency), ("max_credentials", self.max_credentials)]
        {
            if value == 0 {
                return Err(ConfigError::new(
                    setting,
                    0,
                    "with 0 every request is rejected; use at least 1",
                ));
            }
        }
        Ok(Basic {
            rules: Arc::new(Rules {
                verify: self.verify,
                running: Arc::default(),
                concurrency: self.concurrency,
                max_credentials: self.max_credentials,
                scheme: Scheme::new("Basic", &self.realm, ", charset=\"UTF-8\"")?,
            }),
        })
    }
}

impl<F, Fut, C, E> Authenticate for Basic<F>
where
    F: Fn(String, Password) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Identity<C>>, E>> + Send + 'static,
    C: Send + Sync + 'static,
    E: Into<BoxError> + 'static,
{
    type Claims = C;

    fn authenticate(&self, request: &request::Parts) -> Attempt<C> {
        let rules = &*self.rules;
        let credentials = match Authorization::read(&request.headers, "Basic") {
            Authorization::Absent => return Attempt::Absent(rules.scheme.missing()),
            Authorization::Two => return Attempt::Now(Err(rules.scheme.reject_two())),
            Authorization::Credentials(credentials) => credentials,
        };
        match user_and_password(credentials, rules.max_credentials) {
            Some((user, password)) => self.verify_password(user, password),
            None => Attempt::Now(Err(self.malformed())),
        }
    }

    fn invalid(&self) -> ApiError {
        self.rules.scheme.invalid(NOT_VALID)
    }
}

policy_of!([F] Basic<F>);

const NOT_VALID: &str = "the user name or the password is not valid";

/// `user-pass = user-id ":" password`, in base64 (RFC 7617, section 2). The user has no colon, the password may.
fn user_and_password(credentials: &[u8], max: usize) -> Option<(String, Box<str>)> {
    if credentials.len() > max {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    if text.contains(char::is_control) {
        return None;
    }
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.into()))
}

impl<F> Clone for Basic<F> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules) }
    }
}

impl<F> fmt::Debug for Basic<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("concurrency", &self.rules.concurrency)
            .field("running", &self.rules.running)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for BasicBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicBuilder")
            .field("concurrency", &self.concurrency)
            .field("max_credentials", &self.max_credentials)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
