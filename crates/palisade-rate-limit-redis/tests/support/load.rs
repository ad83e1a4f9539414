//! Limits under load.

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use palisade_core::{Decision, PeerAddr, Policy};
use palisade_rate_limit::{Quota, RateLimit, SharedStore};
use palisade_rate_limit_redis::{RedisBuilder, RedisStore};

use super::MINUTE;

pub(crate) fn store(builder: RedisBuilder) -> RedisStore {
    RedisStore::new(builder.build().expect("servers"))
}

pub(crate) fn limit(store: &RedisStore) -> RateLimit {
    let quota = Quota::per(100_000, MINUTE * 60).fixed_window();
    let by = SharedStore::new(store.clone()).timeout(Duration::from_millis(200));
    RateLimit::per_address(quota).name("api").store(by).build().expect("a limit")
}

/// True if the request of this client was decided on by the store.
pub(crate) async fn is_decided(limit: &RateLimit, client: u8) -> bool {
    let (mut head, ()): (Parts, ()) = http::Request::new(()).into_parts();
    head.extensions.insert(PeerAddr(([192, 0, 2, client], 4000).into()));
    match limit.decide(&head) {
        Decision::Now(outcome) => outcome.is_ok(),
        Decision::Later(decision) => decision.await.is_ok(),
    }
}

/// Sends requests of all clients at once, again and again, and returns for each client how many were decided.
pub(crate) async fn load(limit: &RateLimit, clients: u8, rounds: usize) -> Vec<usize> {
    let limit = Arc::new(limit.clone());
    let of_client = |client: u8| {
        let limit = Arc::clone(&limit);
        tokio::spawn(async move {
            let mut decided = 0;
            for _ in 0..rounds {
                decided += usize::from(is_decided(&limit, client).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            decided
        })
    };
    let tasks: Vec<_> = (0..clients).map(of_client).collect();
    let mut decided = Vec::new();
    for task in tasks {
        decided.push(task.await.expect("its requests"));
    }
    decided
}

pub(crate) async fn recovered(limit: &RateLimit, clients: u8) {
    for _ in 0..300 {
        let mut all = true;
        for client in 0..clients {
            all &= is_decided(limit, client).await;
        }
        if all {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not all clients are decided on again");
}
