use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Extensions, request};

use crate::{ApiError, Clock, Decision, Halt, Outcome, Policy, Principal};

/// More policies than any stack has; a request that comes round again and again ends here.
const MOST_STEPS: usize = 64;

/// The policies that have decided about a request, with their decisions and durations.
///
/// An observer inserts a trail into the request's extensions in its [`admit`](Policy::admit), returns true from
/// [`observes`](Policy::observes), and keeps a clone. The engine then records each inner policy. Without an observer nothing is
/// recorded or timed.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use http::{Request, Response, request, response};
/// use palisade_core::{ApiError, Decision, Policy, PolicyLayer, SystemClock, Trail};
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
///     fn observes(&self) -> bool { true }
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
pub struct Trail(Arc<Shared>);

struct Shared {
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
    /// When the policy that decides now was asked.
    asked: Duration,
    route: Option<Box<str>>,
    principal: Option<Principal>,
}

/// One policy, or a layer that refused, on a [`Trail`].
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    policy: Cow<'static, str>,
    said: Said,
    shadow: bool,
    after: Duration,
    took: Duration,
}

/// An [`Outcome`] that is kept.
#[derive(Clone, PartialEq, Eq)]
enum Said {
    Granted,
    Replied,
    Refused(Box<str>),
    CouldNotTell(Box<str>),
}

impl Trail {
    /// A trail that begins now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let began = clock.monotonic();
        Self(Arc::new(Shared {
            clock,
            began,
            noted: Mutex::default(),
            body_bytes: AtomicU64::new(0),
            knows_principal: AtomicBool::new(false),
            knows_route: AtomicBool::new(false),
        }))
    }

    /// The trail of a request, if an observer asked for one.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
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
    /// let trail = Trail::of(request.extensions()).cloned();
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
            said: Said::of(Outcome::of_error(error)),
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
        let Some(trail) = Self::of(&request.extensions) else { return policy.decide(request) };
        let asked = trail.0.clock.monotonic();
        let panics = Panics { trail, policy, asked };
        let decision = policy.decide(request);
        std::mem::forget(panics);
        match &decision {
            Decision::Now(outcome) => {
                trail.push(policy.name(), Answer::of(policy, outcome), Some(asked));
            }
            Decision::Later(_) => trail.noted().asked = asked,
        }
        decision
    }

    /// Starts the time of a policy whose decision will be [recorded](Self::note).
    pub(crate) fn ask(&self) {
        let now = self.0.clock.monotonic();
        self.noted().asked = now;
    }

    /// Records the decision of the policy that was started last.
    pub(crate) fn note(&self, policy: Cow<'static, str>, outcome: Outcome<'_>) {
        self.push(policy, Answer::meant(outcome), None);
    }

    /// Records the decision of this policy, which was started last.
    pub(crate) fn note_of<P: Policy>(&self, policy: &P, outcome: &Result<P::Grant, Halt>) {
        self.push(policy.name(), Answer::of(policy, outcome), None);
    }

    fn push(&self, policy: Cow<'static, str>, answer: Answer, asked: Option<Duration>) {
        let now = self.0.clock.monotonic();
        let mut noted = self.noted();
        let asked = asked.unwrap_or(noted.asked);
        let step = Step {
            policy,
            shadow: answer.shadow,
            said: answer.said,
            after: asked.saturating_sub(self.0.began),
            took: now.saturating_sub(asked),
        };
        noted.keep(step);
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

/// Dropped only where a policy panics: the trail ends with its name.
struct Panics<'a, P: Policy> {
    trail: &'a Trail,
    policy: &'a P,
    asked: Duration,
}

impl<P: Policy> Drop for Panics<'_, P> {
    fn drop(&mut self) {
        let answer = Answer::meant(Outcome::CouldNotTell { code: "PANICKED" });
        self.trail.push(self.policy.name(), answer, Some(self.asked));
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.noted().steps).finish()
    }
}

impl Step {
    /// The policy's [name](Policy::name).
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the policy's name as a value that can be stored.
    pub fn policy_name(&self) -> Cow<'static, str> {
        self.policy.clone()
    }

    /// Returns the decision. For a shadowed policy, the decision that it would have made.
    pub fn outcome(&self) -> Outcome<'_> {
        match &self.said {
            Said::Granted => Outcome::Granted,
            Said::Replied => Outcome::Replied,
            Said::Refused(code) => Outcome::Refused { code },
            Said::CouldNotTell(code) => Outcome::CouldNotTell { code },
        }
    }

    /// Returns true if the decision was not enforced, because the policy is a [`shadow`](crate::shadow) or [on
    /// trial](Policy::would_have_said).
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// When it was asked, counted from the beginning of the trail.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Returns the duration of the decision.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// `Cors=granted`, `RateLimit=refused(RATE_LIMITED)`, `NewRule=refused(FORBIDDEN) in shadow`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome();
        write!(f, "{}={}", self.policy, outcome.name())?;
        if let Some(code) = outcome.code() {
            write!(f, "({code})")?;
        }
        f.write_str(if self.shadow { " in shadow" } else { "" })
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.took)
    }
}

/// A decision of a policy, and whether it is enforced.
struct Answer {
    said: Said,
    shadow: bool,
}

impl Answer {
    fn of<P: Policy>(policy: &P, outcome: &Result<P::Grant, Halt>) -> Self {
        let grant = outcome.as_ref().ok();
        match grant.and_then(|grant| policy.would_have_said(grant)) {
            Some(outcome) => Self { said: Said::of(outcome), shadow: true },
            None => Self::meant(Outcome::of(outcome)),
        }
    }

    fn meant(outcome: Outcome<'_>) -> Self {
        Self { said: Said::of(outcome), shadow: false }
    }
}

impl Said {
    fn of(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Granted => Self::Granted,
            Outcome::Replied => Self::Replied,
            Outcome::Refused { code } => Self::Refused(code.into()),
            Outcome::CouldNotTell { code } => Self::CouldNotTell(code.into()),
        }
    }
}

/// `palisade_auth::jwt::policy::Jwt<app::Claims>` is called `Jwt`.
pub(crate) fn short_name(full: &'static str) -> &'static str {
    let generic = full.find('<').unwrap_or(full.len());
    let path = &full[..generic];
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, response};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{
        ManualClock, PolicyLayer, any_of, shadow,
        testing::{Deferred, Delay},
    };

    /// Leaves a trail, and keeps it.
    #[derive(Clone)]
    struct Observer {
        clock: ManualClock,
        trail: Trail,
    }

    impl Observer {
        fn new() -> Self {
            let clock = ManualClock::default();
            Self { trail: Trail::new(Arc::new(clock.clone())), clock }
        }
    }

    impl Policy for Observer {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }

        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert(self.trail.clone());
        }

        fn observes(&self) -> bool {
            true
        }
    }

    /// Takes this many milliseconds on the clock.
    struct Takes(ManualClock, u64, bool);

    impl Policy for Takes {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            self.0.advance(Duration::from_millis(self.1));
            if self.2 { Decision::grant(()) } else { Decision::refuse(ApiError::forbidden()) }
        }

        fn name(&self) -> Cow<'static, str> {
            format!("takes_{}", self.1).into()
        }
    }

    struct SaysWho;

    impl Policy for SaysWho {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }

        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert(Principal::new("ada"));
        }
    }

    async fn ask<P: crate::Stage>(policy: P) {
        let service = PolicyLayer::new(policy).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        }));
        drop(service.oneshot(Request::new(())).await.unwrap());
    }

    fn lines(trail: &Trail) -> Vec<String> {
        trail.steps().iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn inner_policies_are_on_the_trail_with_their_times() {
        let observer = Observer::new();
        let trail = observer.trail.clone();
        let takes = |millis, passes| Takes(observer.clock.clone(), millis, passes);
        ask(takes(9, true)
            .then(observer.clone())
            .then(takes(2, true))
            .then(takes(3, false))
            .then(takes(4, true)))
        .await;
        assert_eq!(lines(&trail), ["takes_2=granted", "takes_3=refused(FORBIDDEN)"]);
        let times: Vec<_> = trail
            .steps()
            .iter()
            .map(|step| (step.after().as_millis(), step.took().as_millis()))
            .collect();
        // the policy outside of the observer took 9 ms, before the request came to it
        assert_eq!(times, [(9, 2), (11, 3)]);
    }

    #[test]
    fn a_layer_notes_its_refusal_when_it_comes() {
        let Observer { clock, trail } = Observer::new();
        clock.advance(Duration::from_millis(3));
        trail.ask();
        clock.advance(Duration::from_millis(4));
        trail.note_refusal("BodyLimit", &ApiError::payload_too_large());
        trail.note_refusal("Deadline", &ApiError::deadline_exceeded());
        assert_eq!(
            lines(&trail),
            ["BodyLimit=refused(PAYLOAD_TOO_LARGE)", "Deadline=could_not_tell(DEADLINE_EXCEEDED)",]
        );
        let step = &trail.steps()[0];
        assert_eq!((step.after().as_millis(), step.took().as_millis()), (7, 0));
        for _ in 0..2 * MOST_STEPS {
            trail.note_refusal("Loop", &ApiError::forbidden());
        }
        assert_eq!(trail.steps().len(), MOST_STEPS);
    }

    #[tokio::test]
    async fn trail_continues_in_inner_layers_and_delayed_decisions() {
        let observer = Observer::new();
        let takes = |millis| Takes(observer.clock.clone(), millis, true);
        let trail = observer.trail.clone();
        let inner = PolicyLayer::new(Deferred::new(takes(1), 2).then(takes(2)).then(SaysWho))
            .layer(service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
            }));
        let service = PolicyLayer::new(observer.clone().then(takes(5))).layer(inner);
        drop(service.oneshot(Request::new(())).await.unwrap());
        let expected = ["takes_5=granted", "takes_1=granted", "takes_2=granted", "SaysWho=granted"];
        assert_eq!(lines(&trail), expected);
        assert_eq!(trail.principal(), Some(Principal::new("ada")));
    }

    #[tokio::test]
    async fn a_shadow_is_noted_with_what_it_would_have_said_now_and_later() {
        struct Late(ManualClock);
        impl Policy for Late {
            type Grant = ();
            fn decide(&self, _: &request::Parts) -> Decision<()> {
                let clock = self.0.clone();
                Decision::later(async move {
                    Delay::new(2).await;
                    clock.advance(Duration::from_millis(7));
                    Err(ApiError::unavailable().into())
                })
            }
        }
        let observer = Observer::new();
        let trail = observer.trail.clone();
        let refuses = Takes(observer.clock.clone(), 1, false);
        let late = Late(observer.clock.clone());
        ask(observer.then(shadow(refuses)).then(shadow(late)).then(SaysWho)).await;
        assert_eq!(
            lines(&trail),
            [
                "takes_1=refused(FORBIDDEN) in shadow",
                "Late=could_not_tell(UNAVAILABLE) in shadow",
                "SaysWho=granted"
            ]
        );
        assert_eq!(trail.steps()[1].took(), Duration::from_millis(7));
    }

    #[tokio::test]
    async fn shadowed_outcome_is_in_the_grant_inside_combinators() {
        struct OnTrial;
        impl Policy for OnTrial {
            type Grant = Option<ApiError>;
            fn decide(&self, _: &request::Parts) -> Decision<Self::Grant> {
                Decision::grant(Some(ApiError::rate_limited()))
            }
            fn would_have_said<'a>(&self, would: &'a Self::Grant) -> Option<Outcome<'a>> {
                would.as_ref().map(Outcome::of_error)
            }
        }
        let observer = Observer::new();
        let trail = observer.trail.clone();
        let refuses = Takes(observer.clock.clone(), 1, false);
        ask(observer
            .then(Arc::new(OnTrial))
            .then(crate::when(|_| true, OnTrial))
            .then(crate::when(|_| false, OnTrial))
            .then(Deferred::new(OnTrial, 2))
            .then(any_of(refuses, OnTrial)))
        .await;
        assert_eq!(
            lines(&trail),
            [
                "OnTrial=refused(RATE_LIMITED) in shadow",
                "OnTrial=refused(RATE_LIMITED) in shadow",
                "OnTrial=granted",
                "OnTrial=refused(RATE_LIMITED) in shadow",
                "any_of(takes_1, OnTrial)=refused(RATE_LIMITED) in shadow",
            ]
        );
    }

    #[tokio::test]
    async fn a_policy_that_panics_is_the_last_on_the_trail() {
        struct Panics;
        impl Policy for Panics {
            type Grant = ();
            fn decide(&self, _: &request::Parts) -> Decision<()> {
                panic!("a policy panicked, as it was told to")
            }
        }
        let observer = Observer::new();
        let trail = observer.trail.clone();
        ask(observer.then(SaysWho).then(Panics)).await;
        assert_eq!(lines(&trail), ["SaysWho=granted", "Panics=could_not_tell(PANICKED)"]);
    }

    #[tokio::test]
    async fn names_are_short_and_those_of_combinators_say_what_is_inside() {
        let observer = Observer::new();
        let trail = observer.trail.clone();
        let takes = |millis, passes| Takes(observer.clock.clone(), millis, passes);
        ask(observer.clone().then(any_of(takes(1, false), takes(2, true))).then(Arc::new(SaysWho)))
            .await;
        assert_eq!(lines(&trail), ["any_of(takes_1, takes_2)=granted", "SaysWho=granted"]);
        assert_eq!(short_name("a::b::Jwt<c::Claims, d::E>"), "Jwt");
        assert_eq!(short_name("()"), "()");
    }

    #[test]
    fn policy_is_notified_of_a_failed_service() {
        struct Asks(Arc<Mutex<Vec<&'static str>>>, &'static str);
        impl Policy for Asks {
            type Grant = ();
            fn decide(&self, _: &request::Parts) -> Decision<()> {
                Decision::grant(())
            }
            fn finish(&self, (): (), _: &mut response::Parts) {
                panic!("there is no response")
            }
            fn failed(&self, (): ()) {
                self.0.lock().unwrap().push(self.1);
            }
        }
        let seen = Arc::default();
        let chain = Asks(Arc::clone(&seen), "outer").then(Asks(Arc::clone(&seen), "inner"));
        let service = PolicyLayer::new(chain).layer(crate::testing::Probe::new().failing());
        let mut answer = std::pin::pin!(service.oneshot(Request::new(())));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(matches!(answer.as_mut().poll(&mut cx), std::task::Poll::Ready(Err(_))));
        assert_eq!(*seen.lock().unwrap(), ["inner", "outer"]);
    }
}
