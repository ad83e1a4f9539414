use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use super::{Deferred, Probe, ProbeError, Script, Step};
use crate::{BoxError, Policy, PolicyLayer};

/// How often a future or a body is polled before a test fails.
const PATIENCE: usize = 100;

/// The tests that every layer passes.
///
/// They drive the layer by hand, without a runtime, around a [`Probe`]; a layer that arms timers needs them to run
/// inside its runtime. Each failure panics with the clause that was broken:
///
/// - an inner service that is not ready makes the outer one not ready;
/// - only a service that was polled ready is called, also when clones are around;
/// - an error of the inner service's `poll_ready` or `call` passes through untouched;
/// - a future that is dropped half-way drops the inner one;
/// - a response body streams through frame by frame, with its size hint and trailers;
/// - the service is `Send + Sync + Clone + 'static`, and its future `Send`;
/// - (for policies) a decision that comes later grants like one that comes at once, and can be cancelled; with
///   [`check_refusal`](Contract::check_refusal) it refuses like one, and the inner service never sees the request.
#[derive(Debug)]
pub struct Contract<R> {
    request: R,
    failures_are_responses: bool,
}

impl<R: Fn() -> Request<Script>> Contract<R> {
    /// Creates a contract for a layer that admits the requests of `request`.
    pub fn new(request: R) -> Self {
        Self { request, failures_are_responses: false }
    }

    /// Accepts 5xx responses instead of errors, for layers such as [`ErrorLayer`](crate::ErrorLayer).
    #[must_use]
    pub fn where_failures_are_responses(mut self) -> Self {
        self.failures_are_responses = true;
        self
    }

    /// Checks a layer. Each clause gets one of its own.
    ///
    /// # Panics
    ///
    /// Where a clause is broken.
    pub fn check<L, ResB>(&self, layer: impl Fn() -> L)
    where
        L: Layer<Probe>,
        L::Service:
            Service<Request<Script>, Response = Response<ResB>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Script>>>::Future: Send,
        ResB: Body<Data = Bytes> + Send + 'static,
        ResB::Error: Into<BoxError>,
    {
        self.waits_for_the_inner_service(&layer());
        self.calls_only_what_was_polled_ready(&layer());
        self.passes_errors_through(&layer(), &layer());
        self.drops_the_inner_future(&layer());
        self.streams_the_response(&layer());
    }

    /// Checks a policy, deciding now and deciding later.
    ///
    /// # Panics
    ///
    /// Where a clause is broken.
    pub fn check_policy<P: Policy>(&self, policy: impl Fn() -> P) {
        self.check(|| PolicyLayer::new(policy()));
        self.check(|| PolicyLayer::new(Deferred::new(policy(), 3)));
        self.cancels_a_decision(&policy);
    }

    /// Checks that a policy refuses the requests made by `request`, now and later, with the same answer.
    ///
    /// # Panics
    ///
    /// Where a request passes, or the answers differ.
    pub fn check_refusal<P: Policy>(&self, policy: impl Fn() -> P) {
        let probe = Probe::new();
        let now = self.send(&mut PolicyLayer::new(policy()).layer(probe.handle()));
        let later = Deferred::new(policy(), 3);
        let later = self.send(&mut PolicyLayer::new(later).layer(probe.handle()));
        assert_eq!(probe.calls(), 0, "a refused request reached the inner service");
        let status = |outcome: Result<Response<crate::Body<Script>>, BoxError>| match outcome {
            Ok(response) => response.status(),
            Err(error) => panic!("a refusal is a response, and not {error}"),
        };
        assert_eq!(status(now), status(later), "a later refusal is the same refusal");
    }

    /// Checks that a policy does not panic on a response with the maximum number of header fields (24,576) or a few less.
    /// Policies should write headers with [`set_header`](crate::set_header).
    ///
    /// # Panics
    ///
    /// If the response is a 5xx, because the engine turns panics into 500.
    pub fn check_full_responses<P: Policy>(&self, policy: impl Fn() -> P) {
        for room in 0..8 {
            let probe = Probe::new().with_header_fields_leaving(room);
            let response = self.send(&mut PolicyLayer::new(policy()).layer(probe));
            let status = response.expect("a request that passes is answered").status();
            assert!(!status.is_server_error(), "with room for {room} header fields: {status}");
        }
    }

    /// Sends one request. Returns the response, and whether the probe was called.
    fn send<S, ResB>(&self, service: &mut S) -> Result<Response<ResB>, BoxError>
    where
        S: Service<Request<Script>, Response = Response<ResB>>,
        S::Error: Into<BoxError>,
    {
        poll_until_ready("poll_ready", |cx| service.poll_ready(cx)).map_err(Into::into)?;
        let mut future = pin!(service.call((self.request)()));
        poll_until_ready("the future", |cx| future.as_mut().poll(cx)).map_err(Into::into)
    }

    fn waits_for_the_inner_service<L, ResB>(&self, layer: &L)
    where
        L: Layer<Probe>,
        L::Service: Service<Request<Script>, Response = Response<ResB>>,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
    {
        let mut service = layer.layer(Probe::new().unready_for(2));
        let first = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending(), "a layer is not ready while its inner service is not");
        assert!(self.send(&mut service).is_ok(), "a layer is ready once its inner service is");
    }

    fn calls_only_what_was_polled_ready<L, ResB>(&self, layer: &L)
    where
        L: Layer<Probe>,
        L::Service: Service<Request<Script>, Response = Response<ResB>> + Clone,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
    {
        let probe = Probe::new();
        let mut service = layer.layer(probe.handle());
        for _ in 0..2 {
            assert!(self.send(&mut service).is_ok(), "a request that passes is answered");
        }
        // Like axum and hyper-util: the ready service is used, and a clone that was not polled remains.
        let clone = service.clone();
        let mut ready = std::mem::replace(&mut service, clone);
        assert!(self.send(&mut ready).is_ok(), "a service works after it was cloned");
        assert!(self.send(&mut service).is_ok(), "a clone works once it was polled ready");
        assert_eq!(probe.calls(), 4, "each request reaches the inner service once");
        assert!(!probe.was_called_unready(), "the inner service was called without being ready");
    }

    fn passes_errors_through<L, ResB>(&self, in_call: &L, in_ready: &L)
    where
        L: Layer<Probe>,
        L::Service: Service<Request<Script>, Response = Response<ResB>>,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
    {
        let failing = self.send(&mut in_call.layer(Probe::new().failing()));
        self.is_the_probes_failure("call", failing);
        let failing = self.send(&mut in_ready.layer(Probe::new().failing_ready()));
        self.is_the_probes_failure("poll_ready", failing);
    }

    fn is_the_probes_failure<ResB>(&self, place: &str, outcome: Result<Response<ResB>, BoxError>) {
        match outcome {
            Ok(response) if self.failures_are_responses => assert!(
                response.status().is_server_error(),
                "an error in {place} becomes a 5xx, not {}",
                response.status()
            ),
            Ok(_) => panic!("an error in {place} was swallowed"),
            Err(error) => assert_eq!(
                error.downcast_ref(),
                Some(&ProbeError),
                "an error in {place} passes through untouched"
            ),
        }
    }

    fn drops_the_inner_future<L, ResB>(&self, layer: &L)
    where
        L: Layer<Probe>,
        L::Service: Service<Request<Script>, Response = Response<ResB>>,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
    {
        let probe = Probe::new().never_answering();
        let mut service = layer.layer(probe.handle());
        let ready = poll_until_ready("poll_ready", |cx| service.poll_ready(cx)).map_err(Into::into);
        assert!(ready.is_ok(), "a layer is ready when its inner service is");
        {
            let mut future = pin!(service.call((self.request)()));
            for _ in 0..PATIENCE {
                let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "nobody answered, and yet there is an answer");
            }
            assert_eq!(probe.calls(), 1, "the request reaches the inner service");
            assert_eq!(probe.dropped_unanswered(), 0);
        }
        assert_eq!(probe.dropped_unanswered(), 1, "dropping the future drops the inner one");
    }

    fn streams_the_response<L, ResB>(&self, layer: &L)
    where
        L: Layer<Probe>,
        L::Service: Service<Request<Script>, Response = Response<ResB>>,
        <L::Service as Service<Request<Script>>>::Error: Into<BoxError>,
        ResB: Body<Data = Bytes>,
        ResB::Error: Into<BoxError>,
    {
        let script = [
            Step::Data("first"),
            Step::Wait,
            Step::Data("second"),
            Step::Trailers(&[("x-trailer", "here")]),
        ];
        let mut service = layer.layer(Probe::new().answering(Script::from_steps(script)));
        let body = self.send(&mut service).expect("a request that passes is answered").into_body();
        assert!(!body.is_end_stream(), "the body has not ended before it was read");
        let expected = SizeHint::with_exact(11);
        assert_eq!(format!("{:?}", body.size_hint()), format!("{expected:?}"), "the size hint");

        let mut body = pin!(body);
        let mut next = || body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
        let data = |polled: Poll<Option<Result<http_body::Frame<Bytes>, ResB::Error>>>| match polled
        {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        };
        assert_eq!(data(next()).as_deref(), Some(&b"first"[..]), "the first frame, at once");
        assert!(next().is_pending(), "a frame that is not there yet is waited for");
        assert_eq!(data(next()).as_deref(), Some(&b"second"[..]), "the second frame");
        let Poll::Ready(Some(Ok(frame))) = next() else { panic!("the trailers were lost") };
        let expected =
            HeaderMap::from_iter([("x-trailer".parse().unwrap(), "here".parse().unwrap())]);
        assert_eq!(frame.into_trailers().ok(), Some(expected), "the trailers");
        assert!(matches!(next(), Poll::Ready(None)), "the end");

        let failing = Script::from_steps([Step::Data("first"), Step::Fail]);
        let mut service = layer.layer(Probe::new().answering(failing));
        let mut body = pin!(self.send(&mut service).expect("it answers").into_body());
        let mut next = || body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(data(next()).is_some(), "the frame before the failure");
        let Poll::Ready(Some(Err(error))) = next() else { panic!("a body's failure was lost") };
        assert_eq!(error.into().downcast_ref(), Some(&ProbeError), "a body's failure is its own");
    }

    fn cancels_a_decision<P: Policy>(&self, policy: impl Fn() -> P) {
        let probe = Probe::new();
        let mut service = PolicyLayer::new(Deferred::new(policy(), PATIENCE)).layer(probe.handle());
        let ready = poll_until_ready("poll_ready", |cx| {
            Service::<Request<Script>>::poll_ready(&mut service, cx)
        });
        assert!(ready.is_ok());
        {
            let mut future = pin!(service.call((self.request)()));
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "an undecided request waits");
        }
        assert_eq!(probe.calls(), 0, "a request that was given up undecided goes nowhere");
    }
}

fn poll_until_ready<T>(what: &str, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    for _ in 0..PATIENCE {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("{what} is still pending after {PATIENCE} polls")
}
