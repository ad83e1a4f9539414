use std::convert::Infallible;

use http::{Request, Response, response};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    Allowed, Description, ManualClock, PolicyLayer, any_of, shadow,
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

    fn describe(&self) -> Description {
        Description::of_type::<Self>().adds_trail()
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

    fn describe(&self) -> Description {
        Description::new(format!("takes_{}", self.1))
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
async fn inner_policies_are_recorded_on_the_trail_with_their_times() {
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
fn layer_rejection_is_recorded_with_its_time() {
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
    let inner = PolicyLayer::new(Deferred::new(takes(1), 2).then(takes(2)).then(SaysWho)).layer(
        service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        }),
    );
    let service = PolicyLayer::new(observer.clone().then(takes(5))).layer(inner);
    drop(service.oneshot(Request::new(())).await.unwrap());
    let expected = ["takes_5=granted", "takes_1=granted", "takes_2=granted", "SaysWho=granted"];
    assert_eq!(lines(&trail), expected);
    assert_eq!(trail.principal(), Some(Principal::new("ada")));
}

#[tokio::test]
async fn shadow_outcomes_are_recorded_sync_and_async() {
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
async fn shadow_outcome_is_recorded_inside_combinators() {
    struct OnTrial;
    impl Policy for OnTrial {
        type Grant = Option<ApiError>;
        fn decide(&self, _: &request::Parts) -> Decision<Self::Grant> {
            Decision::grant(Some(ApiError::rate_limited()))
        }
        fn allowed(would: &Self::Grant) -> Allowed {
            let outcome = would.as_ref().map(Outcome::of_error);
            outcome.map_or(Allowed::ByDecision, Allowed::OnTrial)
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
        .then(any_of(OnTrial, OnTrial))
        .then(any_of(refuses, OnTrial)))
    .await;
    assert_eq!(
        lines(&trail),
        [
            "OnTrial=refused(RATE_LIMITED) in shadow",
            "OnTrial=refused(RATE_LIMITED) in shadow",
            "OnTrial=granted",
            "OnTrial=refused(RATE_LIMITED) in shadow",
            "any_of(OnTrial, OnTrial)=refused(RATE_LIMITED) in shadow",
            "any_of(takes_1, OnTrial)=refused(FORBIDDEN)",
        ]
    );
}

#[tokio::test]
async fn panicking_policy_is_the_last_step_on_the_trail() {
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
async fn step_names_are_short_and_include_inner_policies() {
    let observer = Observer::new();
    let trail = observer.trail.clone();
    let takes = |millis, passes| Takes(observer.clock.clone(), millis, passes);
    ask(observer.clone().then(any_of(takes(1, false), takes(2, true))).then(Arc::new(SaysWho)))
        .await;
    assert_eq!(lines(&trail), ["any_of(takes_1, takes_2)=granted", "SaysWho=granted"]);
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
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(answer.as_mut().poll(&mut cx), Poll::Ready(Err(_))));
    assert_eq!(*seen.lock().unwrap(), ["inner", "outer"]);
}
