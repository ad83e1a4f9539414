//! Requests that wait instead of being rejected, on tokio's paused time.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use palisade_core::{
    BoxError, BoxFuture, Clock, ErrorLayer, Measured, PeerAddr,
    testing::{Contract, Script},
};
use palisade_rate_limit::{
    Ban, ByAddress, Demand, Fit, Quota, RateLimit, RateLimitBuilder, Reading, Refund, SharedStore,
    Store, Verdict,
};
use tokio::{task::JoinHandle, time::Instant};
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// The clock of tokio, which tests pause.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn unix(&self) -> Duration {
        self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn built(builder: RateLimitBuilder<ByAddress>) -> RateLimit {
    builder.clock(Arc::new(TokioClock(Instant::now()))).build().unwrap()
}

/// One request a second, without a burst.
fn one_a_second() -> RateLimitBuilder<ByAddress> {
    RateLimit::per_address(Quota::per(1, SECOND).gcra())
}

fn request(client: u8) -> Request<Script> {
    let peer = PeerAddr(([192, 0, 2, client], 4000).into());
    Request::get("/").extension(peer).body(Script::empty()).unwrap()
}

/// Sends a request of a client now. Returns its status and how long it took, in milliseconds.
fn send(limit: &RateLimit, client: u8) -> JoinHandle<(u16, u128)> {
    let handler =
        service_fn(async |_: Request<Script>| Ok::<_, Infallible>(Response::new(Script::empty())));
    let service = ErrorLayer::new().layer(limit.layer().layer(handler));
    let sent = Instant::now();
    tokio::spawn(async move {
        let response = service.oneshot(request(client)).await.unwrap();
        (response.status().as_u16(), sent.elapsed().as_millis())
    })
}

/// Lets all ready tasks run.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn metric(limit: &RateLimit, name: &str) -> f64 {
    limit.measure().iter().find(|told| told.metric.name == name).unwrap().value
}

const WAITING: &str = "palisade_limit_waiting";
const REJECTED: &str = "palisade_limit_rejected_total";

#[tokio::test(start_paused = true)]
async fn requests_of_a_key_are_admitted_in_order_when_due() {
    let limit = built(one_a_second().wait(SECOND * 7 / 2, 10));
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.push(send(&limit, 1));
        settle().await;
    }
    assert_eq!(metric(&limit, WAITING), 4.0);
    let mut answers = Vec::new();
    for sent in sent {
        answers.push(sent.await.unwrap());
    }
    assert_eq!(answers[..4], [(200, 0), (200, 1000), (200, 2000), (200, 3000)]);
    // It would have had to wait for four seconds. And more than four of one a second never fit in three and a half.
    assert_eq!(answers[4..], [(429, 3000), (429, 0)]);
    assert_eq!(metric(&limit, WAITING), 0.0);
    assert_eq!(metric(&limit, REJECTED), 2.0, "those that waited and passed are no rejections");
}

#[tokio::test(start_paused = true)]
async fn new_requests_do_not_overtake_waiting_ones() {
    let limit = built(one_a_second().wait(10 * SECOND, 10));
    let first = [send(&limit, 1), send(&limit, 1), send(&limit, 1)];
    settle().await;
    // The permit of the second request is due, and it has not woken up yet.
    tokio::time::advance(SECOND).await;
    let late = send(&limit, 1);
    let mut answers = Vec::new();
    for sent in first {
        answers.push(sent.await.unwrap());
    }
    assert_eq!(answers, [(200, 0), (200, 1000), (200, 2000)]);
    assert_eq!(late.await.unwrap(), (200, 2000), "at three seconds");
}

#[tokio::test(start_paused = true)]
async fn excess_or_overlong_waits_are_rejected_at_once() {
    let limit = built(one_a_second().wait(SECOND, 1));
    let one = send(&limit, 1);
    let two = send(&limit, 1);
    settle().await;
    assert_eq!(send(&limit, 1).await.unwrap(), (429, 0), "one may wait");
    let other = send(&limit, 2);
    settle().await;
    assert_eq!(send(&limit, 2).await.unwrap(), (429, 0), "one of all keys");
    assert_eq!(other.await.unwrap(), (200, 0));
    assert_eq!((one.await.unwrap(), two.await.unwrap()), ((200, 0), (200, 1000)));

    let limit = built(RateLimit::per_address(Quota::per(1, 60 * SECOND)).wait(SECOND, 10));
    assert_eq!(send(&limit, 1).await.unwrap(), (200, 0));
    assert_eq!(send(&limit, 1).await.unwrap(), (429, 0), "a minute is too long");
    let limit = built(RateLimit::per_address(Quota::per(0, SECOND)).wait(SECOND, 10));
    assert_eq!(send(&limit, 1).await.unwrap(), (429, 0), "it never fits");
}

#[tokio::test(start_paused = true)]
async fn cancelled_request_frees_its_place_in_the_queue() {
    let limit = built(one_a_second().wait(2 * SECOND, 2));
    assert_eq!(send(&limit, 1).await.unwrap(), (200, 0));
    let (leaving, next) = (send(&limit, 1), send(&limit, 1));
    settle().await;
    assert_eq!(metric(&limit, WAITING), 2.0);
    leaving.abort();
    settle().await;
    assert_eq!(metric(&limit, WAITING), 1.0);
    let last = send(&limit, 1);
    assert_eq!((next.await.unwrap(), last.await.unwrap()), ((200, 1000), (200, 2000)));
    assert_eq!(metric(&limit, WAITING), 0.0);
}

#[tokio::test(start_paused = true)]
async fn waiting_does_not_count_for_a_ban() {
    let ban = Ban::after(2, 60 * SECOND);
    let limit = built(one_a_second().ban(ban).wait(5 * SECOND, 10));
    for expected in [0, 1000, 1000, 1000] {
        assert_eq!(send(&limit, 1).await.unwrap(), (200, expected));
    }
    let waits = send(&limit, 1);
    settle().await;
    let key = ByAddress::default().key_of([192, 0, 2, 1].into());
    limit.block(key, 60 * SECOND).await.unwrap();
    assert_eq!(waits.await.unwrap().0, 429);
}

#[tokio::test(start_paused = true)]
async fn check_without_a_request_waits() {
    let limit = built(one_a_second().wait(SECOND, 10));
    let key = ByAddress::default().key_of([192, 0, 2, 1].into());
    let start = Instant::now();
    for _ in 0..3 {
        limit.check(key, 1).await.unwrap();
    }
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn observed_keys_never_wait() {
    let limit = built(one_a_second().shadow().wait(5 * SECOND, 10));
    for _ in 0..3 {
        assert_eq!(send(&limit, 1).await.unwrap(), (200, 0));
    }
}

/// Admits one request a second, by tokio's clock, and counts how often it is asked.
#[derive(Debug)]
struct OneASecond(Arc<Mutex<(Instant, u32)>>);

impl Store for OneASecond {
    fn charge(&self, _: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let mut state = state.lock().unwrap();
            state.1 += 1;
            let wait = state.0.saturating_duration_since(Instant::now());
            let (charged, fit) = match wait.is_zero() {
                true => (Some(1), Fit::Fits),
                false => (None, Fit::After(wait)),
            };
            if charged.is_some() {
                state.0 = Instant::now() + SECOND;
            }
            let reading = Reading { remaining: 0, more_in: Some(SECOND), fit };
            Ok(Verdict { charged, readings: vec![reading], moment: 0, block: None })
        })
    }

    fn refund(&self, _: Refund) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_with_a_store_is_bounded_and_repeats_the_call() {
    let state = Arc::new(Mutex::new((Instant::now(), 0)));
    let store = SharedStore::new(OneASecond(Arc::clone(&state)));
    let limit = built(one_a_second().name("api").store(store).wait(SECOND * 5 / 2, 10));
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(send(&limit, 1));
        settle().await;
    }
    let mut answers = Vec::new();
    for sent in sent {
        answers.push(sent.await.unwrap());
    }
    assert_eq!(answers, [(200, 0), (200, 1000), (200, 2000), (429, 2000)]);
    let asked = state.lock().unwrap().1;
    assert!(asked <= 8, "{asked}: not in a loop");
}

#[test]
fn requests_do_not_wait_outside_a_runtime() {
    use palisade_core::{Decision, Policy};
    let limit = RateLimit::per_address(Quota::per(1, SECOND).gcra()).wait(SECOND, 10);
    let limit = limit.build().unwrap();
    let (head, _) = request(1).into_parts();
    assert!(matches!(limit.decide(&head), Decision::Now(Ok(_))));
    assert!(matches!(limit.decide(&head), Decision::Now(Err(_))));
}

#[test]
fn wait_bounds_of_zero_are_config_errors() {
    let setting = |max_wait, max_waiting| {
        one_a_second().wait(max_wait, max_waiting).build().unwrap_err().setting()
    };
    assert_eq!(setting(Duration::ZERO, 1), "max_wait");
    assert_eq!(setting(SECOND, 0), "max_waiting");
}

#[test]
fn waiting_limit_keeps_the_layer_contract() {
    Contract::new(|| request(1)).check_policy(|| {
        let quota = Quota::per(1_000_000, 60 * SECOND);
        RateLimit::per_address(quota).capacity(10).wait(SECOND, 10).build().unwrap()
    });
}
