//! Looks up origins in a database or another service.

mod budget;
mod in_progress;
mod limits;
mod memory;

use std::{fmt, future::Future, net::IpAddr, sync::Arc};

use http::request;
use palisade_core::{BoxError, BoxFuture, ClientIp, ConfigError, Origin};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use budget::Budget;
use in_progress::InProgress;
pub use limits::LookupLimits;
use memory::Remembered;

/// The user's lookup.
#[derive(Clone)]
pub(crate) struct AskOrigin(Arc<dyn Fn(String) -> LookupFuture + Send + Sync>);

type LookupFuture = BoxFuture<Result<bool, BoxError>>;

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

/// The user's lookup with its limits and cached results.
#[derive(Clone, Debug)]
pub(crate) struct Lookup(Arc<LookupState>);

#[derive(Debug)]
struct LookupState {
    ask: AskOrigin,
    limits: LookupLimits,
    slots: Semaphore,
    in_progress: InProgress,
    budget: Budget,
    allowed: Remembered,
    refused: Remembered,
}

impl Lookup {
    pub(crate) fn new(ask: AskOrigin, limits: LookupLimits) -> Result<Self, ConfigError> {
        limits.check()?;
        Ok(Self(Arc::new(LookupState {
            slots: Semaphore::new(limits.concurrency),
            in_progress: InProgress::default(),
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

    /// Looks up an origin within the limits.
    ///
    /// # Errors
    ///
    /// If the lookup fails or exceeds a limit.
    pub(crate) fn ask(
        &self,
        origin: &Origin<'_>,
        request: &request::Parts,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send + use<> {
        let shared = Arc::clone(&self.0);
        let origin = origin.as_str().to_owned();
        let client = ClientIp::of_request(request).map(ClientIp::network);
        async move { shared.answer(&origin, client).await }
    }
}

const USED_UP: &str =
    "the origin was not looked up: the client has sent too many origins that are not allowed";
const TIMED_OUT: &str = "the lookup of the origin took too long";

impl LookupState {
    fn remembered(&self, origin: &str) -> Option<bool> {
        let now = self.limits.clock.monotonic();
        if self.allowed.contains(origin, now) {
            return Some(true);
        }
        self.refused.contains(origin, now).then_some(false)
    }

    /// Waits for the answer. Requests with one origin share a lookup, and its error.
    async fn answer(&self, origin: &str, client: Option<IpAddr>) -> Result<bool, BoxError> {
        if let Some(is_allowed) = self.remembered(origin) {
            return Ok(is_allowed);
        }
        #[allow(clippy::disallowed_methods, reason = "the deadline of a timer of the runtime")]
        let deadline = Instant::now() + self.limits.timeout;
        let lookup = self.in_progress.join(origin);
        // If the request that looks up is cancelled, or its client has used its budget up, another one that waits takes over.
        let asked = lookup.answer.get_or_try_init(|| async {
            let answered = timeout_at(deadline, self.ask(origin, client)).await;
            answered.unwrap_or_else(|_| Ok(Err(TIMED_OUT.into())))
        });
        match timeout_at(deadline, asked).await {
            Ok(Ok(Ok(is_allowed))) => Ok(*is_allowed),
            Ok(Ok(Err(shared))) => Err((&**shared).into()),
            Ok(Err(UsedUp)) => Err(USED_UP.into()),
            Err(_) => Err(TIMED_OUT.into()),
        }
    }

    /// Asks, once there is a slot, and remembers the answer.
    async fn ask(
        &self,
        origin: &str,
        client: Option<IpAddr>,
    ) -> Result<Result<bool, Arc<str>>, UsedUp> {
        let Ok(_slot) = self.slots.acquire().await else { return Err(UsedUp) };
        // Charged with the slot: of allowed origins, which are refunded, a client has at most as many charged as there are
        // slots, however many requests it sends at the same time.
        let now = self.limits.clock.monotonic();
        let charge = self.budget.charge(client, now).ok_or(UsedUp)?;
        let is_allowed = match (self.ask.0)(origin.to_owned()).await {
            Ok(is_allowed) => is_allowed,
            Err(error) => return Ok(Err(with_sources(&*error).into())),
        };
        let memory = if is_allowed { &self.allowed } else { &self.refused };
        memory.insert(origin, self.limits.clock.monotonic());
        if is_allowed {
            self.budget.refund(&charge);
        }
        Ok(Ok(is_allowed))
    }
}

/// The client has used its budget, and no lookup was made.
struct UsedUp;

/// An error that several requests share is a text: the error with its sources.
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
