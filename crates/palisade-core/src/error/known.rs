use std::error::Error;

use super::ApiError;

/// What an inner service's error is to a client, if it is one that the field agrees on. Asked of each error in a
/// chain of sources.
pub(crate) fn find_in_chain(error: &(dyn Error + 'static)) -> Option<ApiError> {
    chain(error).find_map(known)
}

/// An error and its sources.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

pub(super) fn known(error: &(dyn Error + 'static)) -> Option<ApiError> {
    if let Some(error) = error.downcast_ref::<ApiError>() {
        return Some(error.clone());
    }
    if error.is::<http_body_util::LengthLimitError>() {
        return Some(ApiError::payload_too_large());
    }
    #[cfg(feature = "tower")]
    {
        if error.is::<tower::timeout::error::Elapsed>() {
            return Some(ApiError::deadline_exceeded());
        }
        if error.is::<tower::load_shed::error::Overloaded>() {
            return Some(ApiError::unavailable());
        }
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return Some(status.clone().into());
    }
    None
}
