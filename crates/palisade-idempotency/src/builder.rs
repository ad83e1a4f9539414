use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Method, request};
use palisade_claims::ClaimStore;
use palisade_core::{Clock, ConfigError, LogBackoff, SystemClock};

use crate::{
    Idempotency,
    rules::{CustomScope, Rules},
};

/// The default retention, as of Stripe.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The default limits of bodies, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Configures an [`Idempotency`] layer. Created by [`Idempotency::new`].
///
/// ```
/// use std::time::Duration;
/// use http::Method;
/// use palisade_idempotency::{Idempotency, InMemoryClaims};
///
/// let idempotency = Idempotency::new(InMemoryClaims::new(10_000)?)
///     .required()
///     .methods([Method::POST])
///     .keep(Duration::from_secs(3600))
///     .max_request_body(64 * 1024) // bytes
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct IdempotencyBuilder {
    store: Arc<dyn ClaimStore>,
    methods: Vec<Method>,
    required: bool,
    strict: bool,
    keep: Duration,
    max_request: usize,
    max_response: usize,
    replayed_headers: Option<Vec<HeaderName>>,
    store_server_errors: bool,
    scope: Option<CustomScope>,
    runs_when_store_fails: bool,
    clock: Arc<dyn Clock>,
}

impl IdempotencyBuilder {
    pub(crate) fn new(store: Arc<dyn ClaimStore>) -> Self {
        Self {
            store,
            methods: vec![Method::POST, Method::PATCH],
            required: false,
            strict: false,
            keep: KEEP,
            max_request: MAX_BODY,
            max_response: MAX_BODY,
            replayed_headers: None,
            store_server_errors: false,
            scope: None,
            runs_when_store_fails: false,
            clock: SystemClock::shared(),
        }
    }

    /// Rejects requests without a key: 400 `IDEMPOTENCY_KEY_REQUIRED`. Default: they are processed without protection.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets the methods whose keys count. Default: POST and PATCH. Keys of other requests are ignored.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Rejects keys without double quotes, as the draft specifies them (section 2.1). Default: both spellings are accepted.
    #[must_use]
    pub fn strict_keys(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Sets how long responses are replayed. Default: 24 hours.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Sets the limit of request bodies with a key, in bytes. Default: 1 MiB.
    #[must_use]
    pub fn max_request_body(mut self, bytes: usize) -> Self {
        self.max_request = bytes;
        self
    }

    /// Sets the limit of response bodies that are stored, in bytes. Default: 1 MiB. Larger ones reach the client unchanged, and
    /// retries get 409 `RESPONSE_NOT_STORED`.
    #[must_use]
    pub fn max_response_body(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Stores only these header fields of responses. Default: all except `Set-Cookie`, `Date`, and those of the connection,
    /// which are never stored.
    #[must_use]
    pub fn replayed_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.replayed_headers = Some(names.into_iter().collect());
        self
    }

    /// Stores server errors (5xx) as results too, so that a retry does not run. Default: they release the key.
    ///
    /// For handlers whose effect may have happened before they failed, such as a charge by a provider.
    #[must_use]
    pub fn store_server_errors(mut self) -> Self {
        self.store_server_errors = true;
        self
    }

    /// Scopes keys by this text instead of the authenticated caller, such as the id of an API client. `None` rejects the
    /// request with 401.
    ///
    /// Callers with one scope can read each other's responses, if they know or guess a key. Default: the
    /// [`Principal`](palisade_core::Principal) of the request, with issuer and tenant.
    ///
    /// ```
    /// use palisade_idempotency::{Idempotency, InMemoryClaims};
    ///
    /// let idempotency = Idempotency::new(InMemoryClaims::new(10_000)?)
    ///     .scope_by(|head| head.headers.get("x-device")?.to_str().ok().map(str::to_owned))
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn scope_by(
        mut self,
        scope: impl Fn(&request::Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.scope = Some(Arc::new(scope));
        self
    }

    /// Processes requests while the store fails or is full. Some may be processed twice. Default: 503.
    #[must_use]
    pub fn insecure_run_when_store_fails(mut self) -> Self {
        self.runs_when_store_fails = true;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If there is no method, or one that needs no key (GET, HEAD, OPTIONS, TRACE); if the retention or a limit is zero.
    pub fn build(self) -> Result<Idempotency, ConfigError> {
        let needs_no_key = |method: &&Method| method.is_safe();
        if let Some(method) = self.methods.iter().find(needs_no_key) {
            let remedy = "use methods that change something, such as POST: safe requests can be repeated without a key";
            return Err(ConfigError::new("methods", method, remedy));
        }
        if self.methods.is_empty() {
            return Err(ConfigError::new("methods", "[]", "use at least one method, such as POST"));
        }
        if self.keep.is_zero() {
            let remedy = "use the time within which clients retry, such as 24 hours";
            return Err(ConfigError::new("keep", "0 s", remedy));
        }
        for (setting, limit) in
            [("max_request_body", self.max_request), ("max_response_body", self.max_response)]
        {
            if limit == 0 {
                return Err(ConfigError::new(setting, 0, "use a number of bytes, such as 1 MiB"));
            }
        }
        Ok(Idempotency::from_rules(Rules {
            store: self.store,
            methods: self.methods,
            required: self.required,
            strict: self.strict,
            keep: self.keep,
            max_request: self.max_request,
            max_response: self.max_response,
            replayed_headers: self.replayed_headers.map(Into::into),
            store_server_errors: self.store_server_errors,
            scope: self.scope,
            runs_when_store_fails: self.runs_when_store_fails,
            clock: self.clock,
            failures: LogBackoff::default(),
            unstored: LogBackoff::default(),
        }))
    }
}

impl fmt::Debug for IdempotencyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyBuilder")
            .field("methods", &self.methods)
            .field("required", &self.required)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
