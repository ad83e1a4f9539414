//! Origins that a database or another service knows.

mod budget;
mod limits;
mod memory;

use std::{fmt, future::Future, sync::Arc};

use http::request;
use palisade_core::{BoxError, BoxFuture, ClientIp, ConfigError, Origin};
use tokio::{sync::Semaphore, time::timeout};

use budget::Budget;
pub use limits::LookupLimits;
use memory::Remembered;

/// The user's lookup.
#[derive(Clone)]
pub(crate) struct AskOrigin(Arc<dyn Fn(String) -> Answer + Send + Sync>);

type Answer = BoxFuture<Result<bool, BoxError>>;

impl AskOrigin {
    pub(crate) fn new<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move |origin| {
            let answer = lookup(origin);
            Box::pin(async move { answer.await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for AskOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskOrigin")
    }
}

/// The user's lookup behind its limits, and what it answered.
#[derive(Clone, Debug)]
pub(crate) struct Lookup(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ask: AskOrigin,
    limits: LookupLimits,
    slots: Semaphore,
    budget: Budget,
    allowed: Remembered,
    refused: Remembered,
}

impl Lookup {
    pub(crate) fn new(ask: AskOrigin, limits: LookupLimits) -> Result<Self, ConfigError> {
        limits.check()?;
        Ok(Self(Arc::new(Shared {
            slots: Semaphore::new(limits.concurrency),
            budget: Budget::new(limits.per_client),
            allowed: Remembered::new(limits.remember_allowed, limits.capacity),
            refused: Remembered::new(limits.remember_refused, limits.capacity),
            ask,
            limits,
        })))
    }

    /// Returns the answer if it is remembered.
    pub(crate) fn remembered(&self, origin: &Origin<'_>) -> Option<bool> {
        self.0.remembered(origin.as_str())
    }

    /// Asks about an origin, within the limits. An error means that the policy could not tell.
    pub(crate) fn ask(
        &self,
        origin: &Origin<'_>,
        request: &request::Parts,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send + use<> {
        let shared = Arc::clone(&self.0);
        let origin = origin.as_str().to_owned();
        let client = ClientIp::of_request(request).map(ClientIp::network);
        async move {
            let charge = shared.budget.charge(client, shared.limits.clock.monotonic());
            let Some(charge) = charge else { return Err(USED_UP.into()) };
            let answered = timeout(shared.limits.timeout, shared.answer(origin)).await;
            let is_allowed = answered.map_err(|_| TIMED_OUT)??;
            if is_allowed {
                shared.budget.refund(&charge);
            }
            Ok(is_allowed)
        }
    }
}

const USED_UP: &str =
    "the origin was not looked up: the client has sent too many origins that are not allowed";
const TIMED_OUT: &str = "the lookup of the origin took too long";

impl Shared {
    fn remembered(&self, origin: &str) -> Option<bool> {
        let now = self.limits.clock.monotonic();
        if self.allowed.contains(origin, now) {
            return Some(true);
        }
        self.refused.contains(origin, now).then_some(false)
    }

    async fn answer(&self, origin: String) -> Result<bool, BoxError> {
        let _slot = self.slots.acquire().await?;
        // Another request may have asked about the same origin while this one waited.
        if let Some(is_allowed) = self.remembered(&origin) {
            return Ok(is_allowed);
        }
        let is_allowed = (self.ask.0)(origin.clone()).await?;
        let memory = if is_allowed { &self.allowed } else { &self.refused };
        memory.insert(&origin, self.limits.clock.monotonic());
        Ok(is_allowed)
    }
}
