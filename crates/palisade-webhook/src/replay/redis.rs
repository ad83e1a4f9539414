use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, ConfigError};
use palisade_redis::{Redis, RedisError, Script, key_part};
use tokio::runtime::Handle;

use super::store::{Claim, ReplayStore, Reservation, Retention};
use crate::signature::to_hex;

/// Deliveries in Redis or Valkey, for an endpoint that runs on several machines.
///
/// ```no_run
/// use palisade_redis::Redis;
/// use palisade_webhook::{RedisReplays, Replays, Webhook};
///
/// // one connection, for this and for the limits that machines share
/// let redis = Redis::builder("redis://127.0.0.1:6379").build()?;
/// let layer = Webhook::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .replays(Replays::new(RedisReplays::new(redis)))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A delivery is claimed, settled and given back by one script each, so that of claims at the same time, from however many
/// machines, one is the first.
///
/// - **A claim is a lease**, of 60 seconds unless [set](Self::with_lease). It should outlast the handler, because what it
///   really ends is the claim of a machine that is gone: then the sender's next attempt is processed. A handler that takes
///   longer may find that another machine has begun anew.
/// - **It carries a token.** Who lost a claim can neither settle nor give back what somebody else holds by now; that a handler
///   took longer than its lease is in the log.
/// - **Every key expires**, at the end of the lease or of [`Replays::keep`](super::Replays::keep), by the server's clock.
/// - **Without Redis**, or when it is slower than the [connection's time-outs](palisade_redis), deliveries are refused with
///   503, and senders try again. [`Replays::accept_when_store_fails`](super::Replays::accept_when_store_fails) lets them
///   pass unchecked. Where only the end of a delivery could not be told, its lease keeps others away until it is over.
///
/// A replica that is promoted may not have heard of the last deliveries, and a server that evicts keys forgets some: give it
/// `maxmemory-policy noeviction`.
///
/// The key of a delivery is `prefix:webhook:` and what it is called, percent-encoded. The user needs `+evalsha +eval +get
/// +set +del` on `~palisade:*`. It runs on tokio, as the connection does.
#[derive(Clone)]
pub struct RedisReplays {
    redis: Redis,
    lease: Duration,
}

/// Longer than senders wait for an answer: GitHub 10 s, Stripe and Standard Webhooks 15 to 30 s.
const LEASE: Duration = Duration::from_secs(60);

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Redis counts milliseconds since 1970 in 63 bits. For ever is a hundred years.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What is kept of a delivery that was processed. No token is this.
const PROCESSED: &str = "processed";

/// What the scripts answer.
const FIRST: i64 = 0;
const IN_PROGRESS: i64 = 1;
const WAS_PROCESSED: i64 = 2;
const SETTLED: i64 = 0;

/// Arguments: the token, and the lease in milliseconds.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {{ {FIRST} }} end
local held = redis.call('GET', KEYS[1])
if held == '{PROCESSED}' then return {{ {WAS_PROCESSED} }} end
-- asked again, because the answer was lost
if held == ARGV[1] then return {{ {FIRST} }} end
return {{ {IN_PROGRESS} }}
"
    ))
});

/// Arguments: the token, and how long to remember it in milliseconds. Where the lease is over and nobody has claimed it since,
/// it is as good as held.
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {{ 1 }} end
redis.call('SET', KEYS[1], '{PROCESSED}', 'PX', ARGV[2])
return {{ {SETTLED} }}
"
    ))
});

/// Argument: the token.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 0 } end
return { redis.call('DEL', KEYS[1]) }
",
    )
});

impl RedisReplays {
    /// On this server, with leases of 60 seconds.
    pub fn new(redis: Redis) -> Self {
        Self { redis, lease: LEASE }
    }

    /// With leases that outlast handlers which take longer, or give up sooner on a machine that is gone.
    ///
    /// # Errors
    ///
    /// For less than a second, or more than a day.
    pub fn with_lease(redis: Redis, lease: Duration) -> Result<Self, ConfigError> {
        if !(Duration::from_secs(1)..=LONGEST_LEASE).contains(&lease) {
            let remedy = "use a time that outlasts the handler: 1 second to 1 day";
            return Err(ConfigError::new("lease", format!("{lease:?}"), remedy));
        }
        Ok(Self { redis, lease })
    }
}

impl ReplayStore for RedisReplays {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let key = format!("{}:webhook:{}", self.redis.prefix(), key_part(key));
        let (redis, lease) = (self.redis.clone(), self.lease);
        Box::pin(async move {
            let (token, runtime) = (token()?, Handle::try_current()?);
            // Before it is asked: a caller that gives up, or waits in vain, may have claimed it all the same.
            let mut claimed = Box::new(Claimed {
                delivery: Arc::new(Delivery { redis, key, token }),
                runtime,
                retention,
                open: true,
            });
            let answer = claimed.delivery.run(&CLAIM, Some(lease)).await?;
            let claim = match answer {
                FIRST => return Ok(Claim::First(claimed)),
                IN_PROGRESS => Claim::InProgress,
                WAS_PROCESSED => Claim::Processed,
                _ => return Err(Strange.into()),
            };
            claimed.open = false;
            Ok(claim)
        })
    }
}

/// Nobody else has it, so that nobody else's claim is taken for it.
fn token() -> Result<String, BoxError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(to_hex(&random))
}

/// A delivery as a claim calls it.
struct Delivery {
    redis: Redis,
    key: String,
    token: String,
}

impl Delivery {
    async fn run(&self, script: &Script, lifetime: Option<Duration>) -> Result<i64, BoxError> {
        let mut arguments = vec![self.token.clone()];
        arguments.extend(lifetime.map(|lifetime| lifetime.as_millis().to_string()));
        let keys = std::slice::from_ref(&self.key);
        let answer: Result<_, RedisError> = self.redis.run(script, keys, &arguments).await;
        answer?.first().copied().ok_or_else(|| Strange.into())
    }
}

struct Claimed {
    delivery: Arc<Delivery>,
    runtime: Handle,
    retention: Retention,
    /// It is neither settled nor somebody else's.
    open: bool,
}

impl Reservation for Claimed {
    fn confirm(mut self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
        self.open = false;
        let (delivery, keep) =
            (Arc::clone(&self.delivery), self.retention.at_most.min(LONGEST_KEPT));
        // On a task of its own: it was processed, also if the sender hangs up now.
        let settling = self.runtime.spawn(async move { delivery.run(&SETTLE, Some(keep)).await });
        Box::pin(async move {
            match settling.await?? {
                SETTLED => Ok(()),
                _ => Err(Lost.into()),
            }
        })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.open {
            let delivery = Arc::clone(&self.delivery);
            self.runtime.spawn(async move {
                if let Err(error) = delivery.run(&GIVE_BACK, None).await {
                    tracing::debug!(target: "palisade::webhook", %error, "a delivery that was not processed could not be given back, and its lease has to end first");
                }
            });
        }
    }
}

/// The server answered, but not what it was asked.
#[derive(Debug)]
struct Strange;

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis: an answer that is none to a claim")
    }
}

impl std::error::Error for Strange {}

/// The lease was over before the handler was, and another has the delivery.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its lease was over before its handler was, and somebody else has claimed it: give `RedisReplays` a longer lease")
    }
}

impl std::error::Error for Lost {}

impl fmt::Debug for RedisReplays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplays")
            .field("redis", &self.redis)
            .field("lease", &self.lease)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_none_says_that_it_was_processed() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one != PROCESSED);
    }

    #[test]
    fn a_lease_is_neither_too_short_nor_endless() {
        let redis = || Redis::builder("redis://127.0.0.1").build().unwrap();
        for wrong in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(86_401)] {
            let refused = RedisReplays::with_lease(redis(), wrong).unwrap_err();
            assert_eq!(refused.setting(), "lease", "{wrong:?}");
        }
        assert!(RedisReplays::with_lease(redis(), Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn outside_of_a_runtime_it_is_an_error_and_no_panic() {
        use std::{
            pin::pin,
            task::{Context, Poll, Waker},
        };
        let store = RedisReplays::new(Redis::builder("redis://127.0.0.1").build().unwrap());
        let retention = Retention { at_least: Duration::ZERO, at_most: Duration::ZERO };
        let claimed =
            pin!(store.claim("a", retention)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(claimed, Poll::Ready(Err(_))));
    }
}
