use super::{algorithm::Algorithm, key::VerifyingKey, token::Fault};

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub(super) struct KeySet {
    entries: Box<[Entry]>,
}

/// A key, for one algorithm, and its name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kid: Option<Box<str>>,
    pub(super) key: VerifyingKey,
}

/// What a set says to a token's `alg` and `kid`.
#[derive(Debug)]
pub(super) enum Choice<'a> {
    Key(&'a VerifyingKey),
    /// No key of this name. A set that was fetched may be out of date.
    UnknownKid,
    Refused(Fault),
}

impl KeySet {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self { entries: entries.into() }
    }

    /// A single key that was configured without a name: it is the one, whatever a token calls it.
    pub(super) fn single(key: VerifyingKey) -> Self {
        Self::new(vec![Entry { kid: None, key }])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.entries.iter().map(|entry| entry.key.algorithm())
    }

    #[allow(dead_code)]
    pub(super) fn has_kid(&self, kid: &str) -> bool {
        self.entries.iter().any(|entry| entry.kid.as_deref() == Some(kid))
    }

    /// The one key for a token. With a `kid` it is the one of that name; without, there must be only one that fits.
    /// A key without a name is taken by a token that names one only if it is the only key.
    pub(super) fn choose(&self, algorithm: Algorithm, kid: Option<&str>) -> Choice<'_> {
        if let ([only], true) =
            (&*self.entries, self.entries.iter().all(|entry| entry.kid.is_none()))
        {
            return if only.key.algorithm() == algorithm {
                Choice::Key(&only.key)
            } else {
                Choice::Refused(Fault::Algorithm)
            };
        }
        let named = |entry: &&Entry| kid.is_none() || entry.kid.as_deref() == kid;
        if kid.is_some() && !self.entries.iter().any(|entry| named(&entry)) {
            return Choice::UnknownKid;
        }
        let mut fitting =
            self.entries.iter().filter(named).filter(|entry| entry.key.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(entry), None) => Choice::Key(&entry.key),
            (None, _) => Choice::Refused(Fault::Algorithm),
            // Trying each of them would let a token choose, and make a bad one cost as many signatures.
            (Some(_), Some(_)) => Choice::Refused(Fault::AmbiguousKey),
        }
    }
}
