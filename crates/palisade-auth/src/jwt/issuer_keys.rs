use std::sync::Arc;

#[cfg(feature = "jwks")]
use palisade_core::{ApiError, BoxFuture};

use super::{algorithm::Algorithm, key_set::KeySet};
#[cfg(feature = "jwks")]
use crate::jwks::{Jwks, Lookup, RemoteKeys, Snapshot};

/// Keys that are ready: those that were configured, or those that the issuer publishes at the moment.
pub(super) struct IssuerKeys {
    place: Place,
    /// Empty: what the keys say of themselves.
    algorithms: Vec<Algorithm>,
}

enum Place {
    Here(Arc<KeySet>),
    #[cfg(feature = "jwks")]
    There(RemoteKeys<KeySet>),
}

/// The keys for a token, and their generation.
pub(super) type FoundKeys = (Arc<KeySet>, u64);

/// Where the keys for a token are.
pub(super) enum Found {
    Here(FoundKeys),
    /// They are being fetched. An error is a 503.
    #[cfg(feature = "jwks")]
    Soon(BoxFuture<Result<FoundKeys, ApiError>>),
    /// The issuer has no such key.
    #[cfg(feature = "jwks")]
    Nowhere,
    #[cfg(feature = "jwks")]
    CannotTell(ApiError),
}

impl IssuerKeys {
    pub(super) fn configured(keys: KeySet, algorithms: Vec<Algorithm>) -> Self {
        Self { place: Place::Here(Arc::new(keys)), algorithms }
    }

    #[cfg(feature = "jwks")]
    pub(super) fn published(jwks: &Jwks, algorithms: Vec<Algorithm>) -> Self {
        Self { place: Place::There(jwks.keys().clone()), algorithms }
    }

    /// Returns a number that changes when the keys do, or `None` if a request must wait for keys.
    pub(super) fn generation(&self) -> Option<u64> {
        match &self.place {
            Place::Here(_) => Some(0),
            #[cfg(feature = "jwks")]
            Place::There(keys) => keys.generation(),
        }
    }

    #[cfg_attr(not(feature = "jwks"), allow(unused_variables))]
    pub(super) fn find(&self, kid: Option<&str>) -> Found {
        match &self.place {
            Place::Here(keys) => Found::Here((Arc::clone(keys), 0)),
            #[cfg(feature = "jwks")]
            Place::There(keys) => keys.keys_for(kid).into(),
        }
    }

    /// Returns newer keys than those of `generation`, under which a signature is not valid. Keys that were configured do
    /// not change.
    #[cfg(feature = "jwks")]
    pub(super) fn find_newer(&self, generation: u64) -> Found {
        match &self.place {
            Place::Here(_) => Found::Nowhere,
            Place::There(keys) => keys.newer_keys(generation).into(),
        }
    }

    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

#[cfg(feature = "jwks")]
impl From<Lookup<KeySet>> for Found {
    fn from(lookup: Lookup<KeySet>) -> Self {
        let found =
            |snapshot: Arc<Snapshot<KeySet>>| (Arc::clone(snapshot.keys()), snapshot.generation());
        match lookup {
            Lookup::Ready(snapshot) => Self::Here(found(snapshot)),
            Lookup::Wait(snapshot) => {
                Self::Soon(Box::pin(async move { snapshot.await.map(found) }))
            }
            Lookup::Unknown => Self::Nowhere,
            Lookup::Unavailable(error) => Self::CannotTell(error),
        }
    }
}
