use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::request;
use palisade_claims::{Claim, ClaimStore, Reservation, Retention};
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, BodyPolicyService, BoxError, Decision, Halt, LogSampler,
};
use tokio::runtime::Handle;
use tower_layer::Layer;

use crate::{
    IdempotencyBuilder, IdempotencyKey,
    claimed::Claimed,
    codes::{
        IDEMPOTENCY_KEY_IN_USE, IDEMPOTENCY_KEY_REQUIRED, IDEMPOTENCY_KEY_REUSED,
        RESPONSE_NOT_STORED,
    },
    fingerprint::{Scope, request_fingerprint, store_key},
    header,
    record::Record,
    rules::Rules,
    run::{Decided, Pending, Run},
};

/// Processes each request with an `Idempotency-Key` once, as a tower layer.
///
/// Place it inside authentication, limits and validation. A key belongs to one caller, method and route. The body is read up to
/// a limit before the handler runs, because a retry must have the same body. Clones share everything.
///
/// | request | response |
/// | --- | --- |
/// | the first with a key | that of the handler, which is stored; a client that disconnects does not cancel it |
/// | a retry, after the first has completed | the stored response, with `Idempotent-Replayed: true` |
/// | a retry, while the first is processed | 409 `IDEMPOTENCY_KEY_IN_USE` with `Retry-After: 1` |
/// | another request with the same key | 422 `IDEMPOTENCY_KEY_REUSED` |
/// | a retry of a request whose response was a stream or too large | 409 `RESPONSE_NOT_STORED` |
/// | no key, if it is [required](IdempotencyBuilder::required) | 400 `IDEMPOTENCY_KEY_REQUIRED` |
/// | a malformed key, or two | 400 `INVALID_IDEMPOTENCY_KEY` |
/// | a key without an authenticated caller | 401 `UNAUTHENTICATED`; see [`scope_by`](IdempotencyBuilder::scope_by) |
/// | a body over the limit | 413 `PAYLOAD_TOO_LARGE` |
/// | any with a key, while the store fails or is full | 503 `UNAVAILABLE` |
///
/// The statuses 401, 403, 408, 409, 413, 425, 429 and 5xx, and rejections by validation, are no results: the key is released,
/// and a retry runs.
///
/// ```
/// use palisade_idempotency::{Idempotency, InMemoryClaims};
///
/// let idempotency = Idempotency::new(InMemoryClaims::new(100_000)?).required().build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Idempotency {
    rules: Arc<Rules>,
}

impl Idempotency {
    /// Begins the configuration of a layer that stores keys and responses here.
    #[allow(clippy::new_ret_no_self, reason = "a builder, as of the other layers")]
    pub fn new(store: impl ClaimStore) -> IdempotencyBuilder {
        IdempotencyBuilder::new(Arc::new(store))
    }

    pub(crate) fn from_rules(rules: Rules) -> Self {
        Self { rules: Arc::new(rules) }
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}

impl<S> Layer<S> for Idempotency {
    type Service = BodyPolicyService<Run<S>, ClaimKey>;

    fn layer(&self, inner: S) -> Self::Service {
        let policy = ClaimKey { rules: Arc::clone(&self.rules) };
        BodyPolicyLayer::new(policy, self.rules.max_request).layer(Run(inner))
    }
}

/// The policy of [`Idempotency`].
#[doc(hidden)]
#[derive(Debug)]
pub struct ClaimKey {
    rules: Arc<Rules>,
}

/// The grant of a request with a key.
#[doc(hidden)]
pub struct Admitted {
    /// `None` if the store has failed, and the request is processed nevertheless.
    decided: Option<Decided>,
    key: Option<IdempotencyKey>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("key", &self.key).finish_non_exhaustive()
    }
}

impl BodyPolicy for ClaimKey {
    type Grant = Admitted;

    fn applies(&self, head: &request::Parts) -> Result<bool, Halt> {
        if !self.rules.methods.contains(&head.method) {
            return Ok(false);
        }
        match header::key(&head.headers, self.rules.strict)? {
            Some(_) => self.rules.scope(head).map(|_| true),
            None if self.rules.required => Err(ApiError::from(IDEMPOTENCY_KEY_REQUIRED).into()),
            None => Ok(false),
        }
    }

    fn decide(&self, head: &request::Parts, body: &Bytes) -> Decision<Admitted> {
        let rules = Arc::clone(&self.rules);
        let key = match header::key(&head.headers, rules.strict) {
            Ok(Some(key)) => key,
            Ok(None) => return Decision::refuse(IDEMPOTENCY_KEY_REQUIRED.into()),
            Err(error) => return Decision::refuse(error),
        };
        let store_key = match rules.scope(head) {
            Ok(scope) => store_key(&scope, head, &key),
            Err(halt) => return Decision::Now(Err(halt)),
        };
        if Handle::try_current().is_err() {
            let error = "`Idempotency` processes requests on tokio tasks: run the service in a tokio runtime";
            return Decision::refuse(ApiError::internal().with_source(error));
        }
        let fingerprint = request_fingerprint(head, body);
        Decision::later(async move {
            let claim = rules.store.claim(&store_key, Retention::exactly(rules.keep)).await;
            match claim {
                Ok(Claim::First(reservation)) => {
                    Ok(Admitted::process(rules, reservation, key, store_key, fingerprint))
                }
                Ok(Claim::InProgress) => {
                    let wait = Duration::from_secs(1);
                    Err(ApiError::from(IDEMPOTENCY_KEY_IN_USE).with_retry_after(wait).into())
                }
                Ok(Claim::Completed(record)) => rules.replay(&record, &fingerprint),
                Err(error) => rules.store_failed(error),
            }
        })
    }

    fn admit(&self, admitted: &mut Admitted, request: &mut request::Parts) {
        if let Some(key) = admitted.key.take() {
            request.extensions.insert(key);
        }
        if let Some(decided) = admitted.decided.take() {
            request.extensions.insert(Pending::new(decided));
        }
    }

    fn name(&self) -> Cow<'static, str> {
        "Idempotency".into()
    }
}

impl Admitted {
    fn process(
        rules: Arc<Rules>,
        reservation: Box<dyn Reservation>,
        key: String,
        store_key: String,
        fingerprint: [u8; 32],
    ) -> Self {
        let headers = rules.replayed_headers.clone();
        let key = IdempotencyKey::new(key, store_key, reservation.token(), fingerprint, headers);
        let claimed = Claimed { reservation, rules, fingerprint };
        Self { decided: Some(Decided::Process(claimed)), key: Some(key) }
    }
}

impl Rules {
    fn scope<'r>(&self, head: &'r request::Parts) -> Result<Scope<'r>, Halt> {
        if let Some(scope) = &self.scope {
            return scope(head).map(Scope::Custom).ok_or_else(|| anonymous().into());
        }
        head.extensions.get().map(Scope::Principal).ok_or_else(|| anonymous().into())
    }

    fn replay(&self, record: &Bytes, fingerprint: &[u8; 32]) -> Result<Admitted, Halt> {
        let record = match Record::decode(record) {
            Ok(record) => record,
            Err(error) => return self.store_failed(error.into()),
        };
        if record.fingerprint != *fingerprint {
            return Err(ApiError::from(IDEMPOTENCY_KEY_REUSED).into());
        }
        match record.response {
            Some(response) => Ok(Admitted { decided: Some(Decided::Replay(response)), key: None }),
            None => Err(ApiError::from(RESPONSE_NOT_STORED).into()),
        }
    }

    fn store_failed(&self, error: BoxError) -> Result<Admitted, Halt> {
        if let Some(failures) = self.failures.record(self.clock.monotonic()) {
            tracing::warn!(
                target: "palisade::idempotency",
                %error,
                failures,
                "the store of idempotency keys failed or is full"
            );
        }
        if self.runs_when_store_fails {
            return Ok(Admitted { decided: None, key: None });
        }
        let wait = Duration::from_secs(1);
        Err(ApiError::unavailable().with_retry_after(wait).with_source(error).into())
    }
}

/// The rejection of a key without a scope.
fn anonymous() -> ApiError {
    static SAMPLER: LogSampler = LogSampler::new();
    if let Some(suppressed) = SAMPLER.sample() {
        tracing::info!(
            target: "palisade::idempotency",
            suppressed,
            "a request with an Idempotency-Key has no authenticated caller: place `Idempotency` inside an authentication, or \
             choose a scope with `scope_by`"
        );
    }
    ApiError::unauthenticated()
}
