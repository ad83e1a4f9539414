//! Responses in Redis, for a service that runs on several machines.

mod flight;
mod record;
mod scripts;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use palisade_core::{BoxError, LogBackoff};
use palisade_redis::{Redis, RedisError, Script};
use sha2::{Digest, Sha256};
use tokio::{task::JoinSet, time::Instant};

use super::{Insertion, Purged};
use crate::{
    entry::{Key, MOST_VARIANTS, Stored},
    rules::matches,
};
pub(crate) use flight::Lease;
use record::{decode, decode_nominated, encode, encode_nominated};
use scripts::{DEPART, FIND, INSERT, LAND, PURGE, REMOVE};

/// Keys are distributed over shards. A shard is one slot of a cluster, so that a script can decide about the responses and the
/// purges of a shard in one step.
#[derive(Clone)]
pub(crate) struct Shared {
    redis: Redis,
    shards: Arc<[Shard]>,
    began: Instant,
    log: Arc<LogBackoff>,
}

/// Until when a shard is not asked because its server failed, in milliseconds.
#[derive(Default)]
struct Shard {
    paused_until: AtomicU64,
}

/// What a fetch of the service starts with.
pub(crate) enum Departure {
    /// The flight is that of the caller, until the lease ends.
    Lead(RedisMark, Lease),
    /// The response is for this caller alone, or the flights of the fleet are not known.
    Alone(Option<RedisMark>),
    /// Another machine is asking the service.
    Wait,
}

/// The state of the shard when the service was asked.
#[derive(Clone, Debug)]
pub(crate) struct RedisMark(Vec<u8>);

/// More shards than a cluster has masters, so that each of them has some.
const SHARDS_OF_A_CLUSTER: usize = 32;

/// A shard whose server failed is not asked for this long.
const PAUSE: Duration = Duration::from_secs(1);

/// No response is kept for longer than this.
const LONGEST_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The state of a shard, which is touched by each request to the service, is kept for longer than each of its responses.
const STATE_KEPT: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// A response that takes the service longer than this is not stored.
const LONGEST_FETCH: Duration = Duration::from_secs(5 * 60);
/// After purges of more paths and tags than this, everything is purged: 4 MB.
const MOST_PURGED: usize = 65_536;
/// The length of 128 bits in base64.
const ID_LENGTH: usize = 22;
/// The length of a time in milliseconds, before the fields of a variant.
const TIME_LENGTH: usize = 13;

impl Shared {
    pub(crate) fn new(redis: Redis) -> Self {
        for script in [&FIND, &DEPART, &LAND, &INSERT, &PURGE, &REMOVE] {
            redis.preload(script);
        }
        let shards = if redis.is_cluster() { SHARDS_OF_A_CLUSTER } else { 1 };
        let shards = std::iter::repeat_with(Shard::default).take(shards).collect();
        Self { redis, shards, began: Instant::now(), log: Arc::default() }
    }

    /// Returns the newest response that matches the request. `None` also if the server failed.
    pub(crate) async fn find(&self, key: &Key, request: &HeaderMap) -> Option<Stored> {
        let place = self.place(key);
        let keys = [place.state(self), place.resource(self)];
        let mut found = self.ask(place.shard, &FIND, &keys, &[b""]).await??;
        if let Some(index) = found.strip_prefix(b"i") {
            let id = newest(index, request)?;
            found = self.ask(place.shard, &FIND, &keys, &[&*id]).await??;
        }
        decode(found).filter(|stored| matches(&stored.nominated, request))
    }

    /// Returns a mark for a request that no other one waits for. `None` if the server failed.
    pub(crate) async fn mark(&self, key: &Key) -> Option<RedisMark> {
        match self.request_departure(&self.place(key), "").await? {
            (b'a', mark) => Some(mark),
            _ => None,
        }
    }

    /// Stores a response, unless a purge since `mark` concerns it.
    pub(crate) async fn insert(&self, key: &Key, stored: &Stored, mark: &RedisMark) -> Insertion {
        let place = self.place(key);
        let has_validator = stored.headers.contains_key(header::ETAG)
            || stored.headers.contains_key(header::LAST_MODIFIED);
        let kept = stored.terms.usable_for(has_validator);
        let kept = millis(kept.clamp(Duration::from_secs(1), LONGEST_KEPT));
        let nominated = encode_nominated(&stored.nominated);
        let tags = stored.tags.iter().map(|tag| purged_tag(tag));
        let purgeable: Vec<String> = tags.chain([purged_path(key.path())]).collect();
        let limits = [MOST_VARIANTS.to_string(), millis(LONGEST_FETCH)];
        let (id, purgeable, record) = (id(&nominated), purgeable.join(" "), encode(stored));
        let arguments = [
            &*mark.0,
            id.as_bytes(),
            &nominated,
            purgeable.as_bytes(),
            &record,
            kept.as_bytes(),
            limits[0].as_bytes(),
            limits[1].as_bytes(),
        ];
        let keys = [place.state(self), place.resource(self)];
        match self.ask(place.shard, &INSERT, &keys, &arguments).await {
            Some(Some(reply)) if reply == b"done" => Insertion::Stored,
            Some(_) => Insertion::Refused,
            None => Insertion::Failed,
        }
    }

    /// Removes what is stored for a key.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), BoxError> {
        let place = self.place(key);
        let keys = [place.state(self), place.resource(self)];
        self.redis.run_bytes(&REMOVE, &keys, &[millis(STATE_KEPT), millis(LONGEST_FETCH)]).await?;
        Ok(())
    }

    /// Purges each shard.
    pub(crate) async fn purge(&self, purged: Purged) -> Result<(), BoxError> {
        let field = match &purged {
            Purged::Everything => String::new(),
            Purged::Path(path) => purged_path(path),
            Purged::Tag(tag) => purged_tag(tag),
            Purged::Key(key) => return self.remove(key).await,
        };
        let mut shards = JoinSet::new();
        for shard in 0..self.shards.len() {
            let (redis, state) = (self.redis.clone(), self.key(shard, "w"));
            let arguments = [field.clone(), millis(STATE_KEPT), MOST_PURGED.to_string()];
            shards.spawn(async move { redis.run_bytes(&PURGE, &[state], &arguments).await });
        }
        let mut outcome = Ok(());
        while let Some(purged) = shards.join_next().await {
            match purged {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => outcome = Err(error.into()),
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }

    /// Runs a script, unless the server failed a moment ago. `None` if it fails: the service is then asked.
    async fn ask(
        &self,
        shard: usize,
        script: &Script,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Option<Option<Vec<u8>>> {
        let now = || u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let paused_until = &self.shards[shard].paused_until;
        if now() < paused_until.load(Ordering::Relaxed) {
            return None;
        }
        match self.redis.run_bytes(script, keys, arguments).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                if !error.is_of_key() {
                    let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
                    paused_until.store(now().saturating_add(pause), Ordering::Relaxed);
                }
                self.report(&error);
                None
            }
        }
    }

    fn report(&self, error: &RedisError) {
        if let Some(failures) = self.log.record(self.began.elapsed()) {
            tracing::warn!(
                target: "palisade::cache",
                %error,
                failures,
                "the shared store of the cache failed: requests are answered by the service, and responses are not stored"
            );
        }
    }

    fn place(&self, key: &Key) -> Place {
        let mut hash = Sha256::new();
        for part in [&*key.host, &*key.path_and_query] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hash.update(key.scope.unwrap_or_default());
        hash.update(key.content.unwrap_or_default());
        hash.update([u8::from(key.scope.is_some()), u8::from(key.content.is_some())]);
        let digest = hash.finalize();
        let shard = usize::from(digest[0]) % self.shards.len();
        Place { shard, digest: URL_SAFE_NO_PAD.encode(digest) }
    }

    /// The braces are a hash tag: the keys of a shard live on one slot of a cluster.
    fn key(&self, shard: usize, rest: &str) -> String {
        format!("{}:cache:{{{shard}}}:{rest}", self.redis.prefix())
    }
}

/// Where the responses of a key are.
struct Place {
    shard: usize,
    digest: String,
}

impl Place {
    fn state(&self, shared: &Shared) -> String {
        shared.key(self.shard, "w")
    }

    fn resource(&self, shared: &Shared) -> String {
        shared.key(self.shard, &format!("r:{}", self.digest))
    }

    fn flight(&self, shared: &Shared) -> String {
        shared.key(self.shard, &format!("f:{}", self.digest))
    }
}

/// Returns the newest variant of a list that matches the request.
fn newest(mut index: &[u8], request: &HeaderMap) -> Option<Vec<u8>> {
    let mut newest: Option<(&[u8], &[u8])> = None;
    while !index.is_empty() {
        let (id, rest) = index.split_at_checked(ID_LENGTH)?;
        let (time, rest) = rest.split_at_checked(TIME_LENGTH)?;
        let (nominated, rest) = decode_nominated(rest)?;
        if matches(&nominated, request) && newest.is_none_or(|(other, _)| other < time) {
            newest = Some((time, id));
        }
        index = rest;
    }
    newest.map(|(_, id)| id.to_vec())
}

/// A name of fixed length for a text of any length, without spaces.
fn id(text: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16])
}

fn purged_path(path: &str) -> String {
    format!("p{}", id(path.as_bytes()))
}

fn purged_tag(tag: &str) -> String {
    format!("t{}", id(tag.as_bytes()))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("redis", &self.redis).finish_non_exhaustive()
    }
}
