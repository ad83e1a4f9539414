//! Every failure causes one event in the access log, with the status that the client received.

mod captured;

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use captured::{Captured, Fields};
use http::{Request, Response, StatusCode, request};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, Decision, ErrorLayer, ManualClock, Policy, PolicyLayer,
    Principal, RequestId, Trail, shadow,
    testing::{Contract, Deferred, Probe, ProbeError, Script, Step},
};
use palisade_observe::{Explain, Observe, TraceContext};
use tower::{Layer, Service, ServiceExt, service_fn};

/// The one event of what `act` does.
fn the_event_of(act: impl FnOnce()) -> Fields {
    let events = Captured::during(act);
    assert_eq!(events.len(), 1, "one event, and no more: {events:?}");
    events.into_iter().next().unwrap()
}

fn says(event: &Fields, end: &str, status: Option<u16>) {
    let status = status.map(|status| status.to_string());
    assert_eq!((event["end"].as_str(), event.get("status")), (end, status.as_ref()), "{event:?}");
}

fn get() -> Request<Script> {
    Request::get("/items/7?token=s3cret").body(Script::empty()).unwrap()
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Reads a body as a server does, until there is nothing more to read.
fn drain<B: http_body::Body + Unpin>(mut body: B) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = 0;
    while !body.is_end_stream() {
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => frames += 1,
            Poll::Ready(_) => break,
            Poll::Pending => {}
        }
    }
    frames
}

/// A service with a configurable failure.
fn answering<B, F>(
    answer: F,
) -> impl Service<Request<Script>, Response = Response<B>, Error = ProbeError, Future: Send> + Clone
where
    F: Fn() -> Response<B> + Clone + Send,
    B: Send,
{
    service_fn(move |_| {
        let answer = answer.clone();
        async move { Ok(answer()) }
    })
}

#[derive(Clone)]
struct Panicking;

impl Policy for Panicking {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        panic!("a policy panicked, as it was told to")
    }
}

struct Refusing;

impl Policy for Refusing {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::refuse(ApiError::rate_limited())
    }
}

struct PanickingBody;

impl http_body::Body for PanickingBody {
    type Data = Bytes;
    type Error = ProbeError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProbeError>>> {
        panic!("a body panicked, as it was told to")
    }
}

#[test]
fn requests_only_get_ids_without_a_subscriber() {
    let ask = |observe: Observe| {
        let service = observe.layer().layer(service_fn(|request: Request<Script>| async move {
            let extensions = request.extensions();
            let named = extensions.get::<RequestId>().is_some()
                && extensions.get::<TraceContext>().is_some();
            assert!(named);
            Ok::<_, ProbeError>(Response::new(
                Trail::from_extensions(extensions).is_some().to_string(),
            ))
        }));
        let (head, body) = now(service.oneshot(get())).unwrap().into_parts();
        assert!(head.headers.contains_key("x-request-id"));
        String::from_utf8(now(body.collect()).unwrap().to_bytes().into()).unwrap()
    };
    assert_eq!(ask(Observe::new()), "false");
    assert_eq!(ask(Observe::new().report_to(|_| {})), "true");
    assert_eq!(ask(Observe::new().explain(Explain::insecure_to_everybody())), "true");
    assert_eq!(Captured::during(|| assert_eq!(ask(Observe::new()), "true")).len(), 1);
    let quiet = Observe::new().without_access_log();
    assert_eq!(Captured::during(|| assert_eq!(ask(quiet), "false")).len(), 0);
}

#[test]
fn successful_request_is_reported_with_all_fields() {
    struct Ada;
    impl Policy for Ada {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }
        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert(Principal::new("ada\r\nforged"));
        }
    }
    let clock = ManualClock::default();
    let hands = clock.clone();
    let body = || {
        Script::from_steps([
            Step::Data("hello"),
            Step::Data("you"),
            Step::Trailers(&[("grpc-status", "5")]),
        ])
    };
    let service = answering(move || {
        hands.advance(Duration::from_millis(3));
        Response::builder().header("ratelimit", "\"default\";r=7;t=5").body(body()).unwrap()
    });
    let event = the_event_of(|| {
        let layer = PolicyLayer::new(
            Observe::new().clock(Arc::new(clock.clone())).then(Ada).then(shadow(Refusing)),
        );
        let peer = palisade_core::PeerAddr("192.0.2.1:4000".parse().unwrap());
        let request = Request::post("/items/7?token=s3cret")
            .header("x-request-id", "req-42")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .header("content-length", "12")
            .extension(peer);
        let response =
            now(layer.layer(service).oneshot(request.body(Script::empty()).unwrap())).unwrap();
        assert_eq!(response.headers()["x-request-id"], "req-42");
        clock.advance(Duration::from_millis(4));
        drain(response.into_body());
    });
    says(&event, "complete", Some(200));
    for (field, value) in [
        ("method", "POST"),
        ("path", "/items/7?…"),
        ("request_id", "req-42"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("client", "192.0.2.1"),
        ("peer", "192.0.2.1"),
        ("principal", "ada\\r\\nforged"),
        ("grpc_status", "5"),
        ("bytes_in", "12"),
        ("bytes_out", "8"),
        ("duration_us", "7000"),
        ("first_byte_us", "3000"),
        ("ratelimit", "\"default\";r=7;t=5"),
        ("policies", "Ada=granted 0us, Refusing=refused(RATE_LIMITED) in shadow 0us"),
    ] {
        assert_eq!(event.get(field).map(String::as_str), Some(value), "{field}");
    }
}

#[test]
fn bytes_read_are_counted_for_a_body_without_length() {
    struct Reads;
    impl BodyPolicy for Reads {
        type Grant = ();
        fn decide(&self, _: &request::Parts, _: &Bytes) -> Decision<()> {
            Decision::grant(())
        }
    }
    let event = the_event_of(|| {
        let inner = BodyPolicyLayer::new(Reads, 100).layer(Probe::new());
        let request =
            Request::post("/").body(Script::from_steps([Step::Data("hello"), Step::Data("you")]));
        let service = Observe::new().layer().layer(inner);
        drain(now(service.oneshot(request.unwrap())).unwrap().into_body());
    });
    assert_eq!(event["bytes_in"], "8");
}

#[test]
fn rejection_is_logged_with_its_code() {
    let event = the_event_of(|| {
        let layer = PolicyLayer::new(Observe::new().then(Refusing));
        let response =
            now(layer.layer(answering(|| Response::new(Script::empty()))).oneshot(get()));
        drain(response.unwrap().into_body());
    });
    says(&event, "complete", Some(429));
    assert_eq!(event["code"], "RATE_LIMITED");
    assert!(event["policies"].starts_with("Refusing=refused(RATE_LIMITED)"));
}

#[test]
fn panic_is_logged_as_500_only_inside_an_error_layer() {
    let panics = || {
        service_fn(|_: Request<Script>| async {
            if true {
                panic!("a handler panicked, as it was told to");
            }
            Ok::<_, ProbeError>(Response::new(Script::empty()))
        })
    };
    let event = the_event_of(|| {
        let service = Observe::new().layer().layer(ErrorLayer::new().layer(panics()));
        drain(now(service.oneshot(get())).unwrap().into_body());
    });
    says(&event, "complete", Some(500));
    assert_eq!(event["code"], "INTERNAL");

    let event = the_event_of(|| {
        let service = Observe::new().layer().layer(panics());
        assert!(catch_unwind(AssertUnwindSafe(|| now(service.oneshot(get())).is_ok())).is_err());
    });
    says(&event, "panicked", None);
}

#[test]
fn panic_in_a_policy_is_logged_with_its_name() {
    let event = the_event_of(|| {
        let inner = PolicyLayer::new(Panicking).layer(answering(|| Response::new(Script::empty())));
        let service = Observe::new().layer().layer(ErrorLayer::new().layer(inner));
        drain(now(service.oneshot(get())).unwrap().into_body());
    });
    says(&event, "complete", Some(500));
    assert!(event["policies"].starts_with("Panicking=could_not_tell(PANICKED)"));

    // in one chain with the observer: the engine catches it without an error layer
    let event = the_event_of(|| {
        let layer = PolicyLayer::new(Observe::new().then(Panicking));
        let service = layer.layer(answering(|| Response::new(Script::empty())));
        drain(now(service.oneshot(get())).unwrap().into_body());
    });
    says(&event, "complete", Some(500));
    assert_eq!(event["code"], "INTERNAL");
}

#[test]
fn panic_in_the_body_is_logged_with_the_sent_status() {
    let event = the_event_of(|| {
        let service = Observe::new().layer().layer(answering(|| Response::new(PanickingBody)));
        let body = now(service.oneshot(get())).unwrap().into_body();
        assert!(catch_unwind(AssertUnwindSafe(|| drain(body))).is_err());
    });
    says(&event, "body_panicked", Some(200));
}

#[test]
fn service_failure_before_the_head_has_no_status() {
    let event = the_event_of(|| {
        let service = Observe::new().layer().layer(Probe::new().failing());
        assert!(now(service.oneshot(get())).is_err());
    });
    says(&event, "failed", None);
    // With an error layer the panic becomes a 500.
    let event = the_event_of(|| {
        let service = Observe::new().layer().layer(ErrorLayer::new().layer(Probe::new().failing()));
        drain(now(service.oneshot(get())).unwrap().into_body());
    });
    says(&event, "complete", Some(500));
}

#[test]
fn failure_after_the_head_keeps_the_sent_status() {
    let event = the_event_of(|| {
        let body = Script::from_steps([Step::Data("hello"), Step::Fail]);
        let service = Observe::new().layer().layer(Probe::new().answering(body));
        drain(now(service.oneshot(get())).unwrap().into_body());
    });
    says(&event, "body_failed", Some(200));
    assert_eq!(event["bytes_out"], "5");
}

#[test]
fn client_disconnect_is_logged_before_and_after_the_head() {
    let event = the_event_of(|| {
        let mut service = Observe::new().layer().layer(Probe::new().never_answering());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Service::<Request<Script>>::poll_ready(&mut service, &mut cx).is_ready());
        let mut future = Box::pin(service.call(get()));
        assert!(future.as_mut().poll(&mut cx).is_pending());
        drop(future);
    });
    says(&event, "cancelled", None);

    let event = the_event_of(|| {
        let layer = PolicyLayer::new(Observe::new().then(Deferred::new((), 9)));
        let service = layer.layer(Probe::new());
        let mut future = Box::pin(service.oneshot(get()));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(future);
    });
    says(&event, "cancelled", None);

    let event = the_event_of(|| {
        let body = Script::from_steps([Step::Data("hello"), Step::Wait, Step::Data("you")]);
        let service = Observe::new().layer().layer(Probe::new().answering(body));
        let mut body = now(service.oneshot(get())).unwrap().into_body();
        let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        drop(body);
    });
    says(&event, "aborted", Some(200));
    assert_eq!(event["bytes_out"], "5");
}

#[test]
fn body_that_the_server_does_not_poll_is_complete() {
    // what HEAD would have got is never polled
    let event = the_event_of(|| {
        let body = Script::from_steps([Step::Data("hello")]);
        let service = Observe::new().layer().layer(Probe::new().answering(body));
        drop(now(service.oneshot(Request::head("/").body(Script::empty()).unwrap())).unwrap());
    });
    says(&event, "complete", Some(200));
    // a body with a declared length is not polled again once it is there
    let event = the_event_of(|| {
        let answer = || {
            let body = Script::from_steps([Step::Data("hello"), Step::Wait]);
            Response::builder().header("content-length", 5).body(body).unwrap()
        };
        let service = Observe::new().layer().layer(answering(answer));
        let mut body = now(service.oneshot(get())).unwrap().into_body();
        let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        drop(body);
    });
    says(&event, "complete", Some(200));
    let event = the_event_of(|| {
        let answer = || {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .body(Script::from_steps([Step::Wait]))
                .unwrap()
        };
        drop(now(Observe::new().layer().layer(answering(answer)).oneshot(get())).unwrap());
    });
    says(&event, "complete", Some(204));
}

#[test]
fn access_log_can_be_disabled() {
    let events = Captured::during(|| {
        let service = Observe::new().without_access_log().layer().layer(Probe::new());
        drop(now(service.oneshot(get())).unwrap());
    });
    assert!(events.is_empty());
}

#[test]
fn the_policy_and_the_span_keep_the_contract() {
    let contract = Contract::new(get);
    contract.check_policy(Observe::new);
    contract.check(|| palisade_observe::RequestSpan);
    contract.check_refusal(|| Refusing);
}
