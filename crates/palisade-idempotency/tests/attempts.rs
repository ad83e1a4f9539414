//! Concurrent attempts, clients that disconnect, handlers that fail, and responses that stream.

mod common;

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use common::{Answer, Calls, In, builder, counting, post, send};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, BoxError, BoxFuture};
use palisade_idempotency::{
    Claim, ClaimStore, Idempotency, IdempotencyKey, InMemoryClaims, Reservation, Retention,
};
use tokio::sync::{Notify, mpsc};
use tower::{Layer, ServiceExt, service_fn};

type Frames = mpsc::Receiver<Result<Frame<Bytes>, BoxError>>;

/// A body of unknown size.
struct Channel(Frames);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

/// Returns a handler that answers with the next of these streams, and counts its calls.
fn streaming(
    calls: &Calls,
    content_type: &'static str,
    streams: Vec<Frames>,
) -> impl tower::Service<
    Request<In>,
    Response = Response<Channel>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ use<> {
    let calls = calls.clone();
    let streams = Arc::new(std::sync::Mutex::new(streams));
    service_fn(move |_: Request<In>| {
        calls.add();
        let body = Channel(streams.lock().unwrap().remove(0));
        async move { Ok(Response::builder().header("content-type", content_type).body(body).unwrap()) }
    })
}

async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_simultaneous_retries_run_the_handler_once() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let handler = service_fn({
        let calls = calls.clone();
        move |_: Request<In>| {
            calls.add();
            async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("done")))
            }
        }
    });
    let attempts: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(layer.layer(handler.clone()).oneshot(post("k", "10 EUR"))))
        .collect();
    let mut done = 0;
    for attempt in attempts {
        let response = attempt.await.unwrap().unwrap();
        if response.status() == StatusCode::OK {
            done += 1;
        } else {
            assert_eq!(response.status(), StatusCode::CONFLICT);
            assert_eq!(response.headers()["retry-after"], "1");
        }
    }
    assert!(done >= 1);
    assert_eq!(calls.count(), 1);
    assert!(send(&layer, &handler, post("k", "10 EUR")).await.is_replayed());
}

#[tokio::test]
async fn client_that_disconnects_does_not_cancel_the_handler() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let go = Arc::new(Notify::new());
    let handler = service_fn({
        let (calls, go) = (calls.clone(), Arc::clone(&go));
        move |_: Request<In>| {
            let (calls, go) = (calls.clone(), Arc::clone(&go));
            async move {
                go.notified().await;
                calls.add();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("done")))
            }
        }
    });
    let service = layer.layer(handler.clone());
    let impatient =
        tokio::time::timeout(Duration::from_millis(10), service.oneshot(post("k", ""))).await;
    assert!(impatient.is_err());
    let meanwhile = send(&layer, &handler, post("k", "")).await;
    assert_eq!(meanwhile.code(), "IDEMPOTENCY_KEY_IN_USE");
    go.notify_one();
    eventually("the response is stored", async || {
        send(&layer, &handler, post("k", "")).await.is_replayed()
    })
    .await;
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn failed_requests_release_the_key() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    for status in [401, 403, 408, 409, 413, 425, 429, 500, 502, 503, 504] {
        let failing = service_fn(move |_: Request<In>| async move {
            let response = Response::builder().status(status).body(Full::<Bytes>::default());
            Ok::<_, Infallible>(response.unwrap())
        });
        assert_eq!(send(&layer, &failing, post("k", "")).await.status.as_u16(), status);
    }
    let invalid = service_fn(|_: Request<In>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        response.extensions_mut().insert(ApiError::validation([]));
        Ok::<_, Infallible>(response)
    });
    assert!(!send(&layer, &invalid, post("k", "")).await.is_replayed());
    let answer = send(&layer, &counting(&calls), post("k", "")).await;
    assert_eq!((answer.body, calls.count()), ("call 1".into(), 1));
}

#[tokio::test]
async fn server_errors_are_stored_if_configured() {
    let layer = builder().store_server_errors().build().unwrap();
    let failing = service_fn(|_: Request<In>| async {
        let response = Response::builder().status(500).body(Full::<Bytes>::from("charged?"));
        Ok::<_, Infallible>(response.unwrap())
    });
    send(&layer, &failing, post("k", "")).await;
    let retry = send(&layer, &counting(&Calls::default()), post("k", "")).await;
    assert_eq!((retry.status.as_u16(), &*retry.body), (500, b"charged?" as &[u8]));
}

#[tokio::test]
async fn errors_and_panics_of_the_service_release_the_key() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let failing = service_fn(|_: Request<In>| async { Err::<Response<Full<Bytes>>, _>("broken") });
    assert_eq!(layer.layer(failing).oneshot(post("k", "")).await.unwrap_err(), "broken");

    let panics = service_fn(|_: Request<In>| async {
        if true {
            panic!("a bug");
        }
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let attempt = tokio::spawn(layer.layer(panics).oneshot(post("k", "")));
    assert!(attempt.await.unwrap_err().is_panic(), "layers outside see the panic");
    assert_eq!(send(&layer, &counting(&calls), post("k", "")).await.body, "call 1");
}

#[tokio::test]
async fn streamed_response_reaches_the_client_at_once_and_is_stored() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let (frames, stream) = mpsc::channel(1);
    let handler = streaming(&calls, "application/json", vec![stream]);
    let service = layer.layer(handler.clone());
    let mut body = service.oneshot(post("k", "")).await.unwrap().into_body();
    for part in ["one ", "two"] {
        frames.send(Ok(Frame::data(part.into()))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), part);
    }
    assert_eq!(send(&layer, &handler, post("k", "")).await.code(), "IDEMPOTENCY_KEY_IN_USE");
    drop(frames);
    assert!(body.frame().await.is_none());
    let retry = send(&layer, &handler, post("k", "")).await;
    assert_eq!((&*retry.body, retry.is_replayed()), (b"one two" as &[u8], true));
}

#[tokio::test]
async fn stream_is_stored_even_if_its_client_disconnects() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let (frames, stream) = mpsc::channel(1);
    let handler = streaming(&calls, "application/json", vec![stream]);
    drop(layer.layer(handler.clone()).oneshot(post("k", "")).await.unwrap());
    for part in ["one ", "two"] {
        frames.send(Ok(Frame::data(part.into()))).await.unwrap();
    }
    drop(frames);
    eventually("the stream is stored", async || {
        send(&layer, &handler, post("k", "")).await.body == "one two"
    })
    .await;
}

#[tokio::test]
async fn aborted_stream_is_not_stored() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let (broken, first) = mpsc::channel(2);
    let (whole, second) = mpsc::channel(2);
    let handler = streaming(&calls, "application/json", vec![first, second]);
    broken.send(Ok(Frame::data("half".into()))).await.unwrap();
    broken.send(Err("broken".into())).await.unwrap();
    let response = layer.layer(handler.clone()).oneshot(post("k", "")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    whole.send(Ok(Frame::data("whole".into()))).await.unwrap();
    drop(whole);
    let retry = send(&layer, &handler, post("k", "")).await;
    assert_eq!((&*retry.body, retry.is_replayed()), (b"whole" as &[u8], false));
}

#[tokio::test]
async fn large_responses_and_event_streams_are_not_stored() {
    let calls = Calls::default();
    let layer = builder().max_response_body(5).build().unwrap();
    let assert_unstored = async |key| {
        let retry = send(&layer, &counting(&calls), post(key, "")).await;
        assert_eq!((retry.code(), calls.count()), ("RESPONSE_NOT_STORED".to_owned(), 0));
    };
    let large = service_fn(|_: Request<In>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("123456")))
    });
    assert_eq!(send(&layer, &large, post("large", "")).await.body, "123456");
    assert_unstored("large").await;

    for (key, content_type) in [("chunked", "text/plain"), ("events", "Text/Event-Stream; x=y")] {
        let (frames, stream) = mpsc::channel(3);
        let handler = streaming(&Calls::default(), content_type, vec![stream]);
        for part in ["123", "456"] {
            frames.send(Ok(Frame::data(part.into()))).await.unwrap();
        }
        drop(frames);
        assert_eq!(send(&layer, &handler, post(key, "")).await.body, "123456");
        assert_unstored(key).await;
    }
}

#[tokio::test]
async fn grpc_response_is_stored_by_its_status_in_trailers() {
    let (layer, calls) = (builder().build().unwrap(), Calls::default());
    let reply = |status: &'static str| {
        let (frames, stream) = mpsc::channel(2);
        frames.try_send(Ok(Frame::data(Bytes::from("message")))).unwrap();
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(status),
        )]);
        frames.try_send(Ok(Frame::trailers(trailers))).unwrap();
        stream
    };
    let (cut_off, stream) = mpsc::channel(1);
    drop(cut_off);
    let streams = vec![reply("14"), stream, reply("0")];
    let handler = streaming(&calls, "application/grpc+proto", streams);
    for (status, calls_so_far) in [(Some("14"), 1), (None, 2), (Some("0"), 3), (Some("0"), 3)] {
        let response = layer.layer(handler.clone()).oneshot(post("k", "")).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let received = collected.trailers().and_then(|trailers| trailers.get("grpc-status"));
        assert_eq!(received.map(|status| status.to_str().unwrap()), status);
        assert_eq!(calls.count(), calls_so_far);
    }
}

#[tokio::test]
async fn handler_finds_the_key() {
    let layer = builder().build().unwrap();
    let handler = service_fn(|request: Request<In>| async move {
        let key = IdempotencyKey::from_extensions(request.extensions()).expect("a key");
        assert_eq!((key.as_str(), key.store_key().len()), ("k", 76));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "10 EUR", "the body is passed on");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    assert_eq!(send(&layer, &handler, post("\"k\"", "10 EUR")).await.status, StatusCode::OK);
}

/// A store that fails at the claim, or at the completion.
#[derive(Clone, Copy)]
struct Failing {
    claims: bool,
}

impl ClaimStore for Failing {
    fn claim(&self, _: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let store = *self;
        Box::pin(async move {
            if store.claims { Ok(Claim::First(Box::new(store))) } else { Err("down".into()) }
        })
    }
}

impl Reservation for Failing {
    fn complete(self: Box<Self>, _: Bytes) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async { Err("down".into()) })
    }
}

#[tokio::test]
async fn failing_store_is_503_unless_requests_run_unprotected() {
    let calls = Calls::default();
    let handler = counting(&calls);
    let down = || Idempotency::new(Failing { claims: false });
    let rejected = send(&down().build().unwrap(), &handler, post("k", "")).await;
    assert_eq!((rejected.code(), calls.count()), ("UNAVAILABLE".to_owned(), 0));
    assert_eq!(rejected.headers["retry-after"], "1");
    assert!(!String::from_utf8_lossy(&rejected.body).contains("down"));

    let open = down().insecure_run_when_store_fails().build().unwrap();
    assert_eq!(send(&open, &handler, post("k", "")).await.body, "call 1");

    let unstored = Idempotency::new(Failing { claims: true }).build().unwrap();
    assert_eq!(send(&unstored, &handler, post("k", "")).await.body, "call 2");
}

#[tokio::test]
async fn undecodable_record_is_503() {
    let store = InMemoryClaims::new(1).unwrap();
    let day = Retention::exactly(Duration::from_secs(60));
    let layer = Idempotency::new(store.clone()).build().unwrap();
    let key = Arc::new(std::sync::Mutex::new(String::new()));
    let handler = service_fn({
        let key = Arc::clone(&key);
        move |request: Request<In>| {
            let found = IdempotencyKey::from_extensions(request.extensions()).unwrap();
            found.store_key().clone_into(&mut key.lock().unwrap());
            async { Err::<Response<Full<Bytes>>, _>("released") }
        }
    });
    assert!(layer.layer(handler).oneshot(post("k", "")).await.is_err());
    let key = key.lock().unwrap().clone();
    let Claim::First(reservation) = store.claim(&key, day).await.unwrap() else {
        panic!("released")
    };
    reservation.complete("of another program".into()).await.unwrap();
    let rejected = send(&layer, &counting(&Calls::default()), post("k", "")).await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn handler_stores_its_record_with_its_own_transaction() {
    /// Stands for a database whose rows are claims.
    #[derive(Clone)]
    struct Database(InMemoryClaims, Arc<std::sync::Mutex<Vec<Bytes>>>);

    impl palisade_idempotency::RecordTransaction for Database {
        type Error = BoxError;

        async fn store_record(&mut self, _: &str, _: &str, record: &[u8]) -> Result<(), BoxError> {
            self.1.lock().unwrap().push(Bytes::copy_from_slice(record));
            Ok(())
        }
    }

    let database = Database(InMemoryClaims::new(10).unwrap(), Arc::default());
    let layer = Idempotency::new(database.0.clone()).build().unwrap();
    let handler = service_fn({
        let database = database.clone();
        move |request: Request<In>| {
            let mut database = database.clone();
            async move {
                let key = IdempotencyKey::from_extensions(request.extensions()).unwrap().clone();
                let response = Response::builder().status(201).body(Bytes::from("paid")).unwrap();
                key.complete_in(&mut database, &response).await.unwrap();
                Ok::<_, Infallible>(response.map(Full::new))
            }
        }
    });
    send(&layer, &handler, post("k", "")).await;
    // The record of the transaction is the one that the layer stores.
    let Answer { status, body, .. } = send(&layer, &handler, post("k", "")).await;
    assert_eq!((status.as_u16(), &*body), (201, b"paid" as &[u8]));
    let records = database.1.lock().unwrap();
    assert_eq!(records.len(), 1);
    assert!(records[0].windows(4).any(|bytes| bytes == b"paid"));
}
