//! Limits that machines share, with a real Redis that is stopped, paused, slowed down and emptied under them.

#![allow(clippy::disallowed_methods, reason = "a real server takes real time")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, Version};
use http_body_util::Empty;
use palisade::{
    PeerAddr, PolicyLayer,
    rate_limit::{Quota, RateLimit, SharedStore, StoreStats},
    rate_limit_redis::RedisStore,
    redis::{Redis, testing::RedisServer},
};
use palisade_tests::{Answer, Client, Example};
use tower::{Layer, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than any time-out here, and much shorter than a request that hangs.
const SOON: Duration = Duration::from_secs(2);

fn store(server: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(Redis::builder(server.url()).build().unwrap()))
}

fn limited(limit: u32, by: SharedStore) -> RateLimit {
    // The default of 50 ms is for a machine that does nothing else.
    let by = by.timeout(Duration::from_millis(300));
    RateLimit::per_address(Quota::per(limit, MINUTE).fixed_window())
        .name("api")
        .store(by)
        .build()
        .unwrap()
}

async fn send(limit: &RateLimit) -> Response<()> {
    let service = limit.layer().layer(service_fn(async |_: Request<Empty<bytes::Bytes>>| {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
    }));
    let peer = PeerAddr("192.0.2.1:4000".parse().unwrap());
    let service = PolicyLayer::new(peer).layer(service);
    service.oneshot(Request::new(Empty::new())).await.unwrap().map(drop)
}

async fn statuses(limit: &RateLimit, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(send(limit).await.status().as_u16());
    }
    statuses
}

fn stats(limit: &RateLimit) -> StoreStats {
    limit.store_stats().unwrap()
}

/// Polls until the store responds again: connections are reopened and breakers close after a pause.
async fn recovered(limit: &RateLimit) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let before = stats(limit);
        send(limit).await;
        let after = stats(limit);
        if after.asked > before.asked && after.failed == before.failed {
            return;
        }
        assert!(Instant::now() < patience, "the store never answers again: {after:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_machines_share_one_limit() {
    let Some(server) = RedisServer::start() else { return };
    // No request times out: this test counts admitted requests.
    let patience = Duration::from_secs(30);
    let by = || {
        let redis = Redis::builder(server.url()).response_timeout(patience);
        let redis = redis.connect_timeout(patience).build().unwrap();
        SharedStore::new(RedisStore::new(redis)).timeout(patience).breaker(0, MINUTE)
    };
    let limit = || {
        let quota = Quota::per(100, MINUTE * 60).strict();
        RateLimit::per_address(quota).name("api").store(by()).build().unwrap()
    };
    let machines: Vec<RateLimit> = (0..4).map(|_| limit()).collect();
    let requests = (0..1000).map(|n| {
        let machine = machines[n % 4].clone();
        tokio::spawn(async move { send(&machine).await })
    });
    let mut admitted = 0;
    for request in requests.collect::<Vec<_>>() {
        let response = request.await.unwrap();
        let status = response.status();
        let error = response.extensions().get::<palisade::ApiError>();
        assert!(status == 200 || status == 429, "{error:?}");
        admitted += u32::from(status == 200);
    }
    assert_eq!(admitted, 100);
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_server_triggers_the_declared_failure_mode() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = store(&server);
    let closed = limited(1000, SharedStore::new(Arc::clone(&store)).fail_closed());
    let open = limited(1000, SharedStore::new(Arc::clone(&store)).fail_open());
    // two, here
    let local = limited(1000, SharedStore::new(Arc::clone(&store)).fallback_local(0.002));
    recovered(&closed).await;

    type Act = fn(&mut RedisServer);
    let troubles: [(&str, Act, Act); 3] = [
        ("stopped", RedisServer::stop, RedisServer::restart_empty),
        ("paused", |server| server.pause(), |server| server.resume()),
        (
            "slow",
            |server| drop(server.command(&["CLIENT", "PAUSE", "6000", "ALL"])),
            |server| drop(server.command(&["PING"])),
        ),
    ];
    for (trouble, begin, end) in troubles {
        begin(&mut server);
        let before = Instant::now();
        assert_eq!(statuses(&closed, 3).await, [503, 503, 503], "{trouble}");
        assert_eq!(statuses(&open, 8).await, [200; 8], "{trouble}");
        assert!(before.elapsed() < 11 * Duration::from_millis(300) + SOON, "{trouble}");

        let counted_here = statuses(&local, 8).await;
        assert!(counted_here.iter().all(|status| matches!(status, 200 | 429)), "{counted_here:?}");
        // Where a window begins in between, twice.
        let admitted = counted_here.iter().filter(|status| **status == 200).count();
        assert!(admitted <= 4, "{trouble}: {counted_here:?}");
        for limit in [&closed, &open, &local] {
            assert!(stats(limit).failed > 0, "{trouble}");
        }
        end(&mut server);
        for limit in [&closed, &open, &local] {
            recovered(limit).await;
        }
        assert_eq!(send(&closed).await.status(), 200, "{trouble}");
    }
}

#[tokio::test]
async fn breaker_stops_calls_to_an_unavailable_server() {
    let Some(server) = RedisServer::start() else { return };
    let limit = limited(1000, SharedStore::new(store(&server)).fail_open());
    recovered(&limit).await;
    server.pause();
    let asked = stats(&limit).asked;
    let before = Instant::now();
    assert_eq!(statuses(&limit, 200).await, [200; 200]);
    let after = stats(&limit);
    // Five in a row, and one a second.
    assert!(after.asked - asked <= 6 + before.elapsed().as_secs(), "{after:?}");
    assert!(after.skipped > 150, "{after:?}");
    server.resume();
    recovered(&limit).await;
}

#[tokio::test]
async fn leasing_machines_make_few_calls_and_stay_within_bounds() {
    let Some(server) = RedisServer::start() else { return };
    let machine = || limited(1000, SharedStore::new(store(&server)).leased(50));
    let fleet = [machine(), machine()];
    let mut admitted = 0;
    for _ in 0..1200 {
        for limit in &fleet {
            admitted += u32::from(send(limit).await.status() == 200);
        }
    }
    // All of it in one window; or, where a window began in between, what both allow and what was held.
    assert!((1000 - 100..=2000 + 100).contains(&admitted), "{admitted}");
    for limit in &fleet {
        let stats = stats(limit);
        assert!(stats.asked < 100 && stats.failed == 0, "{stats:?}");
    }
}

#[tokio::test]
async fn two_instances_share_limits_and_work_without_redis() {
    let Some(mut server) = RedisServer::start() else { return };
    let mut example = Example::start_with("rate_limit_redis", &[("REDIS_URL", &server.url())]);
    let second: SocketAddr = example.line_after("second instance: ").parse().unwrap();
    let instances =
        [Client::new(example.address, Version::HTTP_11), Client::new(second, Version::HTTP_11)];

    let mut codes = Vec::new();
    for _ in 0..3 {
        for instance in &instances {
            codes.push(instance.get("/codes", &[]).await.status.as_u16());
        }
    }
    assert_eq!(codes, [200, 200, 200, 429, 429, 429], "three, at both together");

    let fields = |answer: &Answer| {
        let all = answer.headers.get_all("ratelimit-policy").iter();
        all.map(|field| field.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answer = instances[0].get("/", &[]).await;
    assert_eq!(fields(&answer), ["\"burst\";q=10;w=1", "\"steady\";q=20;w=60"]);

    for _ in 0..20 {
        let answer = instances[0].get("/bulk", &["x-verified-caller: me"]).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(instances[0].get("/bulk", &[]).await.error_code(), "BAD_REQUEST");

    server.stop();
    assert_eq!(instances[1].get("/", &[]).await.status, 200, "counted by the instance");
    assert_eq!(instances[1].get("/news", &[]).await.status, 200, "open");
    // What Redis had refused is still refused, until the wait is over; all other clients are.
    let code = instances[1].get("/codes", &[]).await;
    assert!(matches!(code.status.as_u16(), 429 | 503), "{}", code.status);
}
