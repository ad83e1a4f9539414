use std::{sync::LazyLock, time::Duration};

use palisade_core::{BoxError, BoxFuture};
use palisade_redis::{Redis, Script};

use super::storage::{MAX_PER_SUBJECT, NewSession, SessionId, SessionStorage};

/// Sessions in Redis or Valkey, for a service that runs on several machines.
///
/// ```no_run
/// use palisade_auth::{RedisSessions, SessionManager};
/// use palisade_redis::Redis;
///
/// let redis = Redis::builder("redis://127.0.0.1:6379").build()?;
/// let sessions = SessionManager::<(), _>::builder(RedisSessions::new(redis)).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A subject has 32 sessions at most: a further one ends the one with the earliest end.
///
/// Each operation is one script, or several where the list of a subject's sessions changes. Every key expires by the server's
/// clock. Without Redis, or when it is slower than the [connection's time-outs](palisade_redis), requests with a session are
/// rejected with 503.
///
/// A session is the hash `prefix:session:` with the SHA-256 of its token, and the sessions of a subject are the sorted set
/// `prefix:sessions:` with a hash of issuer and subject. The user needs `+evalsha +eval +hset +hmget +hget +del +pexpire
/// +pttl +time +zadd +zrem +zrange +zremrangebyscore` on `~palisade:*`. Give the server `maxmemory-policy noeviction`, so
/// that it does not end sessions when its memory is full.
#[derive(Clone, Debug)]
pub struct RedisSessions {
    redis: Redis,
}

/// How often the list of a subject's sessions is read again while sessions are added to it.
const MAX_ROUNDS: usize = 32;

/// Milliseconds since 1970, by the server's clock.
const NOW: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// Arguments: the id, the milliseconds until the session ends, and the last position of those that are too many, counted from
/// the end of the list. Sessions that have ended leave the list. Returns the ids of the sessions that are too many.
static ENLIST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local first = redis.call('ZRANGE', KEYS[1], 0, ARGV[3])
local others = {{}}
for _, id in ipairs(first) do if id ~= ARGV[1] then others[#others + 1] = id end end
return table.concat(others, ' ')
"
    ))
});

/// Arguments: the data, the subject, and the milliseconds until the session expires and until it ends.
static INSERT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{NOW}
redis.call('HSET', KEYS[1], 'data', ARGV[1], 'subject', ARGV[2], 'ends', now + ARGV[4])
redis.call('PEXPIRE', KEYS[1], math.min(ARGV[3], ARGV[4]))
return {{ 1 }}
"
    ))
});

/// Argument: the milliseconds until the session expires.
static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{NOW}
local session = redis.call('HMGET', KEYS[1], 'data', 'ends')
if not session[1] or not session[2] then return false end
local left = session[2] - now
if left <= 0 then return false end
redis.call('PEXPIRE', KEYS[1], math.min(ARGV[1], left))
return session[1]
"
    ))
});

/// Returns the subject.
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local subject = redis.call('HGET', KEYS[1], 'subject')
redis.call('DEL', KEYS[1])
return subject
",
    )
});

/// Argument: the id.
static DELIST: LazyLock<Script> =
    LazyLock::new(|| Script::new("return { redis.call('ZREM', KEYS[1], ARGV[1]) }"));

/// Returns the ids of all sessions of a subject, separated by spaces.
static LIST: LazyLock<Script> =
    LazyLock::new(|| Script::new("return table.concat(redis.call('ZRANGE', KEYS[1], 0, -1), ' ')"));

impl RedisSessions {
    /// Returns a storage on this server.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn session_key(&self, id: impl std::fmt::Display) -> [String; 1] {
        [format!("{}:session:{id}", self.redis.prefix())]
    }

    /// Removes sessions, whose ids are separated by spaces, from a list.
    async fn remove_listed(&self, list: &[String; 1], ids: &str) -> Result<(), BoxError> {
        for id in ids.split_ascii_whitespace() {
            self.redis.run_text(&REMOVE, &self.session_key(id), &[]).await?;
            // After the session: if Redis fails between the two, a repeated call finds the session on the list.
            self.redis.run(&DELIST, list, &[id.to_owned()]).await?;
        }
        Ok(())
    }

    fn subject_key(&self, subject: &str) -> [String; 1] {
        [format!("{}:sessions:{subject}", self.redis.prefix())]
    }
}

/// Redis counts milliseconds, and 0 of them would be no expiry but a removal.
fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

impl SessionStorage for RedisSessions {
    fn insert(&self, session: NewSession) -> BoxFuture<Result<(), BoxError>> {
        let this = self.clone();
        Box::pin(async move {
            let NewSession { id, subject, data, idle, ends_in } = session;
            // Two scripts, because in a cluster the keys are on different nodes. The list comes first: a session that is
            // not on it would survive `remove_all`.
            let list = this.subject_key(&subject);
            let too_many = format!("-{}", MAX_PER_SUBJECT + 1);
            let enlisted = [id.to_string(), millis(ends_in), too_many];
            let first = this.redis.run_text(&ENLIST, &list, &enlisted).await?.unwrap_or_default();
            this.remove_listed(&list, &first).await?;
            let arguments = [data, subject, millis(idle), millis(ends_in)];
            this.redis.run(&INSERT, &this.session_key(id), &arguments).await?;
            // Again, in case `remove_all` emptied the list between the two.
            this.redis.run_text(&ENLIST, &list, &enlisted).await?;
            Ok(())
        })
    }

    fn find(&self, id: SessionId, idle: Duration) -> BoxFuture<Result<Option<String>, BoxError>> {
        let this = self.clone();
        Box::pin(async move {
            Ok(this.redis.run_text(&FIND, &this.session_key(id), &[millis(idle)]).await?)
        })
    }

    fn remove(&self, id: SessionId) -> BoxFuture<Result<(), BoxError>> {
        let this = self.clone();
        Box::pin(async move {
            let subject = this.redis.run_text(&REMOVE, &this.session_key(id), &[]).await?;
            if let Some(subject) = subject {
                this.redis.run(&DELIST, &this.subject_key(&subject), &[id.to_string()]).await?;
            }
            Ok(())
        })
    }

    fn remove_all(&self, subject: &str) -> BoxFuture<Result<(), BoxError>> {
        let (this, list) = (self.clone(), self.subject_key(subject));
        Box::pin(async move {
            // Until the list is empty: a session that is renewed meanwhile is on the list by its new id.
            for _ in 0..MAX_ROUNDS {
                let ids = this.redis.run_text(&LIST, &list, &[]).await?.unwrap_or_default();
                if ids.is_empty() {
                    return Ok(());
                }
                this.remove_listed(&list, &ids).await?;
            }
            Err("sessions of the subject are renewed as fast as they are removed".into())
        })
    }
}
