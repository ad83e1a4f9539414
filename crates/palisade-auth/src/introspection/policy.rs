use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Uri, request, response};
use palisade_core::{ApiError, BoxError, Clock, PolicyLayer};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::{
    answers::{ActiveToken, Answers, Negative, TokenHash, hash},
    builder::IntrospectionBuilder,
    client::ReadyAuthentication,
    question,
};
use crate::{
    Attempt, Authenticate, Identity, Pending,
    authenticate::policy_of,
    authorization::{Authorization, token68},
    challenge::Challenges,
    fetch::{Fetch, FetchInProgress, backoff, causes},
    jwt::{Expectations, Fault, MAX_TOKEN, Validity},
    sender::{Scheme, SenderCheck},
};

/// How many tokens the issuer is asked about at once. Other tokens get a 503 meanwhile, so that a flood of made-up tokens
/// can fill neither the memory nor the issuer.
const MAX_IN_PROGRESS: usize = 512;

/// The longest pause after an issuer did not answer about a token.
const BACKOFF: Duration = Duration::from_secs(2);

/// Authentication by an opaque token, about which the issuer is asked (RFC 7662).
///
/// The request gets an [`Identity<C>`] and a [`Principal`](palisade_core::Principal), made of the answer as [`Jwt`] makes
/// them of a token's claims.
///
/// | answer of the issuer | response |
/// | --- | --- |
/// | `"active": true`, and all checks pass | the handler's |
/// | `"active": false`, expired, for another audience | 401 with `error="invalid_token"` |
/// | a binding to the client (`cnf`) that the request does not prove | 401; see [`dpop`](IntrospectionBuilder::dpop) and [`client_certificates`](IntrospectionBuilder::client_certificates) |
/// | none in time, another status than 200, no boolean `active` | 503 with `Retry-After`: the token may be valid |
///
/// Answers are stored under a hash of the token: active ones for [`cache_for`](IntrospectionBuilder::cache_for), and never
/// beyond their `exp`, others for [`cache_negative_for`](IntrospectionBuilder::cache_negative_for). Requests with the same
/// token share one question.
///
/// ```
/// use palisade_auth::{Introspection, testing::TestIssuer};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize)]
/// struct Claims { username: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // an issuer for tests; without `fetch` an HTTP client is used (feature `jwks-http`)
/// let issuer = TestIssuer::new("orders-api", "secret");
/// let auth = Introspection::<Claims>::endpoint("https://issuer.example/introspect")
///     .client_secret_basic("orders-api", "secret")
///     .audience("orders")
///     .fetch(issuer.clone())
///     .build()?;
///
/// let token = issuer.issue(json!({ "sub": "1", "username": "ada", "aud": "orders", "scope": "read write" }));
/// let ada = auth.verify(&token).await?;
/// assert_eq!(ada.claims().username, "ada");
/// assert!(ada.principal().has_scope("write"));
///
/// assert_eq!(auth.verify("made-up").await.unwrap_err().status(), 401);
/// # Ok(()) }
/// ```
///
/// Clones share the answers. Requests must be served in a tokio runtime with its timer enabled.
///
/// [`Jwt`]: crate::Jwt
pub struct Introspection<C> {
    pub(super) shared: Arc<Shared<C>>,
}

pub(super) struct Shared<C> {
    pub(super) endpoint: Uri,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) authentication: ReadyAuthentication,
    pub(super) expectations: Expectations<C>,
    pub(super) sender: SenderCheck,
    pub(super) challenges: Challenges,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cache_for: Duration,
    pub(super) cache_negative_for: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
    pub(super) state: Mutex<State<C>>,
}

pub(super) struct State<C> {
    pub(super) answers: Answers<C>,
    pub(super) in_progress: HashMap<TokenHash, FetchInProgress<Verdict<C>>>,
    /// How often the answers were removed. An answer to an older question is not stored.
    pub(super) cleared: u64,
}

/// What is known about a token.
pub(super) enum Verdict<C> {
    Active(Identity<C>, Validity),
    Rejected { is_expired: bool },
    Unknown(Failure),
}

/// Why the issuer did not answer, and when to ask again.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    cause: Arc<dyn Error + Send + Sync>,
    retry_after: Duration,
}

impl<C: DeserializeOwned + Send + Sync + 'static> Introspection<C> {
    /// Asks the issuer at this address, its `introspection_endpoint`.
    pub fn endpoint(url: impl Into<String>) -> IntrospectionBuilder<C> {
        IntrospectionBuilder::new(url.into())
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Verifies a token that does not come with a request, such as the first message of a WebSocket. A token that is bound
    /// to a client (`cnf`) is rejected, because nothing proves possession of the key here.
    ///
    /// # Errors
    ///
    /// Returns a 401 if the token is not valid, and a 503 if the issuer does not answer.
    pub async fn verify(&self, token: &str) -> Result<Identity<C>, ApiError> {
        let identity = self.verify_token(token.as_bytes()).outcome().await?;
        self.shared.sender.check_without_request(&identity, &self.shared.challenges)?;
        Ok(identity)
    }

    /// Removes all stored answers. The issuer is asked about each token again.
    pub fn clear(&self) {
        let mut state = self.shared.state();
        state.answers.clear();
        state.cleared += 1;
    }

    fn verify_token(&self, token: &[u8]) -> Attempt<C> {
        let shared = &self.shared;
        let Some(token) = token68(token).filter(|token| token.len() <= MAX_TOKEN) else {
            return Attempt::Now(Err(shared.challenges.invalid()));
        };
        let hash = hash(token.as_bytes());
        let now = shared.clock.monotonic();
        let mut state = shared.state();
        if let Some(verdict) = state.known(&hash, now) {
            drop(state);
            return Attempt::Now(shared.answer(verdict));
        }
        if let Some(in_progress) = state.in_progress.get(&hash) {
            return self.wait(in_progress.clone());
        }
        let busy = |cause: &str| {
            let failure = Failure::new(cause, Duration::from_secs(1));
            Attempt::Now(shared.answer(Verdict::Unknown(failure)))
        };
        if state.in_progress.len() >= MAX_IN_PROGRESS {
            return busy("it is being asked about too many tokens");
        }
        let Ok(runtime) = Handle::try_current() else {
            return busy("there is no tokio runtime: serve requests in one");
        };
        let asked = question::request(&shared.endpoint, &shared.authentication, token);
        let (asking, completing) = (Arc::clone(shared), Arc::clone(shared));
        let cleared = state.cleared;
        let (in_progress, task) = FetchInProgress::new(
            async move { Ok(asking.fetch.post(asked).await?.body) },
            shared.timeout,
            move |result| completing.complete(hash, &result, cleared),
        );
        state.in_progress.insert(hash, in_progress.clone());
        // A runtime that is shutting down drops the task at once, which completes it and takes this lock.
        drop(state);
        runtime.spawn(task);
        self.wait(in_progress)
    }

    fn wait(&self, in_progress: FetchInProgress<Verdict<C>>) -> Attempt<C> {
        let shared = Arc::clone(&self.shared);
        Attempt::Later(Pending::new(async move {
            let verdict = in_progress.outcome().await.unwrap_or_else(|| {
                Verdict::Unknown(Failure::new("it was cancelled", Duration::from_secs(1)))
            });
            shared.answer(verdict)
        }))
    }
}

impl<C> State<C> {
    /// Returns what is known about a token without asking the issuer.
    fn known(&self, token: &TokenHash, now: Duration) -> Option<Verdict<C>> {
        let active = self.answers.active(token);
        if let Some(active) = active.filter(|active| now < active.fresh_until) {
            return Some(Verdict::Active(active.identity.clone(), active.validity));
        }
        match self.answers.negative(token, now)? {
            Negative::Rejected { is_expired, .. } => Some(Verdict::Rejected { is_expired }),
            Negative::Failed { until } => Some(match self.stale(token, now) {
                Some(verdict) => verdict,
                None => Verdict::Unknown(Failure::new("the last question failed", until - now)),
            }),
        }
    }

    fn stale(&self, token: &TokenHash, now: Duration) -> Option<Verdict<C>> {
        let active = self.answers.active(token).filter(|active| now < active.stale_until)?;
        Some(Verdict::Active(active.identity.clone(), active.validity))
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Shared<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the outcome for a request. Times and the user's checks apply to each request.
    fn answer(&self, verdict: Verdict<C>) -> Result<Identity<C>, ApiError> {
        match verdict {
            Verdict::Active(identity, validity) => {
                let now = self.clock.unix().as_secs_f64();
                let checked = validity
                    .check(now, self.expectations.skew())
                    .and_then(|()| self.expectations.validate(&identity));
                match checked {
                    Ok(()) => Ok(identity),
                    Err(fault) => Err(self.reject(fault)),
                }
            }
            Verdict::Rejected { is_expired: true } => Err(self.challenges.expired()),
            Verdict::Rejected { is_expired: false } => Err(self.challenges.invalid()),
            Verdict::Unknown(failure) => Err(ApiError::unavailable()
                .with_retry_after(failure.retry_after)
                .with_source(failure.cause)),
        }
    }

    fn reject(&self, fault: Fault) -> ApiError {
        fault.log(None, self.expectations.issuer());
        match fault {
            Fault::Expired => self.challenges.expired(),
            Fault::Own(error) => self.challenges.complete(*error),
            _ => self.challenges.invalid(),
        }
    }

    /// Stores the answer to a question.
    fn complete(
        &self,
        token: TokenHash,
        result: &Result<Bytes, BoxError>,
        cleared: u64,
    ) -> Verdict<C> {
        let now = self.clock.monotonic();
        // The user's type is parsed before the lock is taken.
        let read = match result {
            Ok(body) => self.read(body),
            Err(error) => Err(causes(&**error)),
        };
        let mut state = self.state();
        state.in_progress.remove(&token);
        let is_stored = state.cleared == cleared;
        match read {
            Ok(Verdict::Active(identity, validity)) => {
                let left = self.time_left(validity);
                let fresh_until = now + self.cache_for.min(left);
                let stale_until = now + (self.cache_for + self.max_stale).min(left);
                if is_stored {
                    let bytes = result.as_ref().map_or(0, Bytes::len);
                    let identity = identity.clone();
                    let active = ActiveToken { identity, validity, fresh_until, stale_until };
                    state.answers.insert_active(token, active, bytes);
                }
                Verdict::Active(identity, validity)
            }
            Ok(Verdict::Rejected { is_expired }) => {
                if is_stored {
                    let until = now + self.cache_negative_for;
                    state.answers.insert_rejected(token, is_expired, until);
                }
                Verdict::Rejected { is_expired }
            }
            Ok(unknown @ Verdict::Unknown(_)) => unknown,
            Err(cause) => {
                let retry_after = backoff(1, BACKOFF);
                state.answers.insert_failed(token, now + retry_after);
                let stale = state.stale(&token, now);
                drop(state);
                tracing::warn!(
                    target: "palisade::auth",
                    endpoint = %self.endpoint,
                    cause,
                    ?retry_after,
                    has_old_answer = stale.is_some(),
                    "a token could not be introspected"
                );
                stale.unwrap_or_else(|| Verdict::Unknown(Failure::new(cause, retry_after)))
            }
        }
    }

    /// Reads an answer. An error is one of the issuer, not of the token.
    fn read(&self, body: &[u8]) -> Result<Verdict<C>, String> {
        let checked = if question::read(body).map_err(|error| causes(&*error))? {
            self.expectations.check_introspected(body, self.clock.unix().as_secs_f64())
        } else {
            Err(Fault::Inactive)
        };
        let fault = match checked {
            Ok((identity, validity)) => return Ok(Verdict::Active(identity, validity)),
            Err(fault) => fault,
        };
        fault.log(None, self.expectations.issuer());
        Ok(Verdict::Rejected { is_expired: matches!(fault, Fault::Expired) })
    }

    /// Returns how long an answer may be stored at most.
    fn time_left(&self, validity: Validity) -> Duration {
        let left = validity.end(0.0) - self.clock.unix().as_secs_f64();
        Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(Duration::MAX)
    }
}

impl Failure {
    fn new(cause: impl Into<String>, retry_after: Duration) -> Self {
        let cause = format!("the token could not be introspected: {}", cause.into());
        let cause: BoxError = cause.into();
        Self { cause: Arc::from(cause), retry_after }
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Authenticate for Introspection<C> {
    type Claims = C;

    fn authenticate(&self, request: &request::Parts) -> Attempt<C> {
        let Shared { sender, challenges, .. } = &*self.shared;
        let (token, scheme) = match Authorization::read(&request.headers, "Bearer") {
            Authorization::Credentials(token) => (token, Scheme::Bearer),
            Authorization::Two => return Attempt::Now(Err(challenges.two_tokens())),
            Authorization::Absent => match sender.dpop_token(request) {
                Some(token) => (token, Scheme::Dpop),
                None => return Attempt::Absent(sender.missing(challenges.missing())),
            },
        };
        sender.confirm(self.verify_token(token), request, token, scheme, challenges)
    }

    fn invalid(&self) -> ApiError {
        self.shared.challenges.invalid()
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.shared.sender.mark_response(response);
    }
}

policy_of!([C] Introspection<C>);

impl<C> Clone for Verdict<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Active(identity, validity) => Self::Active(identity.clone(), *validity),
            Self::Rejected { is_expired } => Self::Rejected { is_expired: *is_expired },
            Self::Unknown(failure) => Self::Unknown(failure.clone()),
        }
    }
}

impl<C> Clone for Introspection<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> fmt::Debug for Introspection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.shared.endpoint)
            .finish_non_exhaustive()
    }
}
