#[cfg(feature = "jwks")]
use super::jwk;
use super::{algorithm::Algorithm, key::VerifyingKey, token::Fault};

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct KeySet {
    entries: Box<[Entry]>,
    /// The names of all keys, also of those that are not for this.
    ids: Box<[Box<str>]>,
}

/// A key, for one algorithm, and its name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kid: Option<Box<str>>,
    pub(super) key: VerifyingKey,
    /// True if the key says that it is for this algorithm, or if it is the usual one of its type.
    pub(super) is_usual: bool,
}

/// What a set says to a token's `alg` and `kid`.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    Key(&'a VerifyingKey),
    Refused(Fault),
}

impl KeySet {
    pub(super) fn new(entries: Vec<Entry>, ids: Vec<Box<str>>) -> Self {
        Self { entries: entries.into(), ids: ids.into() }
    }

    /// A single key that was configured without a name: it is the one, whatever a token calls it.
    pub(super) fn single(key: VerifyingKey) -> Self {
        Self::new(vec![Entry { kid: None, key, is_usual: true }], Vec::new())
    }

    /// The algorithms of the keys that are for one of the `allowed`.
    pub(super) fn algorithms(&self, allowed: &[Algorithm]) -> impl Iterator<Item = Algorithm> {
        let entries = self.entries.iter().filter(|entry| entry.is_for(allowed));
        entries.map(|entry| entry.key.algorithm())
    }

    /// The one key for a token. With a `kid` it is the one of that name; without, there must be only one that fits.
    /// A key without a name is taken by a token that names one only if it is the only key.
    ///
    /// Of a key that may be used with several algorithms, those that are `allowed` count; if none are named, the usual.
    pub(super) fn choose(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        allowed: &[Algorithm],
    ) -> Choice<'_> {
        if let ([only], true) = (&*self.entries, self.ids.is_empty()) {
            return if only.key.algorithm() == algorithm && only.is_for(allowed) {
                Choice::Key(&only.key)
            } else {
                Choice::Refused(Fault::Algorithm)
            };
        }
        let named = |entry: &&Entry| kid.is_none() || entry.kid.as_deref() == kid;
        if kid.is_some_and(|kid| !self.ids.iter().any(|id| **id == *kid)) {
            return Choice::Refused(Fault::UnknownKey);
        }
        let mut fitting = self
            .entries
            .iter()
            .filter(named)
            .filter(|entry| entry.key.algorithm() == algorithm && entry.is_for(allowed));
        match (fitting.next(), fitting.next()) {
            (Some(entry), None) => Choice::Key(&entry.key),
            (None, _) => Choice::Refused(Fault::Algorithm),
            // Trying each of them would let a token choose, and make a bad one cost as many signatures.
            (Some(_), Some(_)) => Choice::Refused(Fault::AmbiguousKey),
        }
    }
}

impl Entry {
    fn is_for(&self, allowed: &[Algorithm]) -> bool {
        if allowed.is_empty() { self.is_usual } else { allowed.contains(&self.key.algorithm()) }
    }
}

#[cfg(feature = "jwks")]
impl crate::jwks::RemoteKeySet for KeySet {
    fn parse(document: &[u8], _: Option<&Self>) -> Result<Self, palisade_core::BoxError> {
        let keys = jwk::read_set(document, jwk::Origin::Fetched).map_err(|unusable| unusable.0)?;
        Ok(keys)
    }

    fn has_key_id(&self, id: &str) -> bool {
        self.ids.iter().any(|own| **own == *id)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}
