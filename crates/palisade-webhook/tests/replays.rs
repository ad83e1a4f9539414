//! A delivery that was processed is not processed again, and one that was not is.

mod common;

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;
use common::{NOW, at, build, post, send, send_answering, signed};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use palisade_core::{Body, BoxError, BoxFuture, ManualClock};
use palisade_webhook::{
    Claim, GitHub, InMemoryReplays, ReplayStore, Replays, Retention, Slack, Standard, Stripe,
    Webhook,
};
use tower::{Layer, ServiceExt, service_fn};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn delivery(id: &str) -> Request<Bytes> {
    let headers = Standard::signer(SECRET).unwrap().sign(id, at(NOW), b"hello").unwrap();
    signed("/", headers, "hello")
}

fn in_memory(capacity: usize) -> Replays {
    Replays::new(InMemoryReplays::new(capacity).unwrap())
}

fn standard(replays: Replays) -> Webhook {
    build(Webhook::standard(SECRET).replays(replays))
}

#[tokio::test]
async fn processed_delivery_is_acknowledged_without_handler() {
    let layer = standard(in_memory(10));
    send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
    let again = send(&layer, delivery("msg_1")).await;
    assert_eq!((again.status, again.calls), (StatusCode::OK, 0));
    assert!(again.body.is_empty());
    send(&layer, delivery("msg_2")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn processed_delivery_can_be_rejected_with_409() {
    let layer = standard(in_memory(10).refuse_duplicates());
    send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
    let again = send(&layer, delivery("msg_1")).await;
    again.assert_refused(StatusCode::CONFLICT);
    assert_eq!(again.code(), "DUPLICATE_DELIVERY");
}

#[tokio::test]
async fn failed_delivery_is_processed_when_it_is_sent_again() {
    let layer = standard(in_memory(10));
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::FOUND] {
        let answer = send_answering(&layer, delivery("msg_1"), status).await;
        assert_eq!((answer.status, answer.calls), (status, 1));
    }
    let accepted = send_answering(&layer, delivery("msg_1"), StatusCode::ACCEPTED).await;
    assert_eq!(accepted.calls, 1);
    assert_eq!(send(&layer, delivery("msg_1")).await.calls, 0);
}

#[tokio::test]
async fn handler_error_releases_the_delivery() {
    let layer = standard(in_memory(10));
    let failing = layer.layer(service_fn(|_: Request<Body<Full<Bytes>>>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("the database is gone"))
    }));
    assert!(failing.oneshot(delivery("msg_1").map(Full::new)).await.is_err());
    send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn running_delivery_is_rejected_and_released_on_drop() {
    let layer = standard(in_memory(10));
    let service = layer.layer(service_fn(|_: Request<Body<Full<Bytes>>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    {
        let mut running = pin!(service.oneshot(delivery("msg_1").map(Full::new)));
        for _ in 0..3 {
            assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let meanwhile = send(&layer, delivery("msg_1")).await;
        meanwhile.assert_refused(StatusCode::CONFLICT);
        assert_eq!(meanwhile.code(), "DELIVERY_IN_PROGRESS");
        assert_eq!(meanwhile.headers["retry-after"], "1");
    }
    send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn one_of_many_concurrent_deliveries_is_processed() {
    let layer = standard(in_memory(10));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = layer.layer(service_fn(move |_: Request<Body<Full<Bytes>>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let deliveries: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(delivery("msg_1").map(Full::new))))
        .collect();
    for delivery in deliveries {
        let status = delivery.await.unwrap().unwrap().status();
        assert!(status == StatusCode::OK || status == StatusCode::CONFLICT);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn unverified_delivery_is_neither_claimed_nor_stored() {
    let layer = standard(in_memory(1));
    for n in 0..100 {
        let mut forged = delivery(&format!("msg_{n}"));
        *forged.body_mut() = Bytes::from("forged");
        send(&layer, forged).await.assert_refused(StatusCode::UNAUTHORIZED);
    }
    send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
}

#[tokio::test]
async fn full_store_rejects_new_deliveries() {
    let clock = ManualClock::at(at(NOW));
    let store = InMemoryReplays::with_clock(2, Arc::new(clock.clone())).unwrap();
    let layer = |now| {
        let clock = ManualClock::at(at(now));
        let builder = Webhook::standard(SECRET).replays(Replays::new(store.clone()));
        builder.clock(Arc::new(clock)).build().unwrap()
    };
    // Signed for as far in the future as is allowed: it is good for twice the tolerance.
    let early = layer(NOW - 300);
    for id in ["msg_1", "msg_2"] {
        send(&early, delivery(id)).await.assert_passed(b"hello");
    }
    let full = send(&early, delivery("msg_3")).await;
    full.assert_refused(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (full.code(), &full.headers["retry-after"]),
        ("UNAVAILABLE".to_owned(), &"1".parse().unwrap())
    );

    clock.advance(at(600));
    let late = layer(NOW + 300);
    send(&late, delivery("msg_3")).await.assert_refused(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&late, delivery("msg_1")).await.calls, 0, "it would still be accepted");
    clock.advance(at(2));
    send(&late, delivery("msg_3")).await.assert_passed(b"hello");
    let too_late = layer(NOW + 301);
    send(&too_late, delivery("msg_1")).await.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn failing_store_rejects_by_default() {
    struct Down;

    impl ReplayStore for Down {
        fn claim(&self, _: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
            Box::pin(async { Err("connection refused".into()) })
        }
    }

    let layer = standard(Replays::new(Down));
    let answer = send(&layer, delivery("msg_1")).await;
    answer.assert_refused(StatusCode::SERVICE_UNAVAILABLE);
    assert!(!String::from_utf8_lossy(&answer.body).contains("connection"));
    let layer = standard(Replays::new(Down).accept_when_store_fails());
    for _ in 0..2 {
        send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
    }
}

/// Notes what it is asked, and takes its time.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<(String, Retention)>>>);

impl ReplayStore for Noting {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        self.0.lock().unwrap().push((key.to_owned(), retention));
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(Claim::Completed(Bytes::new()))
        })
    }
}

#[tokio::test]
async fn delivery_is_identified_by_its_id_or_signed_content() {
    let noting = Noting::default();
    let replays = || Replays::new(noting.clone()).namespace("orders");
    let last = || noting.0.lock().unwrap().last().unwrap().clone();

    let answer = send(&standard(replays()), delivery("msg_1")).await;
    assert_eq!((answer.status, answer.calls), (StatusCode::OK, 0));
    let (key, retention) = last();
    assert_eq!(key, "webhook:orders:standard:id:msg_1");
    assert_eq!((retention.at_least, retention.at_most), (at(602), at(24 * 60 * 60)));

    let layer = build(Webhook::stripe(SECRET).tolerance(at(60)).replays(replays().keep(at(3600))));
    let body = r#"{"object":"event","id":"evt_1"}"#;
    send(&layer, signed("/", Stripe::sign(SECRET, at(NOW), body.as_bytes()).unwrap(), body)).await;
    let (key, retention) = last();
    assert_eq!(key, "webhook:orders:stripe:id:evt_1");
    assert_eq!((retention.at_least, retention.at_most), (at(122), at(3600)));

    // no id: what was signed, so the same body at another time is another delivery
    let layer = build(Webhook::slack(SECRET).replays(replays()));
    let mut keys = Vec::new();
    for time in [NOW, NOW, NOW + 1] {
        send(&layer, signed("/", Slack::sign(SECRET, at(time), b"a=b").unwrap(), "a=b")).await;
        keys.push(last().0);
    }
    assert!(keys[0].starts_with("webhook:orders:slack:content:") && keys[0].len() == 29 + 64);
    assert!(keys[0] == keys[1] && keys[1] != keys[2]);

    // an id that is no good as a key
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(257));
    for body in [&*long, r#"{"id":"a b"}"#, r#"{"id":1}"#, r#"{"id":"a","id":"b"}"#, "[]", "x"] {
        let layer = build(Webhook::stripe(SECRET).replays(replays()));
        let headers = Stripe::sign(SECRET, at(NOW), body.as_bytes()).unwrap();
        send(&layer, signed("/", headers, body.to_owned())).await;
        assert!(last().0.starts_with("webhook:orders:stripe:content:"), "{body}");
    }
}

#[tokio::test]
async fn by_content_ignores_unsigned_ids() {
    let request = |id: &str| {
        let mut request = signed("/", GitHub::sign(SECRET, b"hello").unwrap(), "hello");
        request.headers_mut().insert("x-github-delivery", id.parse().unwrap());
        request
    };
    let by_id = build(Webhook::github(SECRET).replays(in_memory(10)));
    let by_content = build(Webhook::github(SECRET).replays(in_memory(10).by_content()));
    for layer in [&by_id, &by_content] {
        send(layer, request("1")).await.assert_passed(b"hello");
        assert_eq!(send(layer, request("1")).await.calls, 0);
    }
    assert_eq!(send(&by_id, request("2")).await.calls, 1);
    assert_eq!(send(&by_content, request("2")).await.calls, 0);
}

#[tokio::test]
async fn namespaces_separate_endpoints_that_share_a_store() {
    let store = InMemoryReplays::new(10).unwrap();
    let layer = |name| standard(Replays::new(store.clone()).namespace(name));
    for name in ["orders", "invoices"] {
        send(&layer(name), delivery("msg_1")).await.assert_passed(b"hello");
    }
    assert_eq!(send(&layer("orders"), delivery("msg_1")).await.calls, 0);
    let unsigned = send(&layer("orders"), post("/", &[], "hello")).await;
    unsigned.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn delivery_is_confirmed_before_the_response_is_sent() {
    #[derive(Clone, Default)]
    struct Slow {
        confirmed: Arc<AtomicUsize>,
        fails: bool,
    }
    impl ReplayStore for Slow {
        fn claim(&self, _: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
            let reservation = Box::new(self.clone());
            Box::pin(async { Ok(Claim::First(reservation)) })
        }
    }
    impl palisade_webhook::Reservation for Slow {
        fn complete(self: Box<Self>, _: Bytes) -> BoxFuture<Result<(), BoxError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.confirmed.fetch_add(1, Ordering::SeqCst);
                if self.fails { Err("connection reset".into()) } else { Ok(()) }
            })
        }
    }
    for fails in [false, true] {
        let store = Slow { fails, ..Slow::default() };
        let layer = standard(Replays::new(store.clone()));
        // processed is processed, also where that cannot be remembered
        send(&layer, delivery("msg_1")).await.assert_passed(b"hello");
        assert_eq!(store.confirmed.load(Ordering::SeqCst), 1);
    }
}
