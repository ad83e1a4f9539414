//! Replay protection: each delivery is processed once.

mod settle;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use palisade_core::{
    ApiError, BoxError, BoxFuture, Clock, ConfigError, ErrorCode, GrpcCode, LogBackoff,
    syntax::LowerHex,
};

#[cfg(feature = "redis")]
pub use palisade_claims::RedisClaims as RedisReplays;
pub use palisade_claims::{
    Claim, ClaimStore as ReplayStore, InMemoryClaims as InMemoryReplays, Reservation, Retention,
};
pub(crate) use settle::Pending;
pub use settle::{Settle, SettleFuture};

use crate::timestamp::Tolerance;

/// The code for a delivery that was processed before.
pub(crate) const DUPLICATE_DELIVERY: ErrorCode = ErrorCode::new(
    "DUPLICATE_DELIVERY",
    StatusCode::CONFLICT,
    GrpcCode::AlreadyExists,
    "the delivery was processed before",
)
.about(
    "The webhook was processed before. If duplicates are acknowledged, the response is 200 instead.",
);

/// The code for a delivery whose handler is running.
pub(crate) const DELIVERY_IN_PROGRESS: ErrorCode = ErrorCode::new(
    "DELIVERY_IN_PROGRESS",
    StatusCode::CONFLICT,
    GrpcCode::Aborted,
    "the delivery is being processed",
)
.about("The handler is processing the same webhook. Send it again later.");

/// Configures replay protection with a [`ReplayStore`].
///
/// A delivery is claimed before the handler runs, and confirmed when the handler returns 2xx. If the handler fails or is cancelled,
/// the claim is released, so that the sender's next attempt is processed.
///
/// - A delivery that was processed gets 200 without calling the handler, as senders expect
///   ([`refuse_duplicates`](Self::refuse_duplicates): 409).
/// - A delivery whose handler is running gets 409 with `Retry-After`.
/// - While the store fails, deliveries get 503 ([`accept_when_store_fails`](Self::accept_when_store_fails) allows them).
///
/// Deliveries are identified by [`Verified::id`](crate::Verified::id), or by the signed content if the scheme has no id.
///
/// ```
/// use palisade_webhook::{InMemoryReplays, Replays, Webhook};
///
/// let replays = Replays::new(InMemoryReplays::new(100_000)?);
/// let layer = Webhook::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").replays(replays).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Replays {
    store: Arc<dyn ReplayStore>,
    namespace: String,
    keep: Option<Duration>,
    refuse: bool,
    by_content: bool,
    accept_unchecked: bool,
}

/// The default retention. Most senders retry for one to three days.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

impl Replays {
    /// Stores deliveries here.
    pub fn new(store: impl ReplayStore) -> Self {
        Self {
            store: Arc::new(store),
            namespace: String::new(),
            keep: None,
            refuse: false,
            by_content: false,
            accept_unchecked: false,
        }
    }

    /// Separates the deliveries of this endpoint from others in the same store. Some senders use one id for the same message
    /// to several endpoints.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the retention of deliveries. Default: 24 hours. It must be at least twice the tolerance of timestamps; a full store
    /// never evicts a delivery before that.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Rejects processed deliveries with 409 instead of 200.
    #[must_use]
    pub fn refuse_duplicates(mut self) -> Self {
        self.refuse = true;
        self
    }

    /// Identifies deliveries by their signed content instead of their id. The ids of GitHub, Shopify and Twilio are not signed:
    /// an attacker could repeat a captured request with another id.
    ///
    /// Two deliveries with identical content count as one, and a retry that is signed with another timestamp counts as another
    /// delivery.
    #[must_use]
    pub fn by_content(mut self) -> Self {
        self.by_content = true;
        self
    }

    /// Allows deliveries while the store fails or is full; some may be processed twice. Default: 503, so that senders retry.
    #[must_use]
    pub fn accept_when_store_fails(mut self) -> Self {
        self.accept_unchecked = true;
        self
    }

    pub(crate) fn ready(
        self,
        scheme: &str,
        tolerance: Option<Tolerance>,
        clock: Arc<dyn Clock>,
    ) -> Result<Ready, ConfigError> {
        let at_least = match tolerance {
            Some(tolerance) => tolerance.window(),
            None => Duration::from_secs(2 * Tolerance::DEFAULT.as_secs()),
        };
        if let Some(keep) =
            self.keep.filter(|keep| keep.saturating_add(Duration::from_secs(2)) < at_least)
        {
            return Err(ConfigError::new(
                "keep",
                format!("{keep:?}"),
                "use at least twice the tolerance of timestamps: a delivery that is removed earlier could be replayed",
            ));
        }
        let at_most = self.keep.unwrap_or(KEEP).max(at_least);
        Ok(Ready {
            prefix: format!("webhook:{}:{scheme}:", self.namespace),
            retention: Retention { at_least, at_most },
            replays: self,
            failures: Arc::new(Failures {
                clock,
                asked: LogBackoff::default(),
                settled: LogBackoff::default(),
            }),
        })
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays")
            .field("namespace", &self.namespace)
            .field("keep", &self.keep)
            .field("refuse_duplicates", &self.refuse)
            .field("by_content", &self.by_content)
            .field("accept_when_store_fails", &self.accept_unchecked)
            .finish_non_exhaustive()
    }
}

/// The settings, with values that are computed once.
#[derive(Debug)]
pub(crate) struct Ready {
    replays: Replays,
    prefix: String,
    retention: Retention,
    failures: Arc<Failures>,
}

/// Logs failures of the store, less often while they continue.
#[derive(Debug)]
struct Failures {
    clock: Arc<dyn Clock>,
    asked: LogBackoff,
    settled: LogBackoff,
}

/// A reservation that logs a failed confirmation.
struct Logged {
    reservation: Box<dyn Reservation>,
    failures: Arc<Failures>,
}

impl Reservation for Logged {
    fn complete(self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>> {
        let Self { reservation, failures } = *self;
        Box::pin(async move {
            let completed = reservation.complete(record).await;
            if let Err(error) = &completed
                && let Some(deliveries) = failures.settled.record(failures.clock.monotonic())
            {
                tracing::warn!(
                    target: "palisade::webhook",
                    %error,
                    deliveries,
                    "a processed delivery could not be stored yet: it may be processed twice"
                );
            }
            completed
        })
    }
}

/// The result of a claim.
pub(crate) enum Outcome {
    Process(Option<Box<dyn Reservation>>),
    Acknowledge,
    Refuse(ApiError),
}

impl Ready {
    /// Returns the key of a delivery in the store. The second part is the kind of the third, so that an id cannot equal the hash
    /// of another delivery's content.
    pub(crate) fn key(&self, id: Option<&str>, content: impl FnOnce() -> [u8; 32]) -> String {
        match id.filter(|_| !self.replays.by_content) {
            Some(id) => format!("{}id:{id}", self.prefix),
            None => format!("{}content:{}", self.prefix, LowerHex(&content())),
        }
    }

    pub(crate) async fn claim(self: Arc<Self>, key: String) -> Outcome {
        let answer = self.replays.store.claim(&key, self.retention).await;
        match answer {
            Ok(Claim::First(reservation)) => {
                let failures = Arc::clone(&self.failures);
                Outcome::Process(Some(Box::new(Logged { reservation, failures })))
            }
            Ok(Claim::Completed(_)) if self.replays.refuse => {
                Outcome::Refuse(DUPLICATE_DELIVERY.into())
            }
            Ok(Claim::Completed(_)) => Outcome::Acknowledge,
            Ok(Claim::InProgress) => Outcome::Refuse(
                ApiError::from(DELIVERY_IN_PROGRESS).with_retry_after(Duration::from_secs(1)),
            ),
            Err(error) => self.failed(error),
        }
    }

    fn failed(&self, error: BoxError) -> Outcome {
        if let Some(failures) = self.failures.asked.record(self.failures.clock.monotonic()) {
            tracing::warn!(
                target: "palisade::webhook",
                %error,
                failures,
                "the replay store failed"
            );
        }
        if self.replays.accept_unchecked {
            return Outcome::Process(None);
        }
        let wait = Duration::from_secs(1);
        Outcome::Refuse(ApiError::unavailable().with_retry_after(wait).with_source(error))
    }
}
