use std::{
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{ApiError, Decision, Policy, PolicyLayer};

#[derive(Clone, Default)]
struct Slots(Arc<AtomicUsize>);

struct Slot(Slots);

impl Slots {
    fn taken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Policy for Slots {
    type Grant = Slot;

    fn decide(&self, _: &request::Parts) -> Decision<Slot> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Decision::grant(Slot(self.clone()))
    }

    fn finish(&self, slot: Slot, response: &mut response::Parts) {
        hold_until_end(response, slot);
    }
}

struct RefusesAll;

impl Policy for RefusesAll {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::refuse(ApiError::forbidden())
    }
}

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

#[tokio::test]
async fn guard_lasts_until_the_body_has_ended() {
    let slots = Slots::default();
    let service = PolicyLayer::new(slots.clone()).layer(service_fn(hello));
    let mut response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(slots.taken(), 1);
    assert!(response.frame().await.unwrap().unwrap().is_data());
    assert_eq!(slots.taken(), 1);
    assert!(response.frame().await.is_none());
    assert_eq!(slots.taken(), 0, "the body has ended and is still there");
    drop(response);
}

#[tokio::test]
async fn guard_is_dropped_with_an_unread_body() {
    let slots = Slots::default();
    let service = PolicyLayer::new(slots.clone()).layer(service_fn(hello));
    let response = service.oneshot(Request::new(())).await.unwrap();
    let kept = response.extensions().clone();
    drop(response);
    assert_eq!(slots.taken(), 0);
    drop(kept);
}

#[tokio::test]
async fn watcher_receives_grpc_web_trailers() {
    #[derive(Clone, Default)]
    struct Saw(Arc<Mutex<Vec<String>>>);
    impl WatchBody for Saw {
        fn data(&mut self, bytes: usize) {
            self.0.lock().unwrap().push(bytes.to_string());
        }
        fn trailers(&mut self, trailers: &HeaderMap) {
            self.0.lock().unwrap().push(format!("{trailers:?}"));
        }
        fn end(self: Box<Self>, end: BodyEnd) {
            self.0.lock().unwrap().push(format!("{end:?}"));
        }
    }
    impl Policy for Saw {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }
        fn finish(&self, (): (), response: &mut response::Parts) {
            watch_until_end(response, self.clone());
        }
    }
    let grpc_web = |request: request::Builder| {
        request.header("content-type", "application/grpc-web").body(()).unwrap()
    };
    let saw = Saw::default();
    let service = PolicyLayer::new(saw.clone()).layer(service_fn(async |_: Request<()>| {
        let body = Full::from(&b"\0\0\0\0\x01m\x80\0\0\0\x0egrpc-status:7\n"[..]);
        let response = Response::builder().header("content-type", "application/grpc-web");
        Ok::<_, Infallible>(response.body(body).unwrap())
    }));
    drop(service.oneshot(grpc_web(Request::post("/"))).await.unwrap().collect().await);
    let expected = ["25", "{\"grpc-status\": \"7\"}", "Complete"];
    assert_eq!(*saw.0.lock().unwrap(), expected);

    // and those of a refusal in the same chain
    saw.0.lock().unwrap().clear();
    let service = PolicyLayer::new(saw.clone().then(RefusesAll)).layer(service_fn(hello));
    drop(service.oneshot(grpc_web(Request::post("/"))).await.unwrap().collect().await);
    assert!(saw.0.lock().unwrap()[1].contains("\"grpc-status\": \"7\""));
}

#[tokio::test]
async fn guard_is_dropped_when_the_body_fails() {
    let slots = Slots::default();
    let service = PolicyLayer::new(slots.clone())
        .layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Failing)) }));
    let mut response = service.oneshot(Request::new(())).await.unwrap();
    assert!(response.frame().await.unwrap().is_err());
    assert_eq!(slots.taken(), 0);
}

#[derive(Clone)]
struct Failing;

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Err("the disk is gone")))
    }
}

#[tokio::test]
async fn outer_guard_lasts_as_long_as_an_inner_rejection() {
    let slots = Slots::default();
    let layer = PolicyLayer::new(slots.clone().then(RefusesAll));
    let response = layer.layer(service_fn(hello)).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(slots.taken(), 1);
    drop(response);
    assert_eq!(slots.taken(), 0);
}

#[tokio::test]
async fn each_guard_of_a_chain_lasts_as_long_as_the_body() {
    let (outer, inner) = (Slots::default(), Slots::default());
    let layer = PolicyLayer::new(outer.clone().then(inner.clone()));
    let response = layer.layer(service_fn(hello)).oneshot(Request::new(())).await.unwrap();
    assert_eq!((outer.taken(), inner.taken()), (1, 1));
    drop(response);
    assert_eq!((outer.taken(), inner.taken()), (0, 0));
}

/// The calls of a watcher, as text.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl WatchBody for Diary {
    fn data(&mut self, bytes: usize) {
        self.write(format!("{bytes} bytes"));
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.write(format!("{} trailers", trailers.len()));
    }

    fn end(self: Box<Self>, end: BodyEnd) {
        self.write(format!("{end:?}"));
    }
}

impl Policy for Diary {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        watch_until_end(response, self.clone());
    }
}

/// The response to one request whose body is `body`.
fn watched<B>(diary: &Diary, body: B) -> Response<crate::Body<B>>
where
    B: http_body::Body<Data = Bytes> + Clone + Unpin,
{
    let service = PolicyLayer::new(diary.clone()).layer(service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(body.clone())))
    }));
    let mut answer = std::pin::pin!(service.oneshot(Request::new(())));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match answer.as_mut().poll(&mut cx) {
        Poll::Ready(response) => response.unwrap(),
        Poll::Pending => panic!("nothing here waits"),
    }
}

#[tokio::test]
async fn watcher_observes_each_frame_and_the_end_once() {
    let diary = Diary::default();
    let body = crate::testing::Script::from_steps([
        crate::testing::Step::Data("hello"),
        crate::testing::Step::Wait,
        crate::testing::Step::Data("you"),
        crate::testing::Step::Trailers(&[("x-sum", "7")]),
    ]);
    let response = watched(&diary, body);
    drop(response.into_body().collect().await.unwrap());
    assert_eq!(diary.lines(), ["5 bytes", "3 bytes", "1 trailers", "Complete"]);
}

#[tokio::test]
async fn dropped_body_is_complete_only_at_end_of_stream() {
    // Like hyper, which does not poll a body again that has reported its end.
    let diary = Diary::default();
    let mut response = watched(&diary, Full::new(Bytes::from("hello")));
    response.frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(diary.lines(), ["5 bytes", "Complete"]);

    let diary = Diary::default();
    let response = watched(&diary, Full::new(Bytes::new()));
    assert!(http_body::Body::is_end_stream(response.body()));
    drop(response);
    assert_eq!(diary.lines(), ["Complete"]);

    let diary = Diary::default();
    drop(watched(&diary, Full::new(Bytes::from("hello"))));
    assert_eq!(diary.lines(), ["Dropped"]);
}

#[derive(Clone)]
struct Panics;

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        panic!("a body panicked, as it was told to")
    }
}

#[test]
fn panic_of_the_body_is_reported_when_it_is_dropped() {
    let diary = Diary::default();
    let mut response = watched(&diary, Panics);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let poll = std::panic::AssertUnwindSafe(|| {
        let _ = http_body::Body::poll_frame(Pin::new(response.body_mut()), &mut cx);
    });
    assert!(std::panic::catch_unwind(poll).is_err());
    drop(response);
    assert_eq!(diary.lines(), ["Panicked"]);
}
