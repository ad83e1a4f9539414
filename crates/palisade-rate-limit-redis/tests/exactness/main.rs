//! What the scripts decide, to the millisecond, under a clock that the test sets.

mod oracle;
mod refunds;
#[path = "../support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use palisade_rate_limit::{Algorithm, Fit, Quota};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, Dice, Hand, MINUTE, after, reading};

/// A store on a server of its own, at a time of the test's choice.
fn store_at(server: &RedisServer, clock: &Arc<Hand>) -> RedisStore {
    let redis = Redis::builder(server.url())
        // a debug build on a busy machine
        .response_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        .build()
        .expect("a server");
    RedisStore::with_clock(redis, clock.clone())
}

/// A whole number of minutes, of recent years.
const EPOCH: u64 = 1_700_000_000 / 60 * 60 * 1000;

#[tokio::test]
async fn published_vectors_of_the_sliding_window_hold() {
    let Some(server) = RedisServer::start() else { return };
    // limit, milliseconds into the window, count before, count, cost: the wait
    let vectors = [
        (10, 24_000, 10, 4, 1, 1),
        (10, 0, 10, 0, 1, 1),
        (10, 30_000, 0, 10, 1, 30_001),
        (10, 59_999, 10, 10, 1, 2),
        (10, 15_000, 4, 5, 5, 30_001),
        (10, 15_000, 4, 5, 3, 1),
    ];
    for (number, (limit, elapsed, before, count, cost, wait)) in vectors.into_iter().enumerate() {
        let clock = Hand::at(EPOCH);
        let client =
            Client::new(&store_at(&server, &clock), "vectors", [Quota::per(limit, MINUTE)])
                .with_key(number as u64);
        // The history is written in the windows in which it happened. Where it would not be admitted at once, the limit was
        // higher then.
        let generous = Client { quotas: [Quota::per(1000, MINUTE)].into(), ..client.clone() };
        clock.set(EPOCH);
        assert_eq!(generous.charge(before).await.charged, Some(before));
        clock.set(EPOCH + 60_000 + elapsed);
        assert_eq!(generous.charge(count).await.charged, Some(count));

        let refused = client.charge(cost).await;
        assert_eq!(refused.charged, None, "vector {number}");
        assert_eq!(refused.readings[0].fit, after(wait), "vector {number}");
        if wait > 1 {
            clock.advance(wait - 1);
            assert_eq!(client.charge(cost).await.readings[0].fit, after(1), "vector {number}");
        }
        clock.advance(wait.min(1));
        assert_eq!(client.charge(cost).await.charged, Some(cost), "vector {number}");
    }
}

#[tokio::test]
async fn counts_the_published_example_of_cloudflare() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(100, MINUTE)]);
    client.charge(42).await;
    clock.set(EPOCH + 60_000);
    client.charge(18).await;
    clock.set(EPOCH + 75_000);
    assert_eq!(client.remaining().await, 51);
    let verdict = client.charge(1).await;
    assert_eq!((verdict.charged, verdict.moment), (Some(1), EPOCH + 75_000));
    assert_eq!(verdict.readings[0].remaining, 50);
    assert_eq!(verdict.readings[0].fit, Fit::Fits);
}

#[tokio::test]
async fn cost_over_the_limit_never_fits_and_limit_0_rejects_all() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    for by in
        [Quota::sliding_window, Quota::strict, Quota::gcra, Quota::fixed_window, Quota::exact_log]
    {
        let ten = Client::new(&store, "ten", [by(Quota::per(10, MINUTE))]);
        let verdict = ten.charge(11).await;
        assert_eq!(
            (verdict.charged, verdict.readings[0].fit),
            (None, Fit::Never),
            "{ten:?}",
            ten = ten.quotas
        );
        // with nothing charged there is never more
        assert_eq!(verdict.readings[0].more_in, None);

        let none = Client::new(&store, "none", [by(Quota::per(0, MINUTE))]);
        let verdict = none.charge(1).await;
        assert_eq!((verdict.charged, verdict.readings[0].fit), (None, Fit::Never));
        assert_eq!((verdict.readings[0].remaining, verdict.readings[0].more_in), (0, None));
    }
    assert!(server.keys().is_empty(), "{:?}", server.keys());
}

#[tokio::test]
async fn peeks_and_rejections_write_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    let client =
        Client::new(&store, "api", [Quota::per(2, MINUTE), Quota::per(9, MINUTE).named("b")]);
    let verdict = client.peek().await;
    assert_eq!((verdict.charged, verdict.readings[0].remaining), (Some(0), 2));
    assert!(server.keys().is_empty());

    client.charge(2).await;
    let dump = || {
        let mut keys = server.keys();
        keys.sort();
        keys.into_iter().map(|key| server.command(&["HGETALL", &key])).collect::<Vec<_>>()
    };
    let before = dump();
    assert_eq!(client.charge(1).await.charged, None);
    assert_eq!(client.charge(50).await.charged, None);
    assert_eq!(client.peek().await.charged, Some(0));
    assert_eq!(dump(), before);
}

#[tokio::test]
async fn several_quotas_are_charged_together_or_not_at_all() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let quotas = [
        Quota::per(3, Duration::from_secs(1)).named("burst"),
        Quota::per(5, Duration::from_secs(3600)).fixed_window().named("hourly"),
    ];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    assert_eq!(client.charge(3).await.charged, Some(3));

    // The burst refuses, and the hour is not charged for it.
    let verdict = client.charge(1).await;
    assert_eq!(verdict.charged, None);
    assert_eq!(verdict.readings[0], reading(0, 1001, after(1001)));
    assert_eq!((verdict.readings[1].remaining, verdict.readings[1].fit), (2, Fit::Fits));

    clock.advance(2000);
    assert_eq!(client.charge(2).await.charged, Some(2));
    // Now it is the hour.
    let verdict = client.charge(1).await;
    assert_eq!(verdict.charged, None);
    assert_eq!((verdict.readings[0].remaining, verdict.readings[0].fit), (1, Fit::Fits));
    let to_the_hour = 3_600_000 - (EPOCH + 2000) % 3_600_000;
    assert_eq!(verdict.readings[1], reading(0, to_the_hour, after(to_the_hour)));
}

#[tokio::test]
async fn lease_takes_as_much_as_fits_every_quota() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let quotas = [Quota::per(10, MINUTE), Quota::per(7, MINUTE).gcra().named("even")];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    assert_eq!(client.up_to(1, 4).await.charged, Some(4));
    let verdict = client.up_to(1, 100).await;
    assert_eq!(verdict.charged, Some(3));
    assert_eq!(verdict.readings[0].remaining, 3);
    assert_eq!(verdict.readings[1].remaining, 0);
    assert_eq!(client.up_to(1, 100).await.charged, None);
    // of nothing, nothing is taken
    assert_eq!(client.up_to(0, 100).await.charged, Some(0));
}

#[tokio::test]
async fn clock_that_goes_backwards_admits_nothing() {
    let Some(server) = RedisServer::start() else { return };
    for quota in [
        Quota::per(10, MINUTE),
        Quota::per(10, MINUTE).strict(),
        Quota::per(10, MINUTE).gcra(),
        Quota::per(10, MINUTE).fixed_window(),
        Quota::per(10, MINUTE).exact_log(),
    ] {
        let now = EPOCH + 600_000 + 20_000;
        let clock = Hand::at(now);
        let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
        assert_eq!(client.charge(10).await.charged, Some(10));
        let refused = client.charge(1).await.readings[0].fit;
        let Fit::After(wait) = refused else { panic!("{quota:?}: {refused:?}") };
        let wait = wait.as_millis() as u64;

        for back in [1, 19_999, 20_001, 60_000, 600_000, 10_000_000] {
            clock.set(now - back);
            let verdict = client.charge(1).await;
            assert_eq!(verdict.charged, None, "{quota:?}, {back} ms back");
            // at the time that it would have been without the jump
            assert_eq!(verdict.readings[0].fit, after(wait + back), "{quota:?}, {back} ms back");
        }
        clock.set(now + wait - 1);
        assert_eq!(client.charge(1).await.charged, None, "{quota:?}");
        clock.set(now + wait);
        assert_eq!(client.charge(1).await.charged, Some(1), "{quota:?}");
    }
}

#[tokio::test]
async fn strict_never_exceeds_the_limit_in_any_window() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH + 13);
    // 1001 is no multiple of 8
    let quotas = [Quota::per(20, Duration::from_millis(1001)).strict()];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    let mut dice = Dice(3);
    let mut admitted = Vec::new();
    for _ in 0..2000 {
        let cost = dice.throw(4) as u32;
        let (verdict, now) = (client.charge(cost).await, clock.millis());
        admitted.extend((0..verdict.charged.unwrap_or(0)).map(|_| now));
        clock.advance(dice.throw(60));
    }
    assert!(admitted.len() > 500);
    for (i, first) in admitted.iter().enumerate() {
        let within = admitted[i..].iter().take_while(|time| **time - first <= 1001).count();
        assert!(within <= 20, "{within} from {first} on");
    }
}

#[tokio::test]
async fn changed_limit_keeps_the_counts() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    let quotas: [fn(u32) -> Quota; 4] = [
        |limit| Quota::per(limit, MINUTE),
        |limit| Quota::per(limit, MINUTE).strict(),
        |limit| Quota::per(limit, MINUTE).fixed_window(),
        |limit| Quota::per(limit, MINUTE).exact_log(),
    ];
    for quota in quotas {
        let client = |limit| Client::new(&store, "tariff", [quota(limit)]);
        client(10).charge(10).await;
        assert_eq!(client(30).remaining().await, 20);
        let lowered = client(5).peek().await;
        assert_eq!((lowered.charged, lowered.readings[0].remaining), (None, 0));
        assert!(matches!(lowered.readings[0].fit, Fit::After(_)));
    }
    // An even rate owes time. Ten of ten a minute are a minute, and that is thirty of thirty.
    let client = |limit| Client::new(&store, "tariff", [Quota::per(limit, MINUTE).gcra()]);
    client(10).charge(10).await;
    assert_eq!(client(30).remaining().await, 0);
    clock.advance(20_000);
    assert_eq!(client(30).remaining().await, 10);
    assert_eq!(client(7).remaining().await, 2);
}

#[tokio::test]
async fn the_largest_quotas_are_counted_without_rounding() {
    let Some(server) = RedisServer::start() else { return };
    // an odd number of milliseconds short of 2^51, and a time late in a window
    let (limit, window) = (u32::MAX, 524_287_u64);
    let clock = Hand::at(window * 3_300_000);
    let store = store_at(&server, &clock);
    let sliding = Client::new(&store, "large", [Quota::per(limit, Duration::from_millis(window))]);
    assert_eq!(sliding.charge(limit).await.charged, Some(limit));
    clock.set(window * 3_300_001 + 1);
    // one millisecond of the window before is gone
    let freed = limit.div_ceil(window as u32);
    let verdict = sliding.up_to(1, limit).await;
    assert_eq!(verdict.charged, Some(freed));
    let covered = u128::from(limit) * u128::from(window - 1);
    let fits = |elapsed: u64| {
        let left = u128::from(limit) * u128::from(window - elapsed) / u128::from(window);
        left + u128::from(freed + 1) <= u128::from(limit)
    };
    assert!(covered > 1 << 50);
    let more_in = (1..).find(|elapsed| fits(*elapsed)).expect("a time") - 1;
    assert_eq!(verdict.readings[0].more_in, Some(Duration::from_millis(more_in)));

    // a millisecond pays 4294967295 of 524287
    let gcra =
        Client::new(&store, "even", [Quota::per(limit, Duration::from_millis(window)).gcra()]);
    assert_eq!(gcra.charge(limit).await.charged, Some(limit));
    clock.advance(1);
    let freed = limit / window as u32;
    assert_eq!(gcra.up_to(1, limit).await.charged, Some(freed));
    clock.advance(window - 1);
    let (paid, spent) = (u64::from(limit) * window, u64::from(freed) * window);
    assert_eq!(gcra.up_to(1, limit).await.charged, Some(((paid - spent) / window) as u32));

    let log = Client::new(&store, "log", [Quota::per(1000, MINUTE).exact_log()]);
    assert_eq!(log.charge(1000).await.charged, Some(1000));
    assert_eq!(log.charge(1).await.readings[0], reading(0, 60_000, after(60_000)));
}
