//! What the tests of this crate share.
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod load;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use palisade_core::{BoxError, Clock};
use palisade_rate_limit::{
    Action, Ban, Demand, Fit, Intervention, Quota, Reading, Refund, Store, Verdict,
};
use palisade_rate_limit_redis::RedisStore;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A clock that a test sets, backwards too.
#[derive(Debug, Default)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis)))
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for Hand {
    fn unix(&self) -> Duration {
        Duration::from_millis(self.millis())
    }

    fn monotonic(&self) -> Duration {
        self.unix()
    }
}

/// A limit of one client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) store: RedisStore,
    pub(crate) limit: Arc<str>,
    pub(crate) key: [u8; 16],
    pub(crate) quotas: Arc<[Quota]>,
    pub(crate) ban: Option<Ban>,
}

impl Client {
    pub(crate) fn new(store: &RedisStore, limit: &str, quotas: impl Into<Arc<[Quota]>>) -> Self {
        let (store, limit, quotas) = (store.clone(), limit.into(), quotas.into());
        Self { store, limit, key: [7; 16], quotas, ban: None }
    }

    pub(crate) fn with_key(&self, key: u64) -> Self {
        let mut client = self.clone();
        client.key[..8].copy_from_slice(&key.to_be_bytes());
        client
    }

    pub(crate) async fn try_up_to(&self, cost: u32, most: u32) -> Result<Verdict, BoxError> {
        let (limit, quotas) = (Arc::clone(&self.limit), Arc::clone(&self.quotas));
        let Self { key, ban, .. } = *self;
        self.store.charge(Demand { limit, key, quotas, cost, most, ban }).await
    }

    pub(crate) async fn try_charge(&self, cost: u32) -> Result<Verdict, BoxError> {
        self.try_up_to(cost, cost).await
    }

    pub(crate) async fn charge(&self, cost: u32) -> Verdict {
        self.try_charge(cost).await.expect("a verdict")
    }

    pub(crate) async fn up_to(&self, cost: u32, most: u32) -> Verdict {
        self.try_up_to(cost, most).await.expect("a verdict")
    }

    pub(crate) async fn peek(&self) -> Verdict {
        self.charge(0).await
    }

    pub(crate) async fn refund(&self, amount: u32, moment: u64) {
        let (limit, quotas) = (Arc::clone(&self.limit), Arc::clone(&self.quotas));
        static ID: AtomicU64 = AtomicU64::new(0);
        let id = ID.fetch_add(1, Ordering::Relaxed);
        let refund = Refund { limit, key: self.key, quotas, amount, moment, id };
        self.store.refund(refund).await.expect("a refund");
    }

    pub(crate) async fn intervene(&self, action: Action) {
        let intervention = Intervention { limit: Arc::clone(&self.limit), key: self.key, action };
        self.store.intervene(intervention).await.expect("it is done");
    }

    /// What remains of the first quota.
    pub(crate) async fn remaining(&self) -> u32 {
        self.peek().await.readings[0].remaining
    }
}

pub(crate) fn reading(remaining: u32, more_in: u64, fit: Fit) -> Reading {
    Reading { remaining, more_in: Some(Duration::from_millis(more_in)), fit }
}

pub(crate) fn after(millis: u64) -> Fit {
    Fit::After(Duration::from_millis(millis))
}

/// Numbers that look random and are the same each time: xorshift64*.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn throw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.throw(from.len() as u64) as usize]
    }
}
