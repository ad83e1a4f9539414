use std::{fmt, sync::Arc};

use palisade_core::ConfigError;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync};

use super::{
    Insertion,
    purges::{Purged, Purges},
};
use crate::entry::{Key, KeyRef, Resource, Stored};

/// Responses in memory, up to a number of bytes.
///
/// quick_cache evicts by S3-FIFO, with a lock for each shard, and weighs entries. An entry may weigh as much as its shard, so
/// the shards are few and large.
pub(crate) struct Memory {
    resources: sync::Cache<Key, Resource, ByBytes>,
    purges: Purges,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Resource> for ByBytes {
    fn weight(&self, key: &Key, resource: &Resource) -> u64 {
        let key = size_of::<Key>() + key.host.len() + key.path_and_query.len();
        (key + resource.size()) as u64
    }
}

const LEAST_BYTES: u64 = 64 * 1024;
/// A shard of 16 MiB has room for an answer at the limit of bodies, and its variants.
const SHARD_BYTES: u64 = 16 * 1024 * 1024;
const MOST_SHARDS: u64 = 64;
/// For the first size of the tables, which grow.
const TYPICAL_BYTES: u64 = 4 * 1024;

impl Memory {
    pub(super) fn new(bytes: u64) -> Result<Self, ConfigError> {
        let invalid =
            || ConfigError::new("memory", bytes.to_string(), "use a size of at least 65536 bytes");
        if bytes < LEAST_BYTES {
            return Err(invalid());
        }
        let shards = (bytes / SHARD_BYTES).clamp(1, MOST_SHARDS);
        let items = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).min(1 << 20);
        let options = OptionsBuilder::new()
            .weight_capacity(bytes)
            .estimated_items_capacity(items)
            .shards(usize::try_from(shards).unwrap_or(1))
            .build()
            .map_err(|_| invalid())?;
        let resources = sync::Cache::with_options(
            options,
            ByBytes,
            DefaultHashBuilder::default(),
            Default::default(),
        );
        Ok(Self { resources, purges: Purges::default(), bytes })
    }

    #[inline]
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Resource> {
        self.resources.get(&key)
    }

    pub(super) fn mark(&self) -> u64 {
        self.purges.mark()
    }

    pub(super) fn insert(&self, key: &Key, stored: &Arc<Stored>, mark: u64) -> Insertion {
        let most = usize::try_from(self.resources.shard_capacity()).unwrap_or(usize::MAX) / 2;
        if stored.size() > most || self.purges.concern(mark, key, stored) {
            return Insertion::Refused;
        }
        let before = self.resources.peek(&key.as_ref()).unwrap_or_default();
        self.resources.insert(key.clone(), before.with(Arc::clone(stored), most));
        // A purge between the question and the insertion did not see the entry.
        if self.purges.concern(mark, key, stored) {
            self.resources.remove(&key.as_ref());
            return Insertion::Refused;
        }
        Insertion::Stored
    }

    pub(super) fn remove(&self, key: &Key) {
        self.purges.add(Purged::Key(key.clone()));
        self.resources.remove(&key.as_ref());
    }

    /// Looks at each entry: purges are rare, and an index of tags would cost each insertion and eviction.
    pub(super) fn purge(&self, purged: Purged) {
        if let Purged::Key(key) = &purged {
            return self.remove(key);
        }
        self.purges.add(purged.clone());
        match purged {
            Purged::Everything => self.resources.clear(),
            purged => self.resources.retain(|key, resource| {
                !resource.variants.iter().any(|stored| purged.concerns(key, stored))
            }),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("bytes", &self.bytes)
            .field("used", &self.resources.weight())
            .field("entries", &self.resources.len())
            .finish_non_exhaustive()
    }
}
