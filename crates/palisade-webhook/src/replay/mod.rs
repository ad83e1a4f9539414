//! A delivery that was processed is not processed again.

mod memory;
#[cfg(feature = "redis")]
mod redis;
mod settle;
mod store;

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use palisade_core::{
    ApiError, BoxError, BoxFuture, Clock, ConfigError, ErrorCode, GrpcCode, LogBackoff,
};

pub use memory::InMemoryReplays;
#[cfg(feature = "redis")]
pub use redis::RedisReplays;
pub(crate) use settle::Pending;
pub use settle::{Settle, SettleFuture};
pub use store::{Claim, ReplayStore, Reservation, Retention};

use crate::{signature::to_hex, timestamp::Tolerance};

/// The code of a delivery whose handler has succeeded before.
pub(crate) const DUPLICATE_DELIVERY: ErrorCode = ErrorCode::new(
    "DUPLICATE_DELIVERY",
    StatusCode::CONFLICT,
    GrpcCode::AlreadyExists,
    "the delivery was processed before",
)
.about(
    "The webhook came before, and its handler succeeded. Where duplicates are acknowledged the answer is 200 instead.",
);

/// The code of a delivery whose handler is still at it.
pub(crate) const DELIVERY_IN_PROGRESS: ErrorCode = ErrorCode::new(
    "DELIVERY_IN_PROGRESS",
    StatusCode::CONFLICT,
    GrpcCode::Aborted,
    "the delivery is being processed",
)
.about("The same webhook is with its handler now. Send it again later.");

/// What becomes of a delivery that came before: the policy around a [`ReplayStore`].
///
/// A delivery is claimed before the handler runs, and kept once the handler has answered 2xx. A handler that fails, or
/// is given up, gives the claim back, so that the sender's next attempt is processed. So one that was processed is
/// answered 200 without calling the handler, which is what senders that try again want to hear; one whose handler is
/// still running gets 409 and may come back; and a store that cannot be asked refuses with 503. The second and the last
/// can be chosen otherwise.
///
/// Deliveries are told apart by [`Verified::id`](crate::Verified::id), and where there is none by what was signed.
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

/// How long a delivery is remembered unless something else is said: most senders try for a day or three.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

impl Replays {
    /// Deliveries are remembered in this store.
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

    /// Sets the deliveries to this endpoint apart from those to others in the same store. Some senders give one id to
    /// the same message at several endpoints.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Remembers deliveries for this long, where there is room; 24 hours unless said otherwise. It must be at least
    /// twice the tolerance of timestamps, and for so long no delivery is forgotten for want of room.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Answers 409 to a delivery that was processed, in place of 200.
    #[must_use]
    pub fn refuse_duplicates(mut self) -> Self {
        self.refuse = true;
        self
    }

    /// Tells deliveries apart by what was signed, whatever they are called. The ids of GitHub, Shopify and Twilio are
    /// not signed: somebody who has seen a request could send it again under another.
    ///
    /// Two deliveries that say the very same are then one; and an attempt that is signed anew, with another timestamp,
    /// is another delivery.
    #[must_use]
    pub fn by_content(mut self) -> Self {
        self.by_content = true;
        self
    }

    /// Processes deliveries also when the store cannot be asked, or is full: some may be processed twice then. Without
    /// this they get 503, and senders try again.
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
                "use at least twice the tolerance of timestamps: a delivery that is forgotten sooner could be sent again",
            ));
        }
        let at_most = self.keep.unwrap_or(KEEP).max(at_least);
        Ok(Ready {
            prefix: format!("{}:{scheme}:", self.namespace),
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

/// The same, with what was computed once.
#[derive(Debug)]
pub(crate) struct Ready {
    replays: Replays,
    prefix: String,
    retention: Retention,
    failures: Arc<Failures>,
}

/// Logs what the store fails to do: less often while it goes on.
#[derive(Debug)]
struct Failures {
    clock: Arc<dyn Clock>,
    asked: LogBackoff,
    settled: LogBackoff,
}

/// A reservation that logs when it could not be confirmed.
struct Logged {
    reservation: Box<dyn Reservation>,
    failures: Arc<Failures>,
}

impl Reservation for Logged {
    fn confirm(self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
        let Self { reservation, failures } = *self;
        Box::pin(async move {
            let confirmed = reservation.confirm().await;
            if let Err(error) = &confirmed
                && let Some(deliveries) = failures.settled.record(failures.clock.monotonic())
            {
                tracing::warn!(
                    target: "palisade::webhook",
                    %error,
                    deliveries,
                    "a delivery that was processed is not remembered yet"
                );
            }
            confirmed
        })
    }
}

/// What a store's answer comes to.
pub(crate) enum Outcome {
    Process(Option<Box<dyn Reservation>>),
    Acknowledge,
    Refuse(ApiError),
}

impl Ready {
    /// The name of a delivery in the store. The second part says what the third is, so that no sender's id is taken
    /// for the hash of another's content.
    pub(crate) fn key(&self, id: Option<&str>, content: impl FnOnce() -> [u8; 32]) -> String {
        match id.filter(|_| !self.replays.by_content) {
            Some(id) => format!("{}id:{id}", self.prefix),
            None => format!("{}content:{}", self.prefix, to_hex(&content())),
        }
    }

    pub(crate) async fn claim(self: Arc<Self>, key: String) -> Outcome {
        let answer = self.replays.store.claim(&key, self.retention).await;
        match answer {
            Ok(Claim::First(reservation)) => {
                let failures = Arc::clone(&self.failures);
                Outcome::Process(Some(Box::new(Logged { reservation, failures })))
            }
            Ok(Claim::Processed) if self.replays.refuse => {
                Outcome::Refuse(DUPLICATE_DELIVERY.into())
            }
            Ok(Claim::Processed) => Outcome::Acknowledge,
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
                "the store of replays could not be asked"
            );
        }
        if self.replays.accept_unchecked {
            return Outcome::Process(None);
        }
        let wait = Duration::from_secs(1);
        Outcome::Refuse(ApiError::unavailable().with_retry_after(wait).with_source(error))
    }
}
