use std::sync::Arc;

#[cfg(feature = "jwks")]
use palisade_core::{ApiError, BoxFuture};

use super::{algorithm::Algorithm, key_set::KeySet};
#[cfg(feature = "jwks")]
use crate::jwks::{Jwks, Lookup, RemoteKeys, Snapshot};

/// Keys that are ready: those that were configured, or those that the issuer publishes at the moment.
pub(super) struct IssuerKeys {
    place: KeySource,
    /// Empty if the algorithms of the keys apply.
    algorithms: Vec<Algorithm>,
}

enum KeySource {
    Configured(Arc<KeySet>),
    #[cfg(feature = "jwks")]
    Published(RemoteKeys<KeySet>),
}

/// The keys for a token, and their generation.
pub(super) type ReadyKeys = (Arc<KeySet>, u64);

/// The result of looking for the keys of a token.
pub(super) enum KeyLookup {
    Ready(ReadyKeys),
    /// They are being fetched. An error is a 503.
    #[cfg(feature = "jwks")]
    Pending(BoxFuture<Result<ReadyKeys, ApiError>>),
    /// The issuer has no such key.
    #[cfg(feature = "jwks")]
    Missing,
    #[cfg(feature = "jwks")]
    Unavailable(ApiError),
}

impl IssuerKeys {
    pub(super) fn configured(keys: KeySet, algorithms: Vec<Algorithm>) -> Self {
        Self { place: KeySource::Configured(Arc::new(keys)), algorithms }
    }

    #[cfg(feature = "jwks")]
    pub(super) fn published(jwks: &Jwks, algorithms: Vec<Algorithm>) -> Self {
        Self { place: KeySource::Published(jwks.keys().clone()), algorithms }
    }

    /// Returns a number that changes when the keys do, or `None` if a request must wait for keys.
    pub(super) fn generation(&self) -> Option<u64> {
        match &self.place {
            KeySource::Configured(_) => Some(0),
            #[cfg(feature = "jwks")]
            KeySource::Published(keys) => keys.generation(),
        }
    }

    #[cfg_attr(not(feature = "jwks"), allow(unused_variables))]
    pub(super) fn find(&self, kid: Option<&str>) -> KeyLookup {
        match &self.place {
            KeySource::Configured(keys) => KeyLookup::Ready((Arc::clone(keys), 0)),
            #[cfg(feature = "jwks")]
            KeySource::Published(keys) => keys.keys_for(kid).into(),
        }
    }

    /// Returns newer keys than those of `generation`, under which a signature is not valid. Keys that were configured do
    /// not change.
    #[cfg(feature = "jwks")]
    pub(super) fn find_newer(&self, generation: u64) -> KeyLookup {
        match &self.place {
            KeySource::Configured(_) => KeyLookup::Missing,
            KeySource::Published(keys) => keys.newer_keys(generation).into(),
        }
    }

    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

#[cfg(feature = "jwks")]
impl From<Lookup<KeySet>> for KeyLookup {
    fn from(lookup: Lookup<KeySet>) -> Self {
        let found =
            |snapshot: Arc<Snapshot<KeySet>>| (Arc::clone(snapshot.keys()), snapshot.generation());
        match lookup {
            Lookup::Ready(snapshot) => Self::Ready(found(snapshot)),
            Lookup::Wait(snapshot) => {
                Self::Pending(Box::pin(async move { snapshot.await.map(found) }))
            }
            Lookup::Unknown => Self::Missing,
            Lookup::Unavailable(error) => Self::Unavailable(error),
        }
    }
}
