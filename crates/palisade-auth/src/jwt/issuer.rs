use std::sync::Arc;

#[cfg(feature = "jwks")]
use palisade_core::{ApiError, BoxFuture};

use super::{algorithm::Algorithm, key_set::KeySet};
#[cfg(feature = "jwks")]
use crate::jwks::{Jwks, Lookup, RemoteKeys};

/// Who signs, and with what.
pub(super) struct Issuer {
    pub(super) name: Option<Box<str>>,
    pub(super) keys: IssuerKeys,
}

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

/// Where the keys for a token are.
pub(super) enum Found {
    Here(Arc<KeySet>),
    /// They are being fetched. Not getting them is a 503.
    #[cfg(feature = "jwks")]
    Soon(BoxFuture<Result<Arc<KeySet>, ApiError>>),
    /// The issuer has no key of this name.
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

    /// A number that changes when the keys do.
    pub(super) fn generation(&self) -> u64 {
        match &self.place {
            Place::Here(_) => 0,
            #[cfg(feature = "jwks")]
            Place::There(keys) => keys.generation(),
        }
    }

    #[cfg_attr(not(feature = "jwks"), allow(unused_variables))]
    pub(super) fn find(&self, kid: Option<&str>) -> Found {
        match &self.place {
            Place::Here(keys) => Found::Here(Arc::clone(keys)),
            #[cfg(feature = "jwks")]
            Place::There(keys) => match keys.keys_for(kid) {
                Lookup::Ready(keys) => Found::Here(keys),
                Lookup::Wait(keys) => Found::Soon(keys),
                Lookup::Unknown => Found::Nowhere,
                Lookup::Unavailable(error) => Found::CannotTell(error),
            },
        }
    }

    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}
