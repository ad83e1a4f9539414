use std::{fmt, time::Duration};

use palisade_core::Principal;
use subtle::{Choice, ConstantTimeEq};

use crate::Identity;

/// The key of an authenticated request, for handlers: `Identity<ApiKey>`.
///
/// ```
/// use palisade_auth::{ApiKey, Identity};
///
/// fn who(identity: &Identity<ApiKey>) -> String {
///     format!("{} with key {}", identity.principal().subject(), identity.claims().id())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    id: Box<str>,
    expires: Option<Duration>,
}

impl ApiKey {
    /// The part of the key that names it. It is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the key stops being valid, since the Unix epoch. `None`: never.
    pub fn expires(&self) -> Option<Duration> {
        self.expires
    }
}

/// The stored form of an API key, with a hash instead of the secret. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use palisade_auth::ApiKeyRecord;
/// use palisade_core::Principal;
///
/// // as it comes from a table of a database
/// let secret_sha256 = [7; 32];
/// let owner = Principal::new("billing").issued_by("acme").with_roles(["service"]).with_scopes(["invoices:read"]);
/// let record = ApiKeyRecord::new("k1", secret_sha256, owner).expires_at(Duration::from_secs(1_900_000_000));
///
/// assert_eq!((record.id(), record.owner().subject()), ("k1", "billing"));
/// ```
#[derive(Clone)]
pub struct ApiKeyRecord {
    secret_sha256: [u8; 32],
    /// Made when the record is, so that a request that passes costs a counter and no allocation.
    identity: Identity<ApiKey>,
}

impl ApiKeyRecord {
    /// The key that is called `id`, has a secret of this SHA-256 (of its characters), and speaks for `owner`.
    ///
    /// Roles and scopes of the key are those of `owner`; give it fewer than the owner has, where the key is to do less.
    pub fn new(id: impl Into<Box<str>>, secret_sha256: [u8; 32], owner: Principal) -> Self {
        let key = ApiKey { id: id.into(), expires: None };
        Self { secret_sha256, identity: Identity::new(key, owner) }
    }

    /// Ends its validity at this time since the Unix epoch; from that second on it is refused.
    #[must_use]
    pub fn expires_at(self, time: Duration) -> Self {
        let key = ApiKey { expires: Some(time), ..self.identity.claims().clone() };
        Self { identity: Identity::new(key, self.identity.principal().clone()), ..self }
    }

    /// The name of the key.
    pub fn id(&self) -> &str {
        self.identity.claims().id()
    }

    /// Returns the owner of the key.
    pub fn owner(&self) -> &Principal {
        self.identity.principal()
    }

    /// When it stops being valid, since the Unix epoch.
    pub fn expires(&self) -> Option<Duration> {
        self.identity.claims().expires()
    }

    /// The hash, to be stored.
    pub fn secret_sha256(&self) -> &[u8; 32] {
        &self.secret_sha256
    }

    pub(super) fn has_secret_of(&self, hash: &[u8; 32]) -> Choice {
        self.secret_sha256.as_slice().ct_eq(hash)
    }

    pub(super) fn into_identity(self) -> Identity<ApiKey> {
        self.identity
    }
}

/// Shows whose key it is and not the hash.
impl fmt::Debug for ApiKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyRecord")
            .field("id", &self.id())
            .field("owner", self.owner())
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}
