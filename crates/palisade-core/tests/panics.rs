//! A policy that panics, at each of its steps: the response is a 500, which the policies outside of it finish.

use std::{
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request, response};
use http_body_util::{BodyExt, Full};
use palisade_core::{
    ApiError, BodyEnd, BodyPolicy, BodyPolicyLayer, Decision, ErrorFormat, ErrorLayer, LeaveAsIs,
    Outcome, Policy, PolicyLayer, Stage, WatchBody, any_of, shadow, watch_until_end, when,
};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECRET: &str = "hunter2";
const STEPS: [&str; 6] = ["decide", "later", "poll", "admit", "admit-later", "finish"];

/// Panics at the step that the request names.
#[derive(Clone)]
struct PanicsAt;

impl Policy for PanicsAt {
    type Grant = String;

    fn decide(&self, request: &request::Parts) -> Decision<String> {
        let at = request.headers.get("x-panic").map_or("", |at| at.to_str().unwrap()).to_owned();
        assert!(at != "decide", "{SECRET}");
        match &*at {
            "later" => Decision::later(async { panic!("{SECRET}") }),
            "poll" => Decision::later(async {
                tokio::task::yield_now().await;
                panic!("{SECRET}")
            }),
            "admit-later" => Decision::later(async { Ok("admit".to_owned()) }),
            _ => Decision::grant(at),
        }
    }

    fn admit(&self, at: &mut String, _: &mut request::Parts) {
        assert!(at != "admit", "{SECRET}");
    }

    fn finish(&self, at: String, response: &mut response::Parts) {
        response.headers.insert("x-half", HeaderValue::from_static("done"));
        assert!(at != "finish", "{SECRET}");
    }
}

/// Writes a header on every response.
#[derive(Clone)]
struct Writes(&'static str);

impl Policy for Writes {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        response.headers.insert(self.0, HeaderValue::from_static("1"));
    }
}

type Handled = Result<Response<Full<Bytes>>, Infallible>;

async fn personal_page(_: Request<Full<Bytes>>) -> Handled {
    let response = Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=60")
        .header(header::SET_COOKIE, "a=b")
        .header(header::CONTENT_LENGTH, "6")
        .extension(LeaveAsIs);
    Ok(response.body(Full::from("secret")).unwrap())
}

async fn answer<S, B>(service: S, at: &str, content_type: &str) -> (response::Parts, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let request = Request::post("/a.B/C")
        .header("x-panic", at)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::default())
        .unwrap();
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head, String::from_utf8(body.to_vec()).unwrap())
}

async fn is_finished_by_outer_policies<S, B>(service: S, at: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (head, body) = answer(service.clone(), at, "application/json").await;
    assert_eq!(head.status, 500, "{at}");
    assert_eq!(head.headers["x-outside"], "1", "{at}");
    assert!(body.contains("INTERNAL") && !body.contains(SECRET), "{at}: {body}");
    let error = head.extensions.get::<ApiError>().expect("the error is there for other layers");
    assert!(error.source().unwrap().to_string().contains(SECRET), "{at}: the log gets the cause");
    for of_the_handler in ["cache-control", "set-cookie", "x-half", "content-length"] {
        assert!(!head.headers.contains_key(of_the_handler), "{at}: {of_the_handler}");
    }
    let (head, body) = answer(service, "", "application/json").await;
    assert_eq!((head.status.as_u16(), &*body), (200, "secret"));
}

#[tokio::test]
async fn outer_policies_finish_the_500_of_a_panicking_policy() {
    for at in STEPS {
        let inner = || service_fn(personal_page);
        let chain = Writes("x-outside").then(PanicsAt).then(Writes("x-inside"));
        is_finished_by_outer_policies(PolicyLayer::new(chain).layer(inner()), at).await;
        let nested = PolicyLayer::new(PanicsAt).layer(inner());
        let nested = PolicyLayer::new(Writes("x-outside")).layer(nested);
        is_finished_by_outer_policies(nested, at).await;
    }
}

#[tokio::test]
async fn panic_inside_a_combinator_is_500() {
    async fn check<P: Stage>(policy: P, at: &str) {
        let layer = PolicyLayer::new(Writes("x-outside").then(policy));
        let (head, body) = answer(layer.layer(service_fn(personal_page)), at, "text/plain").await;
        assert_eq!(head.status, 500, "{at}");
        assert_eq!(head.headers["x-outside"], "1", "{at}");
        assert!(!head.headers.contains_key("set-cookie"), "{at}");
        assert!(body.contains("INTERNAL") && !body.contains(SECRET), "{at}: {body}");
    }
    for at in STEPS {
        check(when(|_| true, PanicsAt), at).await;
        check(when(|_| true, Writes("x-a").then(PanicsAt)), at).await;
        check(any_of(PanicsAt, PanicsAt), at).await;
        check(any_of(PanicsAt.then(Writes("x-a")), PanicsAt), at).await;
    }
    check(when(|_| panic!("{SECRET}"), Writes("x-a")), "decide").await;
}

#[tokio::test]
async fn panic_of_a_shadowed_policy_is_recorded_as_failure() {
    let said = Arc::<Mutex<Vec<_>>>::default();
    let record = Arc::clone(&said);
    let trial = shadow(PanicsAt)
        .record(move |outcome: &Outcome| record.lock().unwrap().push(outcome.name()));
    let service = PolicyLayer::new(trial).layer(service_fn(personal_page));
    for at in ["decide", "later", "poll"] {
        let (head, body) = answer(service.clone(), at, "text/plain").await;
        assert_eq!((head.status.as_u16(), &*body), (200, "secret"), "{at}");
    }
    assert_eq!(*said.lock().unwrap(), ["could_not_tell"; 3]);
}

#[tokio::test]
async fn error_layer_renders_a_panic_of_finish_in_its_format() {
    let errors = ErrorLayer::new().format(ErrorFormat::Problem);
    let guarded = PolicyLayer::new(Writes("x-outside").then(PanicsAt));
    let service = errors.layer(guarded.layer(service_fn(personal_page)));
    let (head, body) = answer(service, "finish", "application/json").await;
    assert_eq!(head.headers["content-type"], "application/problem+json");
    assert_eq!(head.headers["x-outside"], "1");
    assert!(body.contains("INTERNAL") && !body.contains(SECRET), "{body}");
}

#[tokio::test]
async fn a_panic_over_grpc_is_internal() {
    let handler = service_fn(async |_: Request<Full<Bytes>>| -> Handled {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/grpc");
        Ok(response.body(Full::default()).unwrap())
    });
    let service = PolicyLayer::new(Writes("x-outside").then(PanicsAt)).layer(handler);
    for at in STEPS {
        let (head, _) = answer(service.clone(), at, "application/grpc").await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["grpc-status"]),
            (200, &"13".parse().unwrap())
        );
        assert_eq!(head.headers["x-outside"], "1", "{at}");
    }
}

#[tokio::test]
async fn inner_watchers_observe_the_body_of_the_500() {
    #[derive(Clone, Default)]
    struct Watches(Arc<Mutex<Vec<String>>>);
    impl WatchBody for Watches {
        fn data(&mut self, bytes: usize) {
            self.0.lock().unwrap().push((bytes > 10).to_string());
        }
        fn end(self: Box<Self>, end: BodyEnd) {
            self.0.lock().unwrap().push(format!("{end:?}"));
        }
    }
    impl Policy for Watches {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }
        fn finish(&self, (): (), response: &mut response::Parts) {
            watch_until_end(response, self.clone());
        }
    }
    let watches = Watches::default();
    let service = PolicyLayer::new(PanicsAt.then(watches.clone())).layer(service_fn(personal_page));
    answer(service, "finish", "text/plain").await;
    assert_eq!(*watches.0.lock().unwrap(), ["true", "Complete"]);
}

#[tokio::test]
async fn outer_policies_finish_the_500_of_a_panicking_body_policy() {
    struct Body;
    impl BodyPolicy for Body {
        type Grant = String;
        fn applies(&self, request: &request::Parts) -> Result<bool, palisade_core::Halt> {
            assert!(request.headers["x-panic"] != "applies", "{SECRET}");
            Ok(true)
        }
        fn decide(&self, request: &request::Parts, _: &Bytes) -> Decision<String> {
            PanicsAt.decide(request)
        }
        fn admit(&self, at: &mut String, request: &mut request::Parts) {
            PanicsAt.admit(at, request);
        }
        fn finish(&self, at: String, response: &mut response::Parts) {
            PanicsAt.finish(at, response);
        }
    }
    for at in STEPS.into_iter().chain(["applies"]) {
        let service = BodyPolicyLayer::new(Body, 1024)
            .layer(service_fn(async |_: Request<_>| personal_page(Request::default()).await));
        let service = PolicyLayer::new(Writes("x-outside")).layer(service);
        is_finished_by_outer_policies(service, at).await;
    }
}
