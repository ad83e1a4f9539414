use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, ConfigError, LogBackoff};
use palisade_redis::{Redis, RedisError, Script, key_part};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::store::{Claim, ReplayStore, Reservation, Retention};
use crate::signature::to_hex;

/// Stores deliveries in Redis or Valkey, for an endpoint that runs on several machines.
///
/// ```no_run
/// use palisade_redis::Redis;
/// use palisade_webhook::{RedisReplays, Replays, Webhook};
///
/// // one connection, also for shared rate limits
/// let redis = Redis::builder("redis://127.0.0.1:6379").build()?;
/// let layer = Webhook::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .replays(Replays::new(RedisReplays::new(redis)))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A delivery is claimed, settled and released by one script each, so that only one of several concurrent claims succeeds.
///
/// - **A claim is a lease.** Default: 60 seconds ([`with_lease`](Self::with_lease)). The claim of a machine that crashed expires,
///   so that the sender's next attempt is processed. It should be longer than the handler runs: after it, another machine may
///   process the delivery.
/// - **It has a token.** A machine whose lease expired can neither settle nor release the claim of another; a handler that
///   took longer than its lease is logged.
/// - **Settling and releasing are retried** in the background if Redis does not respond, until the lease expires. Both are
///   idempotent. So a stall or a failover neither processes a delivery twice nor blocks the sender's next attempts.
/// - **Every key expires**, at the end of the lease or of [`Replays::keep`](super::Replays::keep), by the server's clock.
/// - **Without Redis**, or when it is slower than the [connection's time-outs](palisade_redis), deliveries are rejected with
///   503, and senders try again. [`Replays::accept_when_store_fails`](super::Replays::accept_when_store_fails) accepts them
///   unchecked.
///
/// A promoted replica may lack the last deliveries, and a server that evicts keys forgets some: set
/// `maxmemory-policy noeviction`.
///
/// The key of a delivery is `prefix:webhook:` and its id, percent-encoded. The user needs `+evalsha +eval +get +set +del`
/// on `~palisade:*`, and `+script|load` to load the scripts when the connection is opened. It runs on tokio, as the connection
/// does.
#[derive(Clone)]
pub struct RedisReplays {
    redis: Redis,
    lease: Duration,
    repetitions: Arc<Repetitions>,
}

/// The commands that are retried until Redis has executed them.
struct Repetitions {
    /// Settlements and releases that are being retried.
    under_way: AtomicUsize,
    began: Instant,
    /// For settlements that failed.
    log: LogBackoff,
}

/// Further ones are sent once: each takes a few hundred bytes, and a retry of the sender finds the claim expired.
const MOST_REPEATED: usize = 10_000;

/// The first and the longest pause between retries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longer than senders wait for a response: GitHub 10 s, Stripe and Standard Webhooks 15 to 30 s.
const LEASE: Duration = Duration::from_secs(60);

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Redis counts milliseconds since 1970 in 63 bits. An unlimited retention becomes a hundred years.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The value of a processed delivery. It differs from all tokens.
const PROCESSED: &str = "processed";

/// The replies of the scripts.
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

/// Arguments: the token, and the retention in milliseconds. If the lease has expired and no other machine has claimed the
/// delivery since, it is settled nevertheless. A repeated settlement finds the value of the first one.
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "
local held = redis.call('GET', KEYS[1])
if held == '{PROCESSED}' then return {{ {SETTLED} }} end
if held and held ~= ARGV[1] then return {{ 1 }} end
redis.call('SET', KEYS[1], '{PROCESSED}', 'PX', ARGV[2])
return {{ {SETTLED} }}
"
    ))
});

/// Argument: the token. Returns 1 if the claim existed.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 0 } end
return { redis.call('DEL', KEYS[1]) }
",
    )
});

impl RedisReplays {
    /// Stores deliveries on this server, with leases of 60 seconds.
    pub fn new(redis: Redis) -> Self {
        for script in [&CLAIM, &SETTLE, &GIVE_BACK] {
            redis.preload(script);
        }
        let (under_way, began) = (AtomicUsize::default(), Instant::now());
        let repetitions = Repetitions { under_way, began, log: LogBackoff::default() };
        Self { redis, lease: LEASE, repetitions: Arc::new(repetitions) }
    }

    /// Sets the duration of leases: longer for slow handlers, shorter to retry the deliveries of a crashed machine sooner.
    ///
    /// # Errors
    ///
    /// If it is less than a second or more than a day.
    pub fn with_lease(redis: Redis, lease: Duration) -> Result<Self, ConfigError> {
        if !(Duration::from_secs(1)..=LONGEST_LEASE).contains(&lease) {
            let remedy = "use a time that outlasts the handler: 1 second to 1 day";
            return Err(ConfigError::new("lease", format!("{lease:?}"), remedy));
        }
        Ok(Self { lease, ..Self::new(redis) })
    }
}

impl ReplayStore for RedisReplays {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let key = format!("{}:webhook:{}", self.redis.prefix(), key_part(key));
        let (redis, lease) = (self.redis.clone(), self.lease);
        let repetitions = Arc::clone(&self.repetitions);
        Box::pin(async move {
            let (token, runtime) = (token()?, Handle::try_current()?);
            // Created before the request: a claim whose reply was lost may exist, and must be released.
            let until = Instant::now() + lease;
            let mut claimed = Box::new(Claimed {
                delivery: Arc::new(Delivery { redis, key, token, until, repetitions }),
                runtime,
                retention,
                open: true,
                is_certain: false,
            });
            let answer = claimed.delivery.run(&CLAIM, Some(lease)).await?;
            claimed.is_certain = true;
            let claim = match answer {
                FIRST => return Ok(Claim::First(claimed)),
                IN_PROGRESS => Claim::InProgress,
                WAS_PROCESSED => Claim::Processed,
                _ => return Err(UnexpectedReply.into()),
            };
            claimed.open = false;
            Ok(claim)
        })
    }
}

/// Returns a random token.
fn token() -> Result<String, BoxError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(to_hex(&random))
}

/// A delivery and the token of its claim.
struct Delivery {
    redis: Redis,
    key: String,
    token: String,
    /// The end of the lease, or slightly earlier.
    until: Instant,
    repetitions: Arc<Repetitions>,
}

impl Delivery {
    async fn run(&self, script: &Script, lifetime: Option<Duration>) -> Result<i64, BoxError> {
        let mut arguments = vec![self.token.clone()];
        arguments.extend(lifetime.map(|lifetime| lifetime.as_millis().to_string()));
        let keys = std::slice::from_ref(&self.key);
        let answer: Result<_, RedisError> = self.redis.run(script, keys, &arguments).await;
        answer?.first().copied().ok_or_else(|| UnexpectedReply.into())
    }

    /// Runs a script until it succeeds or the lease expires. `first` receives the first outcome.
    async fn repeat(
        &self,
        script: &Script,
        lifetime: Option<Duration>,
        is_done: impl Fn(i64) -> bool,
        first: oneshot::Sender<Result<i64, BoxError>>,
    ) -> Result<(), BoxError> {
        let under_way = &self.repetitions.under_way;
        let is_repeated = under_way.fetch_add(1, Ordering::Relaxed) < MOST_REPEATED;
        let (mut first, mut pause) = (Some(first), FIRST_PAUSE);
        let outcome = loop {
            let outcome = self.run(script, lifetime).await;
            let is_over = !is_repeated || Instant::now() + pause >= self.until;
            let last = match &outcome {
                Ok(answer) if is_done(*answer) => Some(Ok(())),
                Ok(_) if is_over => Some(Ok(())),
                Err(error) if is_over => Some(Err(error.to_string().into())),
                _ => None,
            };
            if let Some(first) = first.take() {
                // The caller may be gone.
                let _ = first.send(outcome);
            }
            if let Some(last) = last {
                break last;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        under_way.fetch_sub(1, Ordering::Relaxed);
        outcome
    }
}

struct Claimed {
    delivery: Arc<Delivery>,
    runtime: Handle,
    retention: Retention,
    /// Whether the claim is still held by this machine.
    open: bool,
    /// Whether the reply to the claim has arrived. If not, the claim may still arrive at the server.
    is_certain: bool,
}

impl Reservation for Claimed {
    fn confirm(mut self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
        self.open = false;
        let (delivery, keep) =
            (Arc::clone(&self.delivery), self.retention.at_most.min(LONGEST_KEPT));
        // On a separate task, because the delivery was processed also if the sender disconnects now.
        let (first, outcome) = oneshot::channel();
        self.runtime.spawn(async move {
            let settled = delivery.repeat(&SETTLE, Some(keep), |_| true, first).await;
            let Repetitions { began, log, .. } = &*delivery.repetitions;
            if let Err(error) = settled
                && let Some(deliveries) = log.record(began.elapsed())
            {
                tracing::warn!(
                    target: "palisade::webhook",
                    %error,
                    deliveries,
                    "a delivery that was processed could not be remembered before its lease was over"
                );
            }
        });
        Box::pin(async move {
            match outcome.await?? {
                SETTLED => Ok(()),
                _ => Err(LeaseExpired.into()),
            }
        })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.open {
            let (delivery, is_certain) = (Arc::clone(&self.delivery), self.is_certain);
            let (first, _) = oneshot::channel();
            self.runtime.spawn(async move {
                // A delayed claim may arrive after its release, for example over a stalled connection.
                let is_done = |answer| is_certain || answer == 1;
                if let Err(error) = delivery.repeat(&GIVE_BACK, None, is_done, first).await {
                    tracing::debug!(target: "palisade::webhook", %error, "a delivery that was not processed could not be given back, and its lease has to end first");
                }
            });
        }
    }
}

/// The reply is not one of the scripts'.
#[derive(Debug)]
struct UnexpectedReply;

impl fmt::Display for UnexpectedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis: the answer does not fit the claim")
    }
}

impl std::error::Error for UnexpectedReply {}

/// The lease expired before the handler finished, and another machine has claimed the delivery.
#[derive(Debug)]
struct LeaseExpired;

impl fmt::Display for LeaseExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its lease was over before its handler was, and another machine has claimed it: give `RedisReplays` a longer lease")
    }
}

impl std::error::Error for LeaseExpired {}

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
