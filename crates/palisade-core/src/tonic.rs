//! What tonic's users need of core: errors as statuses, peers from `TcpConnectInfo`.

use std::net::SocketAddr;

use http::Extensions;
use tonic::{Code, Status, metadata::MetadataMap, transport::server::TcpConnectInfo};

use crate::{ApiError, GrpcCode};

impl From<ApiError> for Status {
    /// Code, message and the headers owed, as metadata. The source stays behind.
    fn from(error: ApiError) -> Self {
        Self::with_metadata(
            Code::from_i32(error.grpc_code() as i32),
            error.message(),
            MetadataMap::from_headers(error.headers().clone()),
        )
    }
}

impl From<Status> for ApiError {
    /// The kind of error that has this code. The status becomes the source.
    fn from(status: Status) -> Self {
        let error = ApiError::of_grpc_code(GrpcCode::from_number(status.code() as i32));
        // What an INTERNAL or UNKNOWN status says was written for developers.
        if error.status().is_server_error() {
            error.with_source(status)
        } else {
            error.with_message(status.message().to_owned()).with_source(status)
        }
    }
}

pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<TcpConnectInfo>()?.remote_addr
}

#[cfg(unix)]
pub(crate) fn is_unix_peer(extensions: &Extensions) -> bool {
    extensions.get::<tonic::transport::server::UdsConnectInfo>().is_some()
}
