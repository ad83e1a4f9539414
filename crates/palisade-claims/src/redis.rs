use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use palisade_core::{BoxError, BoxFuture, ConfigError, LogBackoff};
use palisade_redis::{Redis, RedisError, Script, key_part};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{Claim, ClaimStore, Reservation, Retention};

/// Stores claims in Redis or Valkey, for a service that runs on several machines.
///
/// ```no_run
/// use palisade_claims::RedisClaims;
/// use palisade_redis::Redis;
///
/// // one connection, also for shared rate limits
/// let redis = Redis::builder("redis://127.0.0.1:6379").build()?;
/// let store = RedisClaims::new(redis);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A key is claimed, completed and released by one script each, so that only one of several concurrent claims succeeds.
///
/// - **A claim is a lease.** Default: 60 seconds ([`with_lease`](Self::with_lease)). The claim of a machine that crashed expires,
///   so that the next attempt is processed. It should be longer than the work takes: after it, another machine may claim the key.
/// - **It has a token.** A machine whose lease expired can neither complete nor release the claim of another; work that
///   took longer than its lease is logged.
/// - **Completion and release are retried** in the background if Redis does not respond, until the lease expires. Both are
///   idempotent. So a stall or a failover neither repeats the work nor blocks the next attempts.
/// - **Every key expires**, at the end of the lease or of the [retention](Retention::at_most), by the server's clock.
/// - **Without Redis**, or when it is slower than the [connection's time-outs](palisade_redis), claims fail.
///
/// A promoted replica may lack the last claims, and a server that evicts keys forgets some: set
/// `maxmemory-policy noeviction`.
///
/// The key of a claim is `prefix:claim:` and its key, percent-encoded. The user needs `+evalsha +eval +get +set +del`
/// on `~palisade:*`, and `+script|load` to load the scripts when the connection is opened. It runs on tokio, as the connection
/// does.
#[derive(Clone)]
pub struct RedisClaims {
    redis: Redis,
    lease: Duration,
    repetitions: Arc<Repetitions>,
}

/// The commands that are retried until Redis has executed them.
struct Repetitions {
    /// Completions and releases that are being retried.
    under_way: AtomicUsize,
    began: Instant,
    /// For completions that failed.
    log: LogBackoff,
}

/// Further ones are sent once: each takes up to the size of its record, and a retry of the client finds the claim expired.
const MOST_REPEATED: usize = 10_000;

/// The first and the longest pause between retries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longer than senders wait for a response: GitHub 10 s, Stripe and Standard Webhooks 15 to 30 s.
const LEASE: Duration = Duration::from_secs(60);

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Redis counts milliseconds since 1970 in 63 bits. An unlimited retention becomes a hundred years.
const LONGEST_KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The values of a key: a claim is `c` and its token, a record is `r` and its bytes. The claim script replies with the value that
/// a key had before, or with this one if the claim succeeded.
const FIRST: &[u8] = b"first";
const CLAIMED: u8 = b'c';
const RECORD: u8 = b'r';

/// The reply to a completed or released claim. The other scripts reply with `lost` if another machine has the claim.
const DONE: &[u8] = b"done";

/// Arguments: the claim, and the lease in milliseconds.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 'first' end
local held = redis.call('GET', KEYS[1])
-- asked again, because the answer was lost
if held == ARGV[1] then return 'first' end
return held
",
    )
});

/// Arguments: the claim, the retention in milliseconds, and the record. If the lease has expired and no other machine has
/// claimed the key since, it is completed nevertheless. A repeated completion finds the record of the first one.
static COMPLETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local held = redis.call('GET', KEYS[1])
if held == ARGV[3] then return 'done' end
if held and held ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 'done'
",
    )
});

/// Argument: the claim. Replies `done` if it existed.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
redis.call('DEL', KEYS[1])
return 'done'
",
    )
});

impl RedisClaims {
    /// Stores claims on this server, with leases of 60 seconds.
    pub fn new(redis: Redis) -> Self {
        for script in [&CLAIM, &COMPLETE, &RELEASE] {
            redis.preload(script);
        }
        let (under_way, began) = (AtomicUsize::default(), Instant::now());
        let repetitions = Repetitions { under_way, began, log: LogBackoff::default() };
        Self { redis, lease: LEASE, repetitions: Arc::new(repetitions) }
    }

    /// Stores claims on this server, with leases of this duration: longer for slow work, shorter to release the claims of a
    /// crashed machine sooner.
    ///
    /// # Errors
    ///
    /// If it is less than a second or more than a day.
    pub fn with_lease(redis: Redis, lease: Duration) -> Result<Self, ConfigError> {
        if !(Duration::from_secs(1)..=LONGEST_LEASE).contains(&lease) {
            let remedy = "use a duration that is longer than the work takes: 1 second to 1 day";
            return Err(ConfigError::new("lease", format!("{lease:?}"), remedy));
        }
        Ok(Self { lease, ..Self::new(redis) })
    }
}

impl ClaimStore for RedisClaims {
    fn claim(&self, key: &str, retention: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let key = format!("{}:claim:{}", self.redis.prefix(), key_part(key));
        let (redis, lease) = (self.redis.clone(), self.lease);
        let repetitions = Arc::clone(&self.repetitions);
        Box::pin(async move {
            let (value, runtime) = (claim_value()?, Handle::try_current()?);
            // Created before the request: a claim whose reply was lost may exist, and must be released.
            let until = Instant::now() + lease;
            let mut claimed = Box::new(Claimed {
                claim: Arc::new(Lease { redis, key, value, until, repetitions }),
                runtime,
                retention,
                open: true,
                is_certain: false,
            });
            let held = claimed.claim.run(&CLAIM, &[millis(lease).as_bytes()]).await?;
            claimed.is_certain = true;
            let claim = match held.split_first() {
                _ if held == FIRST => return Ok(Claim::First(claimed)),
                Some((&CLAIMED, _)) => Claim::InProgress,
                Some((&RECORD, _)) => Claim::Completed(Bytes::from(held).slice(1..)),
                _ => return Err(UnexpectedReply.into()),
            };
            claimed.open = false;
            Ok(claim)
        })
    }
}

/// Returns the value of a new claim: `c` and a random token in hexadecimal digits.
fn claim_value() -> Result<String, BoxError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("{}{:032x}", char::from(CLAIMED), u128::from_be_bytes(random)))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// A claim with its lease.
struct Lease {
    redis: Redis,
    key: String,
    /// The value of the key while the claim holds, which contains the token.
    value: String,
    /// The end of the lease, or slightly earlier.
    until: Instant,
    repetitions: Arc<Repetitions>,
}

impl Lease {
    async fn run(&self, script: &Script, arguments: &[&[u8]]) -> Result<Vec<u8>, BoxError> {
        let arguments = [&[self.value.as_bytes()], arguments].concat();
        let keys = std::slice::from_ref(&self.key);
        let reply: Result<_, RedisError> = self.redis.run_bytes(script, keys, &arguments).await;
        reply?.ok_or_else(|| UnexpectedReply.into())
    }

    /// Runs a script until it succeeds or the lease expires. `first` receives the first outcome.
    async fn repeat(
        &self,
        script: &Script,
        arguments: &[&[u8]],
        is_final: impl Fn(&[u8]) -> bool,
        first: oneshot::Sender<Result<Vec<u8>, BoxError>>,
    ) -> Result<(), BoxError> {
        let under_way = &self.repetitions.under_way;
        let is_repeated = under_way.fetch_add(1, Ordering::Relaxed) < MOST_REPEATED;
        let (mut first, mut pause) = (Some(first), FIRST_PAUSE);
        let outcome = loop {
            let outcome = self.run(script, arguments).await;
            let is_over = !is_repeated || Instant::now() + pause >= self.until;
            let last = match &outcome {
                Ok(reply) if is_final(reply) || is_over => Some(Ok(())),
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
    claim: Arc<Lease>,
    runtime: Handle,
    retention: Retention,
    /// Whether the claim is still held by this machine.
    open: bool,
    /// Whether the reply to the claim has arrived. If not, the claim may still arrive at the server.
    is_certain: bool,
}

impl Reservation for Claimed {
    fn complete(mut self: Box<Self>, record: Bytes) -> BoxFuture<Result<(), BoxError>> {
        self.open = false;
        let claim = Arc::clone(&self.claim);
        let keep = millis(self.retention.at_most.min(LONGEST_KEPT));
        let record = [&[RECORD], &*record].concat();
        // On a separate task, because the work is completed also if the client disconnects now.
        let (first, outcome) = oneshot::channel();
        self.runtime.spawn(async move {
            let arguments = [keep.as_bytes(), &record];
            let completed = claim.repeat(&COMPLETE, &arguments, |_| true, first).await;
            let Repetitions { began, log, .. } = &*claim.repetitions;
            if let Err(error) = completed
                && let Some(claims) = log.record(began.elapsed())
            {
                tracing::warn!(
                    target: "palisade::claims",
                    %error,
                    claims,
                    "the record of a completed claim could not be stored before its lease expired"
                );
            }
        });
        Box::pin(async move {
            match outcome.await?? {
                reply if reply == DONE => Ok(()),
                _ => Err(LeaseExpired.into()),
            }
        })
    }

    fn token(&self) -> &str {
        self.claim.value.get(1..).unwrap_or_default()
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.open {
            let (claim, is_certain) = (Arc::clone(&self.claim), self.is_certain);
            let (first, _) = oneshot::channel();
            self.runtime.spawn(async move {
                // A delayed claim may arrive after its release, for example over a stalled connection.
                let is_final = |reply: &[u8]| is_certain || reply == DONE;
                if let Err(error) = claim.repeat(&RELEASE, &[], is_final, first).await {
                    tracing::debug!(target: "palisade::claims", %error, "a claim could not be released; it holds until its lease expires");
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
        f.write_str("redis: the reply is not one of a claim")
    }
}

impl std::error::Error for UnexpectedReply {}

/// The lease expired before the work was completed, and another machine has claimed the key.
#[derive(Debug)]
struct LeaseExpired;

impl fmt::Display for LeaseExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its lease expired before the work was completed, and another machine has claimed the key: give `RedisClaims` a longer lease")
    }
}

impl std::error::Error for LeaseExpired {}

impl fmt::Debug for RedisClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClaims")
            .field("redis", &self.redis)
            .field("lease", &self.lease)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_two_claims_differ() {
        let (one, other) = (claim_value().unwrap(), claim_value().unwrap());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[0]), (33, CLAIMED));
    }

    #[test]
    fn rejects_leases_that_are_too_short_or_long() {
        let redis = || Redis::builder("redis://127.0.0.1").build().unwrap();
        for wrong in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(86_401)] {
            let refused = RedisClaims::with_lease(redis(), wrong).unwrap_err();
            assert_eq!(refused.setting(), "lease", "{wrong:?}");
        }
        assert!(RedisClaims::with_lease(redis(), Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn claim_outside_a_runtime_is_an_error() {
        use std::{
            pin::pin,
            task::{Context, Poll, Waker},
        };
        let store = RedisClaims::new(Redis::builder("redis://127.0.0.1").build().unwrap());
        let claimed = pin!(store.claim("a", Retention::exactly(Duration::ZERO)))
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(claimed, Poll::Ready(Err(_))));
    }
}
