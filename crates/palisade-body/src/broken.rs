use palisade_core::{ApiError, BoxError};

/// Why a response breaks off.
pub(crate) struct Broken {
    pub(crate) error: ApiError,
    /// The body's error, if it is not `error` itself.
    pub(crate) body_error: Option<BoxError>,
}
