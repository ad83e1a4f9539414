use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, request, response};
use palisade_core::{ApiError, Measured, Measurement, PolicyLayer};
use serde::de::DeserializeOwned;
use tokio::{runtime::Handle, time::timeout};

use super::{
    answers::hash,
    builder::IntrospectionBuilder,
    question,
    state::{Failure, Introspector, QuestionInProgress, TokenStatus},
};
use crate::{
    Attempt, Authenticate, Identity, Pending,
    authenticate::policy_of,
    authorization::token68,
    fetch::FetchInProgress,
    jwt::{Fault, MAX_TOKEN},
    measured,
};

/// How many tokens the issuer is asked about at once. Other tokens get a 503 meanwhile, so that a flood of made-up tokens
/// can fill neither the memory nor the issuer.
const MAX_IN_PROGRESS: usize = 512;

/// Authentication by an opaque token, about which the issuer is asked (RFC 7662).
///
/// The request gets an [`Identity<C>`] and a [`Principal`](palisade_core::Principal), made of the answer as [`Jwt`] makes
/// them of a token's claims.
///
/// | answer of the issuer | response |
/// | --- | --- |
/// | `"active": true`, and all checks pass | the handler's |
/// | `"active": false`, expired, for another audience | 401 with `error="invalid_token"` |
/// | a refresh or ID token, by `token_use`, `token_type` or `typ` | 401 with `error="invalid_token"` |
/// | a binding to the client (`cnf`) that the request does not prove | 401; see [`dpop`](IntrospectionBuilder::dpop) and [`client_certificates`](IntrospectionBuilder::client_certificates) |
/// | none in time, another status than 200, no boolean `active` | 503 with `Retry-After`: the token may be valid |
///
/// Answers are stored under a hash of the token: active ones for [`cache_for`](IntrospectionBuilder::cache_for), and never
/// beyond their `exp`, others for [`cache_negative_for`](IntrospectionBuilder::cache_negative_for). Requests with the same
/// token share one question.
///
/// An issuer that does not answer is left alone: for 1 to 2 s after the first failure, and for twice as long after each
/// further one, up to 30 s. Meanwhile requests whose token has no stored answer get 503. Then one question is asked, and
/// the other requests wait for its outcome. An answer with a status such as 400 or 413 may be due to a token of unusual
/// form, which any client can send: it delays questions about that token only.
///
/// ```
/// use palisade_auth::{Introspection, testing::OpaqueIssuer};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize)]
/// struct Claims { username: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // an issuer for tests; without `fetch` an HTTP client is used (feature `jwks-http`)
/// let issuer = OpaqueIssuer::new("orders-api", "secret");
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
/// The token may be in other places than `Authorization: Bearer`, as for [`Jwt`].
///
/// Clones share the answers. Requests must be served in a tokio runtime with its timer enabled.
///
/// [`Jwt`]: crate::Jwt
pub struct Introspection<C> {
    pub(super) shared: Arc<Introspector<C>>,
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
        self.verify_credential(token).outcome().await
    }

    /// Removes all stored answers. The issuer is asked about each token again, also for requests that wait for an answer at
    /// the moment.
    pub fn clear(&self) {
        let mut state = self.shared.state();
        state.answers.clear();
        state.in_progress.clear();
        state.cleared += 1;
    }

    fn verify_token(&self, token: &[u8]) -> Attempt<C> {
        let shared = &self.shared;
        let Some(token) = token68(token).filter(|token| token.len() <= MAX_TOKEN) else {
            let fault = if token.len() > MAX_TOKEN { Fault::TooLong } else { Fault::Malformed };
            return Attempt::Now(Err(shared.reject(&fault)));
        };
        let hash = hash(token.as_bytes());
        let now = shared.clock.monotonic();
        let mut state = shared.state();
        if let Some(verdict) = state.known(&hash, now) {
            state.hits += 1;
            drop(state);
            return Attempt::Now(shared.answer(verdict));
        }
        if let Some(question) = state.in_progress.get(&hash) {
            return self.wait(question.clone(), token, state.cleared);
        }
        if let Some(wait) = state.outage.left(now) {
            let unknown = || TokenStatus::Unknown(Failure::new("the last question failed", wait));
            let verdict = state.stale(&hash, now).unwrap_or_else(unknown);
            drop(state);
            return Attempt::Now(shared.answer(verdict));
        }
        if let Some(probe) = state.outage.probe() {
            return self.ask_after(probe.clone(), token);
        }
        let busy = |cause: &str| {
            let failure = Failure::new(cause, Duration::from_secs(1));
            Attempt::Now(shared.answer(TokenStatus::Unknown(failure)))
        };
        if state.in_progress.len() >= MAX_IN_PROGRESS {
            return busy("too many introspection requests are in progress");
        }
        let Ok(runtime) = Handle::try_current() else {
            return busy("no tokio runtime: serve the requests in a tokio runtime");
        };
        let request = question::request(&shared.endpoint, &shared.authentication, token);
        let (asking, completing) = (Arc::clone(shared), Arc::clone(shared));
        let cleared = state.cleared;
        let asked = state.outage.next_question();
        let (question, task) = FetchInProgress::new(
            async move { Ok(asking.fetch.post(request).await?.body) },
            shared.timeout,
            move |result| completing.complete(hash, &result, cleared, asked),
        );
        state.questions += 1;
        state.in_progress.insert(hash, question.clone());
        state.outage.record_question(&question);
        // A runtime that is shutting down drops the task at once, which completes it and takes this lock.
        drop(state);
        runtime.spawn(task);
        self.wait(question, token, cleared)
    }

    /// Waits for the answer to a question about this token.
    fn wait(&self, question: QuestionInProgress<C>, token: &str, cleared: u64) -> Attempt<C> {
        let (this, token) = (self.clone(), Box::<str>::from(token));
        Attempt::Later(Pending::new(async move {
            let verdict = question.outcome().await.unwrap_or_else(|| {
                TokenStatus::Unknown(Failure::new("it was cancelled", Duration::from_secs(1)))
            });
            // The answer may be older than the reason to remove all answers.
            if this.shared.state().cleared != cleared {
                return this.ask_again(token).await;
            }
            this.shared.answer(verdict)
        }))
    }

    /// Waits for the first question after an outage, which is about another token.
    fn ask_after(&self, probe: QuestionInProgress<C>, token: &str) -> Attempt<C> {
        let (this, token) = (self.clone(), Box::<str>::from(token));
        Attempt::Later(Pending::new(async move {
            probe.outcome().await;
            this.ask_again(token).await
        }))
    }

    async fn ask_again(self, token: Box<str>) -> Result<Identity<C>, ApiError> {
        let asked = self.verify_token(token.as_bytes()).outcome();
        timeout(self.shared.timeout, asked).await.unwrap_or_else(|_| {
            let failure = Failure::new("no answer in time", Duration::from_secs(1));
            self.shared.answer(TokenStatus::Unknown(failure))
        })
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Authenticate for Introspection<C> {
    type Claims = C;

    fn authenticate(&self, request: &request::Parts) -> Attempt<C> {
        self.shared.tokens.authenticate(request, |token| self.verify_token(token))
    }

    fn verify_credential(&self, token: &str) -> Attempt<C> {
        let shared = Arc::clone(&self.shared);
        self.verify_token(token.as_bytes()).and_then(move |identity| {
            shared.tokens.check_without_request(&identity).map(|()| identity)
        })
    }

    fn invalid(&self) -> ApiError {
        self.shared.tokens.challenges.invalid()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.shared.tokens.fields()
    }

    fn hide_credentials(&self, request: &mut request::Parts) {
        self.shared.tokens.hide_credentials(request);
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.shared.tokens.mark_response(response);
    }
}

policy_of!([C] Introspection<C>);

/// Returns the numbers of questions to the issuer as metrics.
impl<C: DeserializeOwned + Send + Sync + 'static> Measured for Introspection<C> {
    fn measure(&self) -> Vec<Measurement> {
        let state = self.shared.state();
        vec![
            measured::INTROSPECTION_USABLE.at(f64::from(u8::from(!state.outage.is_failing()))),
            measured::INTROSPECTION_HITS.at(state.hits as f64),
            measured::INTROSPECTION_QUESTIONS.at(state.questions as f64),
            measured::INTROSPECTION_FAILURES.at(state.failures as f64),
        ]
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
