use std::{fmt, sync::Arc};

use palisade_core::{BoxError, BoxFuture, ConfigError};
use palisade_rate_limit::{Demand, Forget, Intervention, Quota, Refund, Store, Verdict};
use palisade_redis::Redis;

use crate::{
    error::Failure,
    exact,
    key::{self, Keys},
    script::{self, Asked, Scripts, Time},
};

/// Counts in Redis or Valkey, for limits that several machines share.
///
/// ```no_run
/// use std::time::Duration;
/// use palisade_rate_limit_redis::{Redis, RedisStore};
///
/// let redis = Redis::builder("redis://10.0.0.7:6379")
///     .prefix("shop")
///     .response_timeout(Duration::from_millis(20))
///     .build()?;
/// let store = RedisStore::new(redis);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// Clones share everything. See the [crate's documentation](crate) for what it promises.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    redis: Redis,
    scripts: Scripts,
    keys: Keys,
}

impl RedisStore {
    /// Counts on this server, with the prefix of its keys. Limits of the same name share their counts.
    pub fn new(redis: Redis) -> Self {
        Self::told(redis, Time::Server)
    }

    /// Tells the server what time it is, to the millisecond, instead of letting it read its clock: for tests, with a
    /// [`ManualClock`](palisade_core::ManualClock).
    ///
    /// Keys still expire by the server's clock.
    #[cfg(feature = "testing")]
    pub fn with_clock(redis: Redis, clock: Arc<dyn palisade_core::Clock>) -> Self {
        Self::told(redis, Time::Told(clock))
    }

    fn told(redis: Redis, time: Time) -> Self {
        let (keys, scripts) = (Keys::new(redis.prefix()), Scripts::new(&redis, time));
        Self { inner: Arc::new(Inner { redis, scripts, keys }) }
    }

    /// Connects, in a cluster to all masters. Await it before the service accepts requests, so that the first of them need
    /// not wait for a connection.
    ///
    /// # Errors
    ///
    /// If there is no connection within the time-outs. The next request tries again.
    pub async fn ready(&self) -> Result<(), BoxError> {
        Ok(self.inner.redis.ready().await?)
    }
}

impl Inner {
    async fn run(&self, asked: Asked) -> Result<Vec<i64>, Failure> {
        Ok(self.redis.run_with_bytes(&asked.script, &asked.keys, &asked.arguments).await?)
    }

    async fn charge(&self, demand: &Demand) -> Result<Verdict, Failure> {
        let answer = self.run(self.scripts.charge(&self.keys, demand)?).await?;
        script::verdict(&answer, demand)
    }

    async fn refund(&self, refund: &Refund) -> Result<(), Failure> {
        if refund.amount == 0 {
            return Ok(());
        }
        self.run(self.scripts.refund(&self.keys, refund)?).await.map(drop)
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<(), Failure> {
        self.run(self.scripts.intervene(&self.keys, intervention)?).await.map(drop)
    }

    fn key_of(&self, demand: &Demand) -> String {
        self.keys.name(&demand.limit, &demand.key)
    }
}

impl Store for RedisStore {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.charge(&demand).await.map_err(Failure::marked) })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.refund(&refund).await.map_err(Failure::marked) })
    }

    fn intervene(&self, intervention: Intervention) -> BoxFuture<Result<(), BoxError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.intervene(&intervention).await.map_err(Failure::marked) })
    }

    fn can_ban(&self) -> bool {
        true
    }

    fn subscribe(&self, limit: &Arc<str>, forget: Forget) {
        let limit = Arc::clone(limit);
        self.inner.redis.listen(move |message| match key::changed(message, &limit) {
            Some(digest) => forget(&digest),
            None => true,
        });
    }

    fn node(&self, demand: &Demand) -> u64 {
        if self.inner.redis.is_cluster() {
            self.inner.redis.node_of(&self.inner.key_of(demand))
        } else {
            0
        }
    }

    fn connecting(&self, demand: &Demand) -> Option<BoxFuture<Result<(), BoxError>>> {
        let redis = &self.inner.redis;
        let connecting = if redis.is_cluster() {
            redis.connecting(&self.inner.key_of(demand))
        } else {
            redis.connecting("")
        }?;
        Some(Box::pin(async move { Ok(connecting.await?) }))
    }

    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        exact::check(quota)?;
        self.inner.scripts.prepare(quota);
        Ok(())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("redis", &self.inner.redis).finish_non_exhaustive()
    }
}
