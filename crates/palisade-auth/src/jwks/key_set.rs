use palisade_core::BoxError;

/// What the bytes of a key set are parsed into.
pub(crate) trait KeySet: Send + Sync + Sized + 'static {
    /// Reads a document of at most 256 KiB. A set without keys is valid: the issuer has withdrawn them. An error means
    /// that the document is not a key set, and the keys of the last fetch stay. Caps the number of keys.
    ///
    /// `previous` is the set of the last fetch, so that only changes are logged.
    fn parse(document: &[u8], previous: Option<&Self>) -> Result<Self, BoxError>;

    /// Returns true if the issuer has published a key with this id, including a key that cannot be used: to ask the
    /// issuer again would not help.
    fn has_key_id(&self, id: &str) -> bool;

    /// Returns the number of keys that can be used.
    fn len(&self) -> usize;
}
