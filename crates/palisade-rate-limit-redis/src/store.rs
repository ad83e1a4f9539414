use std::{fmt, sync::Arc};

use palisade_core::{BoxError, BoxFuture, ConfigError};
use palisade_rate_limit::{Demand, Quota, Refund, Store, Verdict};

use crate::{
    builder::RedisStoreBuilder,
    error::Failure,
    exact,
    key::Keys,
    link::Link,
    script::{self, Scripts},
    topology::Timeouts,
};

/// Counts in Redis or Valkey, for limits that several machines share.
///
/// ```no_run
/// use std::time::Duration;
/// use palisade_rate_limit_redis::RedisStore;
///
/// let store = RedisStore::builder("redis://10.0.0.7:6379")
///     .prefix("shop")
///     .response_timeout(Duration::from_millis(20))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// Clones share one connection. See the [crate's documentation](crate) for what it promises.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) scripts: Scripts,
    pub(crate) keys: Keys,
    /// What to show of it: addresses, and no credentials.
    pub(crate) shown: Shown,
}

pub(crate) struct Shown {
    pub(crate) topology: &'static str,
    pub(crate) addresses: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) timeouts: Timeouts,
}

impl RedisStore {
    /// A store on one server: `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, or
    /// `unix:///path/to/socket`.
    ///
    /// A special character in a password has to be percent-encoded, or given to [`RedisStoreBuilder::password`] as it is.
    ///
    /// ```
    /// use palisade_rate_limit_redis::RedisStore;
    ///
    /// // nothing is connected before the first decision
    /// assert!(RedisStore::builder("redis://127.0.0.1:6379").build().is_ok());
    ///
    /// let error = RedisStore::builder("redis://user:pass word@host:port").build().unwrap_err().to_string();
    /// assert!(error.starts_with("url is not valid: "));
    /// assert!(!error.contains("pass word"));
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::standalone(url.into())
    }

    /// A store on a Redis Cluster, found through any of these nodes. All of them are given the same credentials.
    ///
    /// The quotas of one key live on one node, so that each decision is still one step.
    ///
    /// ```
    /// use palisade_rate_limit_redis::RedisStore;
    ///
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"];
    /// let store = RedisStore::cluster(nodes).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[cfg(feature = "cluster")]
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisStoreBuilder {
        RedisStoreBuilder::cluster(urls.into_iter().map(Into::into).collect())
    }

    /// A store on the master that these sentinels watch under this name. After a failover they are asked again.
    ///
    /// Credentials in the URLs are for the sentinels; those of the master are given to
    /// [`username`](RedisStoreBuilder::username) and [`password`](RedisStoreBuilder::password). With `rediss://`, master and
    /// sentinels are both spoken to with TLS.
    ///
    /// A replica knows of the last moments before a failover only what reached it: those charges are forgotten.
    ///
    /// ```
    /// use palisade_rate_limit_redis::RedisStore;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster").password("of the master").build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn sentinel<U: Into<String>>(
        urls: impl IntoIterator<Item = U>,
        master: impl Into<String>,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::sentinel(urls.into_iter().map(Into::into).collect(), master.into())
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    async fn charge(&self, demand: &Demand) -> Result<Verdict, Failure> {
        let call = self.scripts.charge(&self.keys, demand)?;
        let answer = self.link.call(&call).await?;
        script::verdict(&answer, demand)
    }

    async fn refund(&self, refund: &Refund) -> Result<(), Failure> {
        if refund.amount == 0 {
            return Ok(());
        }
        let call = self.scripts.refund(&self.keys, refund)?;
        let answer = self.link.call(&call).await?;
        script::refunded(&answer)
    }
}

impl Store for RedisStore {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.charge(&demand).await?) })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.refund(&refund).await?) })
    }

    fn supports(&self, quota: &Quota) -> Result<(), ConfigError> {
        exact::check(quota).map(drop)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { topology, addresses, prefix, timeouts } = &self.inner.shown;
        f.debug_struct("RedisStore")
            .field("topology", topology)
            .field("addresses", addresses)
            .field("prefix", prefix)
            .field("connect_timeout", &timeouts.connect)
            .field("response_timeout", &timeouts.response)
            .finish_non_exhaustive()
    }
}
