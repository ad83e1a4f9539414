use std::{error::Error, io};

use super::ApiError;

/// Converts well-known errors of inner services. Searches the chain of sources.
pub(crate) fn find_in_chain(error: &(dyn Error + 'static)) -> Option<ApiError> {
    chain(error).find_map(known).or_else(|| request_body_broke_off(error)).or_else(|| {
        // I/O errors are converted last, because errors around or inside them are more specific.
        chain(error).find_map(|error| io_error(error.downcast_ref()?))
    })
}

/// An error and its sources.
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inside(*error))
}

/// An I/O error that carries another one names only that one's source as its own.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<ApiError> {
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
    #[cfg(feature = "hyper")]
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Only who calls another server meets these: a service never sees a request that is not whole up to its body.
        let of_a_client = error.is_canceled()
            || error.is_closed()
            || error.is_incomplete_message()
            || error.is_parse()
            || error.is_timeout();
        return of_a_client.then(ApiError::unavailable);
    }
    None
}

/// A body that cannot be read to its end is a bad request, if it is the request's: the error of one that belongs to an
/// answer of another server is wrapped in that of the client that fetched it.
#[cfg(feature = "hyper")]
fn request_body_broke_off(error: &(dyn Error + 'static)) -> Option<ApiError> {
    #[cfg(feature = "axum")]
    let error = match error.downcast_ref::<axum::Error>() {
        Some(error) => error.source()?,
        None => error,
    };
    let message = "the request body could not be read";
    error.is::<hyper::Error>().then(|| ApiError::bad_request().with_message(message))
}

#[cfg(not(feature = "hyper"))]
fn request_body_broke_off(_: &(dyn Error + 'static)) -> Option<ApiError> {
    None
}

/// Converts timeouts and unreachable services. All others, such as a missing file, are failures of the service.
fn io_error(error: &io::Error) -> Option<ApiError> {
    match error.kind() {
        io::ErrorKind::TimedOut => Some(ApiError::deadline_exceeded()),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Some(ApiError::unavailable()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: impl Error + 'static) -> Option<String> {
        find_in_chain(&error).map(|error| error.code().to_owned())
    }

    #[test]
    fn io_errors_are_mapped_by_kind_but_a_missing_file_is_not_404() {
        for (kind, is) in [
            (io::ErrorKind::TimedOut, Some("DEADLINE_EXCEEDED")),
            (io::ErrorKind::ConnectionRefused, Some("UNAVAILABLE")),
            (io::ErrorKind::HostUnreachable, Some("UNAVAILABLE")),
            (io::ErrorKind::NotFound, None),
            (io::ErrorKind::PermissionDenied, None),
            (io::ErrorKind::InvalidData, None),
        ] {
            assert_eq!(code(io::Error::from(kind)).as_deref(), is, "{kind:?}");
            assert_eq!(code(io::Error::new(kind, "why")).as_deref(), is, "{kind:?}");
        }
    }

    #[test]
    fn api_error_inside_an_io_error_precedes_its_kind() {
        let carrying = |kind| io::Error::new(kind, ApiError::conflict());
        assert_eq!(code(carrying(io::ErrorKind::Other)).as_deref(), Some("CONFLICT"));
        assert_eq!(code(carrying(io::ErrorKind::TimedOut)).as_deref(), Some("CONFLICT"));
        let twice = io::Error::other(carrying(io::ErrorKind::Other));
        assert_eq!(code(twice).as_deref(), Some("CONFLICT"));
    }
}
