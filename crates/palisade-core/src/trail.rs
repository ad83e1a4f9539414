mod step;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, request};

pub use self::step::Step;
use crate::{Allowed, ApiError, BoxFuture, Clock, Decision, Halt, Outcome, Policy, Principal};

/// More policies than any stack has; a request that comes round again and again ends here.
const MOST_STEPS: usize = 64;

/// The policies that have decided about a request, with their decisions and durations.
///
/// An observer inserts a trail into the request's extensions in its [`admit`](Policy::admit), says so in its
/// [description](crate::Description::adds_trail), and keeps a clone. The engine then records each inner policy. Without an observer
/// nothing is recorded or timed.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use http::{Request, Response, request, response};
/// use palisade_core::{ApiError, Decision, Description, Policy, PolicyLayer, SystemClock, Trail};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Prints what became of each request.
/// struct Why;
///
/// impl Policy for Why {
///     type Grant = Trail;
///
///     fn decide(&self, _: &request::Parts) -> Decision<Trail> {
///         Decision::grant(Trail::new(SystemClock::shared()))
///     }
///
///     fn admit(&self, trail: &mut Trail, request: &mut request::Parts) {
///         request.extensions.insert(trail.clone());
///     }
///
///     fn finish(&self, trail: Trail, _: &mut response::Parts) {
///         let steps = trail.steps();
///         assert_eq!(steps[0].to_string(), "Closed=refused(FORBIDDEN)");
///     }
///
///     fn describe(&self) -> Description { Description::new("why").adds_trail() }
/// }
///
/// struct Closed;
///
/// impl Policy for Closed {
///     type Grant = ();
///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::refuse(ApiError::forbidden()) }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = PolicyLayer::new(Why.then(Closed)).layer(service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// service.oneshot(Request::new(String::new())).await.unwrap();
/// # });
/// ```
#[derive(Clone)]
pub struct Trail(Arc<TrailState>);

struct TrailState {
    clock: Arc<dyn Clock>,
    began: Duration,
    noted: Mutex<Noted>,
    body_bytes: AtomicU64,
    knows_principal: AtomicBool,
    knows_route: AtomicBool,
}

#[derive(Default)]
struct Noted {
    steps: Vec<Step>,
    /// When the current decision began.
    asked: Duration,
    route: Option<Box<str>>,
    principal: Option<Principal>,
}

impl Trail {
    /// Creates an empty trail.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let began = clock.monotonic();
        Self(Arc::new(TrailState {
            clock,
            began,
            noted: Mutex::default(),
            body_bytes: AtomicU64::new(0),
            knows_principal: AtomicBool::new(false),
            knows_route: AtomicBool::new(false),
        }))
    }

    /// Returns the trail of a request, if an observer has added one.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the time since the trail began.
    pub fn age(&self) -> Duration {
        self.0.clock.monotonic().saturating_sub(self.0.began)
    }

    /// The policies met so far, in the order in which they decided.
    pub fn steps(&self) -> Vec<Step> {
        self.noted().steps.clone()
    }

    /// Removes and returns the steps, for the last reader.
    pub fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.noted().steps)
    }

    /// Returns the route's template (`/items/{id}`), if axum's router, an inner policy or a call of
    /// [`set_route`](Self::set_route) has provided it.
    pub fn route(&self) -> Option<Box<str>> {
        self.noted().route.clone()
    }

    /// Sets the route of the request, for routers that do not report it. Use the template instead of the path, because metrics
    /// are counted by route.
    pub fn set_route(&self, template: &str) {
        self.0.knows_route.store(true, Ordering::Relaxed);
        self.noted().route = Some(template.into());
    }

    /// Returns the caller, if inner policies have authenticated one.
    pub fn principal(&self) -> Option<Principal> {
        self.noted().principal.clone()
    }

    /// Returns the bytes of the request's body that a body policy, a body limit or a caller of
    /// [`saw_body_bytes`](Self::saw_body_bytes) has counted.
    pub fn body_bytes(&self) -> u64 {
        self.0.body_bytes.load(Ordering::Relaxed)
    }

    /// Reports how many bytes of the request's body have been read. For code that reads or wraps the body. The largest reported
    /// number counts.
    pub fn saw_body_bytes(&self, so_far: u64) {
        self.0.body_bytes.fetch_max(so_far, Ordering::Relaxed);
    }

    /// Notes that a layer refused the request, which is no policy and has to say so itself: a limit on the body, a
    /// deadline. It may come late, when the handler reads the body, or even when the head of the response is out.
    ///
    /// A request that passes is not noted: a layer learns that only when everything is over.
    ///
    /// ```
    /// use http::Request;
    /// use palisade_core::{ApiError, SystemClock, Trail};
    ///
    /// # let mut request = Request::new(());
    /// # let observers = Trail::new(SystemClock::shared());
    /// # request.extensions_mut().insert(observers.clone());
    /// // in the layer's service: the handler is going to own the request
    /// let trail = Trail::from_extensions(request.extensions()).cloned();
    /// // in its future
    /// if let Some(trail) = trail {
    ///     trail.note_refusal("Quarantine", &ApiError::forbidden());
    /// }
    /// assert_eq!(observers.steps()[0].to_string(), "Quarantine=refused(FORBIDDEN)");
    /// ```
    pub fn note_refusal(&self, layer: impl Into<Cow<'static, str>>, error: &ApiError) {
        let after = self.age();
        self.noted().keep(Step {
            policy: layer.into(),
            outcome: Outcome::of_error(error),
            shadow: false,
            after,
            took: Duration::ZERO,
        });
    }

    /// Records the route and the caller of the request, if they are known now.
    pub fn look_at(&self, request: &request::Parts) {
        // Called after each policy. Usually nothing has changed, and no lock is taken.
        if !self.0.knows_principal.load(Ordering::Relaxed)
            && let Some(principal) = request.extensions.get::<Principal>()
        {
            self.0.knows_principal.store(true, Ordering::Relaxed);
            self.noted().principal = Some(principal.clone());
        }
        #[cfg(feature = "axum")]
        if !self.0.knows_route.load(Ordering::Relaxed)
            && let Some(route) = crate::axum::route_of(&request.extensions)
        {
            self.set_route(route);
        }
    }

    /// Asks a policy and notes its answer, unless that comes later.
    #[inline(never)]
    pub(crate) fn decide<P: Policy>(policy: &P, request: &request::Parts) -> Decision<P::Grant> {
        let Some(trail) = Self::from_extensions(&request.extensions) else {
            return policy.decide(request);
        };
        let asked = trail.0.clock.monotonic();
        let panics = Panics { trail, policy, asked: Some(asked) };
        let decision = policy.decide(request);
        std::mem::forget(panics);
        match &decision {
            Decision::Now(outcome) => trail.push_result(policy, outcome, Some(asked)),
            Decision::Later(_) => trail.noted().asked = asked,
        }
        decision
    }

    /// Polls the decision of a policy, and records it.
    pub(crate) fn poll<P: Policy>(
        policy: &P,
        decision: &mut BoxFuture<Result<P::Grant, Halt>>,
        cx: &mut Context<'_>,
        request: &request::Parts,
    ) -> Poll<Result<P::Grant, Halt>> {
        let Some(trail) = Self::from_extensions(&request.extensions) else {
            return decision.as_mut().poll(cx);
        };
        let panics = Panics { trail, policy, asked: None };
        let polled = decision.as_mut().poll(cx);
        std::mem::forget(panics);
        polled.map(|outcome| {
            trail.push_result(policy, &outcome, None);
            outcome
        })
    }

    /// Starts the time of a policy whose decision will be [recorded](Self::note).
    pub(crate) fn ask(&self) {
        let now = self.0.clock.monotonic();
        self.noted().asked = now;
    }

    /// Records the decision of the policy that was started last.
    pub(crate) fn note(&self, policy: Cow<'static, str>, outcome: Outcome) {
        self.push(policy, outcome, false, None);
    }

    fn push_result<P: Policy>(
        &self,
        policy: &P,
        outcome: &Result<P::Grant, Halt>,
        asked: Option<Duration>,
    ) {
        let (outcome, shadow) = match outcome.as_ref().map(P::allowed) {
            Ok(Allowed::OnTrial(outcome)) => (outcome, true),
            Ok(_) => (Outcome::Granted, false),
            Err(halt) => (Outcome::of_halt(halt), false),
        };
        self.push(policy.describe().into_name(), outcome, shadow, asked);
    }

    fn push(
        &self,
        policy: Cow<'static, str>,
        outcome: Outcome,
        shadow: bool,
        asked: Option<Duration>,
    ) {
        let now = self.0.clock.monotonic();
        let mut noted = self.noted();
        let asked = asked.unwrap_or(noted.asked);
        let (after, took) = (asked.saturating_sub(self.0.began), now.saturating_sub(asked));
        noted.keep(Step { policy, outcome, shadow, after, took });
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn keep(&mut self, step: Step) {
        if self.steps.len() == MOST_STEPS {
            return;
        }
        if self.steps.capacity() == 0 {
            self.steps.reserve_exact(8);
        }
        self.steps.push(step);
    }
}

/// Records a panic of a policy on drop.
struct Panics<'a, P: Policy> {
    trail: &'a Trail,
    policy: &'a P,
    asked: Option<Duration>,
}

impl<P: Policy> Drop for Panics<'_, P> {
    fn drop(&mut self) {
        let outcome = Outcome::CouldNotTell { code: "PANICKED".into() };
        self.trail.push(self.policy.describe().into_name(), outcome, false, self.asked);
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.noted().steps).finish()
    }
}

#[cfg(test)]
mod tests;
