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

/// Remembers deliveries in Redis or Valkey, for an endpoint that runs on several machines.
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
/// - **A claim is a lease**, of 60 seconds unless [set](Self::with_lease). It should outlast the handler. It ends the claim of
///   a machine that is gone: then the sender's next attempt is processed. A handler that takes longer may find that
///   another machine has begun to process the delivery.
/// - **It carries a token.** A machine that lost its claim can neither settle nor give back the claim of another; that a
///   handler took longer than its lease is logged.
/// - **Settling and giving back are repeated** in the background when Redis does not answer, until the lease is over. Both
///   may arrive twice. So a stall or a failover neither processes a delivery twice nor keeps the sender's next attempts
///   away.
/// - **Every key expires**, at the end of the lease or of [`Replays::keep`](super::Replays::keep), by the server's clock.
/// - **Without Redis**, or when it is slower than the [connection's time-outs](palisade_redis), deliveries are rejected with
///   503, and senders try again. [`Replays::accept_when_store_fails`](super::Replays::accept_when_store_fails) accepts them
///   unchecked.
///
/// A replica that is promoted may not know the last deliveries, and a server that evicts keys forgets some: give it
/// `maxmemory-policy noeviction`.
///
/// The key of a delivery is `prefix:webhook:` and its name, percent-encoded. The user needs `+evalsha +eval +get +set +del`
/// on `~palisade:*`, and `+script|load` to load the scripts when the connection is opened. It runs on tokio, as the connection
/// does.
#[derive(Clone)]
pub struct RedisReplays {
    redis: Redis,
    lease: Duration,
    repetitions: Arc<Repetitions>,
}

/// What is repeated until Redis has taken it.
struct Repetitions {
    /// Settlements and returns that are being repeated.
    under_way: AtomicUsize,
    began: Instant,
    /// Of settlements that were lost.
    log: LogBackoff,
}

/// More are sent once: each holds a few hundred bytes, and a sender that tries again finds its claim's end.
const MOST_REPEATED: usize = 10_000;

/// The pauses between repetitions, the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longer than senders wait for an answer: GitHub 10 s, Stripe and Standard Webhooks 15 to 30 s.
const LEASE: Duration = Duration::from_secs(60);

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Redis counts milliseconds since 1970 in 63 bits. A retention without an end is one of a hundred years.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The value of a delivery that was processed. It differs from all tokens.
const PROCESSED: &str = "processed";

/// The answers of the scripts.
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

/// Arguments: the token, and how long to remember it in milliseconds. If the lease is over and no other machine has claimed
/// the delivery since, it is settled nevertheless. A settlement that is repeated finds what the first one wrote.
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

/// Argument: the token. Answers 1 if the claim was there.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 0 } end
return { redis.call('DEL', KEYS[1]) }
",
    )
});

impl RedisReplays {
    /// Remembers deliveries on this server, with leases of 60 seconds.
    pub fn new(redis: Redis) -> Self {
        for script in [&CLAIM, &SETTLE, &GIVE_BACK] {
            redis.preload(script);
        }
        let (under_way, began) = (AtomicUsize::default(), Instant::now());
        let repetitions = Repetitions { under_way, began, log: LogBackoff::default() };
        Self { redis, lease: LEASE, repetitions: Arc::new(repetitions) }
    }

    /// Sets the length of leases: longer for handlers that take longer, shorter so that a machine that is gone is replaced
    /// sooner.
    ///
    /// # Errors
    ///
    /// For less than a second, or more than a day.
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
            // Before it is asked: a claim whose answer did not come may have been made nevertheless, and is given back.
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
                _ => return Err(Strange.into()),
            };
            claimed.open = false;
            Ok(claim)
        })
    }
}

/// Makes a token that no other claim has.
fn token() -> Result<String, BoxError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(to_hex(&random))
}

/// A delivery under the token of one claim.
struct Delivery {
    redis: Redis,
    key: String,
    token: String,
    /// The end of the lease, or a little sooner.
    until: Instant,
    repetitions: Arc<Repetitions>,
}

impl Delivery {
    async fn run(&self, script: &Script, lifetime: Option<Duration>) -> Result<i64, BoxError> {
        let mut arguments = vec![self.token.clone()];
        arguments.extend(lifetime.map(|lifetime| lifetime.as_millis().to_string()));
        let keys = std::slice::from_ref(&self.key);
        let answer: Result<_, RedisError> = self.redis.run(script, keys, &arguments).await;
        answer?.first().copied().ok_or_else(|| Strange.into())
    }

    /// Runs a script until it answers as it should, or the lease is over. `first` gets the first outcome.
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
                // The caller may have hung up.
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
    /// It is neither settled nor another machine's.
    open: bool,
    /// The answer to the claim has come. Otherwise the claim may still be on its way.
    is_certain: bool,
}

impl Reservation for Claimed {
    fn confirm(mut self: Box<Self>) -> BoxFuture<Result<(), BoxError>> {
        self.open = false;
        let (delivery, keep) =
            (Arc::clone(&self.delivery), self.retention.at_most.min(LONGEST_KEPT));
        // On a task of its own: it was processed, also if the sender hangs up now.
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
                _ => Err(Lost.into()),
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
                // A claim that is on its way may arrive after its return, as over a connection that was stalled.
                let is_done = |answer| is_certain || answer == 1;
                if let Err(error) = delivery.repeat(&GIVE_BACK, None, is_done, first).await {
                    tracing::debug!(target: "palisade::webhook", %error, "a delivery that was not processed could not be given back, and its lease has to end first");
                }
            });
        }
    }
}

/// The answer is not one of the scripts'.
#[derive(Debug)]
struct Strange;

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis: the answer does not fit the claim")
    }
}

impl std::error::Error for Strange {}

/// The lease was over before the handler was, and another machine has the delivery.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its lease was over before its handler was, and another machine has claimed it: give `RedisReplays` a longer lease")
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
