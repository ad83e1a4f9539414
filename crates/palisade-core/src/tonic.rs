//! Support for tonic: conversions between errors and statuses, peers from `TcpConnectInfo`.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, header};
use tonic::{Code, Status, metadata::MetadataMap, transport::server::TcpConnectInfo};

use crate::{
    ApiError, GrpcCode,
    error::{
        GRPC_MESSAGE, GRPC_RETRY_PUSHBACK_MS, GRPC_STATUS, GRPC_STATUS_DETAILS, OF_THE_BODY,
        X_REQUEST_ID, add_grpc_details, encode_grpc_details, metadata, retry_pushback,
        short_message,
    },
};

impl From<ApiError> for Status {
    /// Converts code, message, details, and headers to metadata.
    ///
    /// The error becomes the source of the status, which is not sent: an outer [`ErrorLayer`](crate::ErrorLayer) finds it
    /// there, and adds data of the request.
    ///
    /// ```
    /// use palisade_core::ApiError;
    /// use tonic::{Code, Status};
    ///
    /// fn rename() -> Result<(), Status> {
    ///     Err(ApiError::already_exists().with_code("NAME_TAKEN").with_message("the name is taken"))?
    /// }
    /// assert_eq!(rename().unwrap_err().code(), Code::AlreadyExists);
    /// ```
    fn from(error: ApiError) -> Self {
        let mut metadata = metadata(error.headers());
        if let Some(pushback) = retry_pushback(&error) {
            metadata.insert(GRPC_RETRY_PUSHBACK_MS, pushback);
        }
        let mut status = Self::with_details_and_metadata(
            Code::from_i32(error.grpc_code() as i32),
            short_message(error.message()),
            encode_grpc_details(&error, "", None).into(),
            MetadataMap::from_headers(metadata),
        );
        status.set_source(Arc::new(error));
        status
    }
}

impl From<Status> for ApiError {
    /// Converts a status to the kind of error with its code, with the status as source.
    ///
    /// Known details become code, field, issues, quotas and retry delay; unknown details are kept for gRPC clients, and
    /// metadata becomes headers. `DebugInfo`, and the message of an HTTP 5xx such as `INTERNAL` or `UNKNOWN`, are logged and
    /// not sent to clients. A status that was created from an `ApiError` becomes that error again.
    ///
    /// ```
    /// use palisade_core::ApiError;
    ///
    /// let error = ApiError::from(tonic::Status::not_found("there is no such order"));
    /// assert_eq!((error.status().as_u16(), error.message()), (404, "there is no such order"));
    /// ```
    fn from(status: Status) -> Self {
        if let Some(error) = made_of(&status) {
            return error;
        }
        let mut error = Self::of_grpc_code(GrpcCode::from_number(status.code() as i32));
        if !error.status().is_server_error() && !status.message().is_empty() {
            error = error.with_message(status.message().to_owned());
        }
        error = with_headers(error, status.metadata().as_ref());
        add_grpc_details(error, status.details()).with_source(status)
    }
}

/// The error that a response's status was made of. A status that the service wrote itself is its own business.
pub(crate) fn error_behind(response: &Extensions) -> Option<ApiError> {
    made_of(response.get::<Status>()?)
}

/// The error that a status was made of, with the metadata that was added since.
fn made_of(status: &Status) -> Option<ApiError> {
    let error: &ApiError = status.source()?.downcast_ref()?;
    Some(with_headers(error.clone(), status.metadata().as_ref()))
}

/// Belongs to one connection, or to the one answer that it came with.
const OF_THE_CONNECTION: [HeaderName; 11] = [
    header::CONNECTION,
    header::DATE,
    header::TE,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("grpc-encoding"),
    GRPC_STATUS,
    GRPC_MESSAGE,
    GRPC_STATUS_DETAILS,
    // The id of an outgoing request, which must not replace that of the answered request.
    X_REQUEST_ID,
];

/// Takes metadata over as headers, and the advice in it as advice.
fn with_headers(mut error: ApiError, metadata: &HeaderMap) -> ApiError {
    let number = |name: HeaderName| metadata.get(name)?.to_str().ok()?.parse::<u64>().ok();
    if error.retry_after().is_none() {
        let pushback = number(GRPC_RETRY_PUSHBACK_MS).map(Duration::from_millis);
        let wait = pushback.or_else(|| number(header::RETRY_AFTER).map(Duration::from_secs));
        error = wait.into_iter().fold(error, ApiError::with_retry_after);
    }
    let ours = |name: &HeaderName| {
        *name == GRPC_RETRY_PUSHBACK_MS
            || OF_THE_BODY.contains(name)
            || OF_THE_CONNECTION.contains(name)
    };
    let headers = error.headers_mut();
    for name in metadata.keys().filter(|name| !ours(name)) {
        headers.remove(name);
        for value in metadata.get_all(name) {
            let _ = headers.try_append(name.clone(), value.clone());
        }
    }
    error
}

pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<TcpConnectInfo>()?.remote_addr
}

#[cfg(unix)]
pub(crate) fn is_unix_peer(extensions: &Extensions) -> bool {
    extensions.get::<tonic::transport::server::UdsConnectInfo>().is_some()
}
