/// What a request without a key gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It is rejected with the error of the [`Key`](crate::Key): 500 if a layer that sets the key is missing.
    #[default]
    Refuse,
    /// It is admitted and not counted. Use this only if another limit counts it.
    Skip,
    /// It is counted together with all other requests without a key.
    Share,
}
