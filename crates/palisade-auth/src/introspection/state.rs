use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use palisade_core::{ApiError, BoxError, Clock};
use serde::de::DeserializeOwned;

use super::{
    answers::{ActiveToken, Answers, Negative, TokenHash},
    client::ReadyAuthentication,
    outage::{Asked, Outage},
    question::{self, IntrospectionResponse},
};
use crate::{
    Identity,
    access_token::TokenCheck,
    fetch::{Fetch, FetchInProgress, UnexpectedStatus, causes},
    jwt::{Expectations, Fault, Validity},
    sender::Confirmation,
};

pub(super) struct Introspector<C> {
    pub(super) endpoint: Uri,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) authentication: ReadyAuthentication,
    pub(super) expectations: Expectations<C>,
    pub(super) tokens: TokenCheck,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cache_for: Duration,
    pub(super) cache_negative_for: Duration,
    pub(super) max_stale: Duration,
    pub(super) timeout: Duration,
    pub(super) state: Mutex<State<C>>,
}

pub(super) struct State<C> {
    pub(super) answers: Answers<C>,
    pub(super) in_progress: HashMap<TokenHash, QuestionInProgress<C>>,
    pub(super) outage: Outage<QuestionInProgress<C>>,
    /// How often the answers were removed. An answer to an older question counts for nothing.
    pub(super) cleared: u64,
    /// Tokens whose answer was stored.
    pub(super) hits: u64,
    pub(super) questions: u64,
    pub(super) failures: u64,
}

pub(super) type QuestionInProgress<C> = FetchInProgress<TokenStatus<C>>;

/// What is known about a token.
pub(super) enum TokenStatus<C> {
    Active(Identity<C>, Validity),
    Rejected(Arc<Fault>),
    Unknown(Failure),
}

/// Why the issuer did not answer, and when to ask again.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    cause: Arc<dyn Error + Send + Sync>,
    retry_after: Duration,
}

/// A question that brought no answer.
struct Unanswered {
    cause: String,
    /// The token may be the reason.
    may_be_due_to_token: bool,
}

impl<C> State<C> {
    pub(super) fn new(answers: Answers<C>) -> Self {
        Self {
            answers,
            in_progress: HashMap::new(),
            outage: Outage::new(),
            cleared: 0,
            hits: 0,
            questions: 0,
            failures: 0,
        }
    }

    /// Returns what is known about a token without asking the issuer.
    pub(super) fn known(&self, token: &TokenHash, now: Duration) -> Option<TokenStatus<C>> {
        let active = self.answers.active(token);
        if let Some(active) = active.filter(|active| now < active.fresh_until) {
            return Some(TokenStatus::Active(active.identity.clone(), active.validity));
        }
        match self.answers.negative(token, now)? {
            Negative::Rejected { fault, .. } => Some(TokenStatus::Rejected(Arc::clone(fault))),
            Negative::Failed { until } => Some(match self.stale(token, now) {
                Some(verdict) => verdict,
                None => {
                    TokenStatus::Unknown(Failure::new("the last question failed", *until - now))
                }
            }),
        }
    }

    /// Returns an answer that is used while the issuer does not give another one.
    pub(super) fn stale(&self, token: &TokenHash, now: Duration) -> Option<TokenStatus<C>> {
        let active = self.answers.active(token).filter(|active| now < active.stale_until)?;
        Some(TokenStatus::Active(active.identity.clone(), active.validity))
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> Introspector<C> {
    pub(super) fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the outcome for a request, and logs a rejection. Times and the user's checks apply to each request.
    pub(super) fn answer(&self, verdict: TokenStatus<C>) -> Result<Identity<C>, ApiError> {
        match verdict {
            TokenStatus::Active(identity, validity) => {
                let now = self.clock.unix().as_secs_f64();
                let checked = validity
                    .check(now, self.expectations.skew())
                    .and_then(|()| self.expectations.validate(identity.claims()));
                match checked {
                    Ok(()) => Ok(identity),
                    Err(fault) => Err(self.reject(&fault)),
                }
            }
            TokenStatus::Rejected(fault) => Err(self.reject(&fault)),
            TokenStatus::Unknown(failure) => Err(ApiError::unavailable()
                .with_retry_after(failure.retry_after)
                .with_source(failure.cause)),
        }
    }

    pub(super) fn reject(&self, fault: &Fault) -> ApiError {
        fault.log(None, self.expectations.issuer());
        match fault {
            Fault::Expired => self.tokens.challenges.expired(),
            Fault::Own(error) => self.tokens.challenges.complete(ApiError::clone(error)),
            _ => self.tokens.challenges.invalid(),
        }
    }

    /// Stores the answer to a question, unless all answers were removed since it was asked.
    pub(super) fn complete(
        &self,
        token: TokenHash,
        result: &Result<Bytes, BoxError>,
        cleared: u64,
        asked: Asked,
    ) -> TokenStatus<C> {
        let now = self.clock.monotonic();
        // The user's type is parsed before the lock is taken.
        let read = match result {
            Ok(body) => self.read(body),
            Err(error) => Err(Unanswered::new(&**error)),
        };
        let mut state = self.state();
        let is_stored = state.cleared == cleared;
        if is_stored {
            state.in_progress.remove(&token);
        }
        let unanswered = match read {
            Ok(verdict) => {
                state.outage.record_answer();
                if is_stored {
                    let bytes = result.as_ref().map_or(0, Bytes::len);
                    self.store(&mut state.answers, token, &verdict, bytes, now);
                }
                return verdict;
            }
            Err(unanswered) => unanswered,
        };
        state.failures += 1;
        let Unanswered { cause, may_be_due_to_token } = unanswered;
        let retry_after = state.outage.record_failure(asked, may_be_due_to_token, now);
        if is_stored && state.outage.left(now).is_none() {
            state.answers.insert_failed(token, now + retry_after);
        }
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
        stale.unwrap_or_else(|| TokenStatus::Unknown(Failure::new(cause, retry_after)))
    }

    fn store(
        &self,
        answers: &mut Answers<C>,
        token: TokenHash,
        verdict: &TokenStatus<C>,
        bytes: usize,
        now: Duration,
    ) {
        match verdict {
            TokenStatus::Active(identity, validity) => {
                let left = self.time_left(*validity);
                let active = ActiveToken {
                    identity: identity.clone(),
                    validity: *validity,
                    fresh_until: now + self.cache_for.min(left),
                    stale_until: now + (self.cache_for + self.max_stale).min(left),
                };
                answers.insert_active(token, active, bytes);
            }
            TokenStatus::Rejected(fault) => {
                let until = now + self.cache_negative_for;
                answers.insert_rejected(token, Arc::clone(fault), until);
            }
            TokenStatus::Unknown(_) => {}
        }
    }

    /// Reads an answer. An error is one of the issuer, not of the token.
    fn read(&self, body: &[u8]) -> Result<TokenStatus<C>, Unanswered> {
        let checked = match question::read(body)? {
            IntrospectionResponse::Inactive => Err(Fault::Inactive),
            IntrospectionResponse::AnotherKind(kind) => {
                tracing::debug!(target: "palisade::auth", kind, "the token is not an access token");
                Err(Fault::AccessToken)
            }
            IntrospectionResponse::Active { is_dpop } => self
                .expectations
                .check_introspected(body, &*self.clock)
                .map(|(mut verified, validity)| {
                    // Without its key such a token would be a bearer token, which the issuer did not issue.
                    if is_dpop {
                        verified
                            .confirmation
                            .get_or_insert_with(|| Arc::new(Confirmation::UNKNOWN_KEY));
                    }
                    (Identity::from(verified), validity)
                }),
        };
        Ok(match checked {
            Ok((identity, validity)) => TokenStatus::Active(identity, validity),
            Err(fault) => TokenStatus::Rejected(Arc::new(fault)),
        })
    }

    /// Returns how long an answer may be stored at most.
    fn time_left(&self, validity: Validity) -> Duration {
        let left = validity.end(0.0) - self.clock.unix().as_secs_f64();
        Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(Duration::MAX)
    }
}

impl Unanswered {
    fn new(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        // Statuses by which issuers and the firewalls in front of them reject a token of unusual form. All others are
        // those of an issuer that is out of order, or that does not know this service.
        let may_be_due_to_token = error
            .downcast_ref::<UnexpectedStatus>()
            .is_some_and(|error| matches!(error.status().as_u16(), 400 | 403 | 413 | 414 | 422));
        Self { cause: causes(error), may_be_due_to_token }
    }
}

impl From<question::InvalidResponse> for Unanswered {
    fn from(unusable: question::InvalidResponse) -> Self {
        match unusable {
            question::InvalidResponse::TooLong => {
                Self { cause: "the answer is too long".to_owned(), may_be_due_to_token: true }
            }
            question::InvalidResponse::Unreadable(cause) => {
                Self { cause, may_be_due_to_token: false }
            }
        }
    }
}

impl Failure {
    pub(super) fn new(cause: impl Into<String>, retry_after: Duration) -> Self {
        let cause = format!("the token could not be introspected: {}", cause.into());
        let cause: BoxError = cause.into();
        Self { cause: Arc::from(cause), retry_after }
    }
}

impl<C> Clone for TokenStatus<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Active(identity, validity) => Self::Active(identity.clone(), *validity),
            Self::Rejected(fault) => Self::Rejected(Arc::clone(fault)),
            Self::Unknown(failure) => Self::Unknown(failure.clone()),
        }
    }
}
