//! The example `idempotent_payments`, also killed in the middle of a payment; and two machines on one Redis.

#![allow(clippy::disallowed_methods, reason = "leases of real servers take real time")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use palisade::{
    Body, Principal,
    idempotency::{Idempotency, RedisClaims},
    redis::{Redis, testing::RedisServer},
};
use palisade_tests::{Answer, Client, Example};
use tower::{Layer, ServiceExt, service_fn};

async fn pay(client: &Client, caller: &str, key: &str, payment: &str) -> Answer {
    let fields = [format!("x-api-key: {caller}"), format!("idempotency-key: {key}")];
    client.post_json("/payments", payment.to_owned(), &fields.each_ref().map(String::as_str)).await
}

async fn total(client: &Client, caller: &str) -> String {
    client.get("/payments", &[&format!("x-api-key: {caller}")]).await.text()
}

#[tokio::test]
async fn payment_is_made_once() {
    let mut example = Example::start("idempotent_payments");
    let (ada, grace) = (example.credential("ada key"), example.credential("grace key"));
    let [client, other_version] = Client::of_each_version(example.address);
    let first = pay(&client, &ada, "order-1", r#"{"cents":1000}"#).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, None));
    let retry = pay(&other_version, &ada, "\"order-1\"", r#"{"cents":1000}"#).await;
    assert_eq!((retry.status.as_u16(), retry.json()), (201, first.json()));
    assert_eq!(retry.header("idempotent-replayed"), Some("true"));
    // Each response has an id of its own.
    assert_ne!(retry.header("x-request-id"), first.header("x-request-id"));

    let other = pay(&client, &ada, "order-1", r#"{"cents":2000}"#).await;
    assert_eq!((other.status.as_u16(), &*other.error_code()), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(pay(&client, &grace, "order-1", r#"{"cents":1000}"#).await.json()["id"], 2);
    let missing = client.post_json("/payments", "{}", &[&format!("x-api-key: {ada}")]).await;
    assert_eq!(missing.error_code(), "IDEMPOTENCY_KEY_REQUIRED");
    let stranger = client.post_json("/payments", "{}", &["idempotency-key: order-1"]).await;
    assert_eq!(stranger.status.as_u16(), 401);

    let slow = r#"{"cents":1,"takes":1}"#;
    let both = tokio::join!(
        pay(&client, &ada, "order-2", slow),
        pay(&other_version, &ada, "order-2", slow)
    );
    let mut statuses = [both.0.status.as_u16(), both.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(total(&client, &ada).await, "3 payments, 2001 cents\n");
}

#[tokio::test]
async fn payment_of_a_killed_process_is_made_by_the_next_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("payments.db");
    let start = || {
        let mut example = Example::start_with(
            "idempotent_payments",
            &[("PAYMENTS_DB", database.to_str().unwrap())],
        );
        let key = example.credential("ada key");
        let client = Client::new(example.address, http::Version::HTTP_11);
        (example, client, key)
    };
    let payment = r#"{"cents":1000,"takes":3}"#;
    {
        let (killed, client, ada) = start();
        let attempt = tokio::spawn(async move { pay(&client, &ada, "order-1", payment).await });
        let (_other, client, ada) = start();
        // The first process has the claim, also for a second one on the same database.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(pay(&client, &ada, "order-1", payment).await.status.as_u16(), 409);
        attempt.abort();
        drop(killed); // SIGKILL
        assert_eq!(total(&client, &ada).await, "0 payments, 0 cents\n");
    }
    let (_example, client, ada) = start();
    let mut answers = Vec::new();
    for _ in 0..100 {
        let answer = pay(&client, &ada, "order-1", payment).await;
        answers.push(answer.status.as_u16());
        if answer.status.as_u16() == 201 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answers.last(), Some(&201), "{answers:?}");
    assert!(answers[..answers.len() - 1].iter().all(|status| *status == 409), "{answers:?}");
    assert!(pay(&client, &ada, "order-1", payment).await.header("idempotent-replayed").is_some());
    assert_eq!(total(&client, &ada).await, "1 payments, 1000 cents\n");
}

/// What came of one attempt.
async fn attempt(layer: &Idempotency, calls: &Arc<AtomicUsize>) -> (u16, Bytes) {
    let calls = Arc::clone(calls);
    let service = layer.layer(service_fn(move |_: Request<Body<Full<Bytes>>>| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("call {call}"))))
        }
    }));
    let mut request =
        Request::post("/").header("idempotency-key", "k").body(Full::<Bytes>::default()).unwrap();
    request.extensions_mut().insert(Principal::new("ada"));
    let response = service.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_on_one_redis_run_the_handler_once() {
    let Some(server) = RedisServer::start() else { return };
    let machine = || {
        let patience = Duration::from_secs(20);
        let redis =
            Redis::builder(server.url()).connect_timeout(patience).response_timeout(patience);
        Idempotency::new(RedisClaims::new(redis.build().unwrap())).build().unwrap()
    };
    let (machines, calls) = ([machine(), machine()], Arc::<AtomicUsize>::default());
    let attempts: Vec<_> = (0..1_000)
        .map(|n| {
            let (layer, calls) = (machines[n % 2].clone(), Arc::clone(&calls));
            tokio::spawn(async move { attempt(&layer, &calls).await })
        })
        .collect();
    for attempt in attempts {
        let (status, body) = attempt.await.unwrap();
        assert!(status == 409 || (status == 200 && body == "call 1"), "{status} {body:?}");
    }
    for layer in &machines {
        assert_eq!(attempt(layer, &calls).await, (200, "call 1".into()));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}
