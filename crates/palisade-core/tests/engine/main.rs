//! The engine, driven as servers drive it: chains, later decisions, cancelled requests, and the contract.

mod body_policies;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, request, response};
use http_body_util::{BodyExt, Full};
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, Decision, Description, ErrorFormat, ErrorLayer, Halt,
    Policy, PolicyLayer, RequestId, SystemClock, Trail, any_of, shadow,
    testing::{Contract, Deferred, Probe, Script, Step},
    unless, when,
};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Counts how often it is asked, and writes its name on the response.
#[derive(Clone)]
struct Counting {
    name: &'static str,
    asked: Arc<AtomicUsize>,
    refuses: bool,
}

fn counting(name: &'static str) -> Counting {
    Counting { name, asked: Arc::default(), refuses: false }
}

impl Counting {
    fn refusing(mut self) -> Self {
        self.refuses = true;
        self
    }
}

impl Policy for Counting {
    type Grant = &'static str;

    fn decide(&self, _: &request::Parts) -> Decision<&'static str> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses {
            Decision::refuse(ApiError::rate_limited())
        } else {
            Decision::grant(self.name)
        }
    }

    fn admit(&self, name: &mut &'static str, request: &mut request::Parts) {
        request.headers.append("x-admitted", HeaderValue::from_static(name));
    }

    fn finish(&self, name: &'static str, response: &mut response::Parts) {
        response.headers.append("x-finished", HeaderValue::from_static(name));
    }
}

fn values(headers: &http::HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

async fn echo_admitted(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let admitted = values(request.headers(), "x-admitted").join(" ");
    Ok(Response::new(Full::new(Bytes::from(admitted))))
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/").body(Full::default()).unwrap()
}

#[tokio::test]
async fn chain_admits_outside_in_and_finishes_inside_out() {
    let chain = counting("a").then(counting("b")).then(counting("c"));
    let response =
        PolicyLayer::new(chain).layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap();
    assert_eq!(values(response.headers(), "x-finished"), ["c", "b", "a"]);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "a b c");
}

#[tokio::test]
async fn inner_rejection_gets_headers_of_all_outer_policies() {
    let inner = counting("never");
    let chain = counting("cors")
        .then(counting("auth"))
        .then(counting("limit").refusing())
        .then(inner.clone());
    let response =
        PolicyLayer::new(chain).layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(values(response.headers(), "x-finished"), ["auth", "cors"]);
    assert_eq!(inner.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn delayed_decision_resumes_and_no_policy_decides_twice() {
    for late in 0..8_usize {
        for refusing in [None, Some(0), Some(1), Some(2)] {
            let policies = ["a", "b", "c"].map(counting);
            let make = |at: usize| {
                let mut policy = policies[at].clone();
                policy.refuses = refusing == Some(at);
                // Deferred asks the policy once, in its own decide
                let polls = if late & (1 << at) == 0 { 0 } else { 3 };
                Deferred::new(policy, polls)
            };
            let chain = make(0).then(make(1)).then(make(2));
            let response = PolicyLayer::new(chain)
                .layer(service_fn(echo_admitted))
                .oneshot(get())
                .await
                .unwrap();
            let asked: Vec<_> =
                policies.iter().map(|policy| policy.asked.load(Ordering::SeqCst)).collect();
            let (expected_asked, expected_finished) = match refusing {
                None => (vec![1, 1, 1], vec!["c", "b", "a"]),
                Some(0) => (vec![1, 0, 0], vec![]),
                Some(1) => (vec![1, 1, 0], vec!["a"]),
                Some(_) => (vec![1, 1, 1], vec!["b", "a"]),
            };
            assert_eq!(asked, expected_asked, "late {late:03b}, refusing {refusing:?}");
            assert_eq!(values(response.headers(), "x-finished"), expected_finished);
        }
    }
}

#[tokio::test]
async fn nested_layers_behave_like_a_chain() {
    let nested = PolicyLayer::new(counting("a"))
        .layer(PolicyLayer::new(counting("b")).layer(service_fn(echo_admitted)));
    let response = nested.oneshot(get()).await.unwrap();
    assert_eq!(values(response.headers(), "x-finished"), ["b", "a"]);
}

#[test]
fn delayed_request_calls_the_service_that_was_ready() {
    let probe = Probe::new();
    let mut service = PolicyLayer::new(Deferred::new(counting("a"), 1)).layer(probe.handle());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Service::<Request<Script>>::poll_ready(&mut service, &mut cx).is_ready());
    let mut first = std::pin::pin!(service.call(Request::new(Script::empty())));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert_eq!(probe.calls(), 0, "undecided");
    assert!(first.as_mut().poll(&mut cx).is_ready());
    assert_eq!(probe.calls(), 1);
    assert!(!probe.was_called_unready());
}

fn passing() -> Contract<impl Fn() -> Request<Script>> {
    Contract::new(|| {
        let body = [Step::Data("{\"a\":"), Step::Wait, Step::Data("1}")];
        Request::post("/").body(Script::from_steps(body)).unwrap()
    })
}

struct AnyBody;

impl BodyPolicy for AnyBody {
    type Grant = ();

    fn decide(&self, _: &request::Parts, _: &Bytes) -> Decision<()> {
        Decision::grant(())
    }
}

struct LateBody;

impl BodyPolicy for LateBody {
    type Grant = ();

    fn decide(&self, _: &request::Parts, _: &Bytes) -> Decision<()> {
        Decision::later(async { Ok(()) })
    }
}

#[test]
fn every_layer_of_core_keeps_the_contract() {
    passing().check_policy(|| ());
    passing().check_policy(|| counting("a"));
    passing().check_policy(|| any_of(counting("a").refusing(), counting("b")));
    passing().check_policy(|| when(|_| true, counting("a")));
    passing().check_policy(|| unless(|_| true, counting("a").refusing()));
    passing().check_policy(|| shadow(counting("a").refusing()));
    passing().check_refusal(|| counting("a").refusing());
    passing().check_refusal(|| any_of(counting("a").refusing(), counting("b").refusing()));
    passing().check(|| PolicyLayer::new(counting("a").then(counting("b")).then(counting("c"))));
    passing().check(|| PolicyLayer::new(counting("a").then(Deferred::new(counting("b"), 2))));
    passing().check(|| BodyPolicyLayer::new(AnyBody, 1024));
    passing().check(|| BodyPolicyLayer::new(LateBody, 1024));
    passing().where_failures_are_responses().check(ErrorLayer::new);
    let custom =
        || ErrorFormat::custom(|_, _| Response::builder().status(500).body(Bytes::new()).unwrap());
    passing().where_failures_are_responses().check(|| ErrorLayer::new().format(custom()));
}

#[test]
#[should_panic(expected = "the inner service was called without being ready")]
fn contract_detects_a_layer_that_calls_a_clone() {
    #[derive(Clone)]
    struct CallsAClone<S>(S);
    impl<S: Service<Request<Script>> + Clone> Service<Request<Script>> for CallsAClone<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), S::Error>> {
            self.0.poll_ready(cx)
        }
        fn call(&mut self, request: Request<Script>) -> S::Future {
            self.0.clone().call(request)
        }
    }
    passing().check(|| tower::layer::layer_fn(CallsAClone));
}

#[test]
#[should_panic(expected = "a refused request reached the inner service")]
fn contract_detects_a_policy_that_fails_to_reject() {
    passing().check_refusal(|| counting("a"));
}

/// Says how many fields it writes, and how many the response has room for.
struct Roomy(usize);

impl Policy for Roomy {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(self.0)
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        let room = HeaderValue::from(response.headers.capacity());
        response.headers.append("x-room", room);
    }
}

#[tokio::test]
async fn header_capacity_is_reserved_once() {
    let hello = || {
        service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    let rooms = |response: Response<_>| {
        let _: &palisade_core::Body<Full<Bytes>> = response.body();
        values(response.headers(), "x-room")
    };
    let chain = PolicyLayer::new(Roomy(10).then(Roomy(20).then(Roomy(0))));
    let rooms_of_chain = rooms(chain.layer(hello()).oneshot(get()).await.unwrap());
    assert!(rooms_of_chain[0].parse::<usize>().unwrap() >= 30, "{rooms_of_chain:?}");
    assert!(rooms_of_chain.iter().all(|room| *room == rooms_of_chain[0]), "{rooms_of_chain:?}");

    let around = ErrorLayer::new().with_policies(Roomy(10), Roomy(20));
    let rooms_around = rooms(around.layer(hello()).oneshot(get()).await.unwrap());
    assert!(rooms_around[0].parse::<usize>().unwrap() >= 30, "{rooms_around:?}");
}

/// Writes the content type that it finds.
#[derive(Clone)]
struct Sees;

impl Policy for Sees {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        if let Some(seen) = response.headers.get("content-type").cloned() {
            response.headers.append("x-seen", seen);
        }
    }
}

#[tokio::test]
async fn outer_policies_receive_the_rendered_rejection() {
    let errors = || ErrorLayer::new().format(ErrorFormat::Problem);
    let refusing = || counting("inner").refusing();
    let at_once = errors().with_policies(Sees, Sees.then(refusing()));
    let later =
        errors().with_policies(Deferred::new(Sees, 1), Sees.then(Deferred::new(refusing(), 2)));
    let responses = [
        at_once.layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap(),
        later.layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap(),
    ];
    for response in responses {
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        // The policy inside saw the default format.
        let seen = values(response.headers(), "x-seen");
        assert_eq!(seen, ["application/json", "application/problem+json"]);
    }
    // A refusal outside of the error format is not its business.
    let outside = errors().with_policies(refusing(), Sees);
    let response = outside.layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn failure_inside_the_error_format_passes_all_policies() {
    let layer = || {
        let errors = ErrorLayer::new().format(ErrorFormat::Problem);
        errors.with_policies(counting("outer").then(Sees), Deferred::new(counting("inner"), 1))
    };
    let fails = async |_: Request<Full<Bytes>>| {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("the disk is gone"))
    };
    let panics =
        |_: Request<Full<Bytes>>| -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
            panic!("as it was told to")
        };
    let responses = [
        layer().layer(service_fn(fails)).oneshot(get()).await.unwrap(),
        layer().layer(service_fn(panics)).oneshot(get()).await.unwrap(),
        layer().layer(NeverReady).oneshot(get()).await.unwrap(),
    ];
    for response in responses {
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(values(response.headers(), "x-finished"), ["inner", "outer"]);
        assert_eq!(values(response.headers(), "x-seen"), ["application/problem+json"]);
    }
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<Full<Bytes>>> for NeverReady {
    type Response = Response<Full<Bytes>>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the pool is closed")))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        panic!("it was called although it is not ready")
    }
}

#[test]
fn policies_around_the_error_format_keep_the_contract() {
    Contract::new(|| Request::get("/").body(Script::empty()).unwrap())
        .where_failures_are_responses()
        .check(|| ErrorLayer::new().with_policies(counting("outer"), counting("inner")));
}
