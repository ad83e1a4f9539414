//! Budgets for days and months, decided by the server's clock.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use palisade_core::Clock;
use palisade_rate_limit::Quota;
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, Hand, after, reading};

const HOUR: u64 = 3_600_000;

/// 2026-03-28 at 22:00 in Berlin. The next day has 23 hours.
const EVENING: u64 = 1_774_731_600_000;

fn redis(server: &RedisServer) -> Redis {
    let patience = Duration::from_secs(5);
    let redis = Redis::builder(server.url()).response_timeout(patience).connect_timeout(patience);
    redis.build().expect("a server")
}

#[tokio::test]
async fn a_shared_budget_renews_at_midnight_of_its_zone() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EVENING);
    let store = RedisStore::with_clock(redis(&server), clock.clone());
    let quota = Quota::per_day(3, "Europe/Berlin").unwrap();
    let client = Client::new(&store, "api", [quota.clone(), quota.named("twin")]);
    assert_eq!(client.charge(2).await.readings[0].remaining, 1);
    let refused = client.charge(2).await;
    assert_eq!((refused.charged, refused.readings[0].fit), (None, after(2 * HOUR)));
    assert_eq!(refused.readings[0], reading(1, 2 * HOUR, after(2 * HOUR)));
    // It expires by the server's clock, a second after the day.
    let key = server.keys().remove(0);
    let expires: u64 = server.command(&["PTTL", &key])[0].parse().unwrap();
    assert!((2 * HOUR..=2 * HOUR + 1000).contains(&expires), "{expires}");

    clock.advance(2 * HOUR - 1);
    assert_eq!(client.charge(2).await.readings[0].fit, after(1));
    clock.advance(1);
    let verdict = client.charge(2).await;
    assert_eq!(verdict.charged, Some(2));
    assert_eq!(verdict.readings[0].more_in, Some(Duration::from_secs(23 * 3600)));
    client.refund(1, verdict.moment).await;
    assert_eq!(client.remaining().await, 2);
    // Of yesterday nothing is returned.
    client.refund(1, EVENING).await;
    assert_eq!(client.remaining().await, 2);

    // A clock that was put back stays in the later day.
    clock.set(EVENING);
    assert_eq!(client.remaining().await, 2);
}

#[tokio::test]
async fn shared_budget_counts_zones_and_periods_separately() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EVENING);
    let store = RedisStore::with_clock(redis(&server), clock.clone());
    let quotas = [
        Quota::per_day(2, "Europe/Berlin").unwrap().named("day"),
        Quota::per(7, Duration::from_secs(60)).gcra().named("gcra"),
        Quota::per_day(9, "UTC").unwrap().named("utc"),
        Quota::per_month(5, "Europe/Berlin").unwrap().named("month"),
    ];
    let client = Client::new(&store, "api", quotas);
    let left = |verdict: palisade_rate_limit::Verdict| {
        verdict.readings.iter().map(|reading| reading.remaining).collect::<Vec<_>>()
    };
    assert_eq!(left(client.charge(2).await), [0, 5, 7, 3]);
    clock.advance(2 * HOUR);
    assert_eq!(left(client.charge(2).await), [0, 5, 5, 1]);
    clock.advance(HOUR);
    assert_eq!(left(client.peek().await), [0, 7, 9, 1]);
    let refused = client.charge(2).await;
    let month = after(3 * 24 * HOUR - 2 * HOUR);
    assert_eq!((refused.readings[0].fit, refused.readings[3].fit), (after(22 * HOUR), month));
}

/// Shows the time of a machine and that of the server, in turns.
struct Two {
    machine: u64,
    server: u64,
    reads: AtomicU64,
}

impl Clock for Two {
    fn unix(&self) -> Duration {
        let is_of_machine = self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        Duration::from_millis(if is_of_machine { self.machine } else { self.server })
    }

    fn monotonic(&self) -> Duration {
        self.unix()
    }
}

#[tokio::test]
async fn machines_with_slightly_different_clocks_share_a_budget() {
    let Some(server) = RedisServer::start() else { return };
    let at = |hours: i64| EVENING.checked_add_signed(hours * HOUR as i64).unwrap();
    let charge = async |machine, cost| {
        let clock = Two { machine: at(machine), server: at(0), reads: AtomicU64::new(0) };
        let store = RedisStore::with_clock(redis(&server), Arc::new(clock));
        let quota = Quota::per_day(3, "Europe/Berlin").unwrap();
        Client::new(&store, "api", [quota]).try_charge(cost).await
    };
    let left = async |machine| charge(machine, 1).await.unwrap().readings[0].remaining;
    // On the same day, on the next one, and on the day before.
    assert_eq!((left(0).await, left(20).await, left(-24).await), (2, 1, 0));
    // A clock that is wrong by years must not begin a budget that lasts for years.
    for hours in [-9000, -72, 72, 9000] {
        let error = charge(hours, 1).await.unwrap_err().to_string();
        assert!(error.contains("clocks of machine and server differ"), "{error}");
    }
    assert_eq!(charge(0, 0).await.unwrap().readings[0].remaining, 0);
}

#[tokio::test]
async fn shared_budget_ends_by_the_clock_of_the_server() {
    let Some(server) = RedisServer::start() else { return };
    let store = RedisStore::new(redis(&server));
    let client = Client::new(&store, "api", [Quota::per_day(3, "UTC").unwrap()]);
    let verdict = client.charge(1).await;
    let to_midnight = 24 * HOUR - verdict.moment % (24 * HOUR);
    let more_in = verdict.readings[0].more_in.unwrap().as_millis() as u64;
    assert_eq!(more_in, to_midnight);
}
