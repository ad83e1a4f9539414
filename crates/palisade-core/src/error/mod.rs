//! The error of all protocols, its formats, and the layer that renders it.

mod accept;
mod api_error;
mod bodies;
mod code;
mod context;
mod exchange;
mod format;
mod framework;
mod grpc;
mod grpc_detail;
mod grpc_details;
#[cfg(feature = "tonic")]
mod grpc_read;
mod grpc_stream;
mod issue;
mod issue_code;
mod issue_view;
mod kinds;
mod known;
mod layer;
mod leave_as_is;
mod log;
mod policies;
mod problem_types;
mod quota_violation;
mod reading;
mod service;
mod to_api_error;

pub use api_error::ApiError;
pub use code::ErrorCode;
pub use context::ErrorContext;
pub(crate) use exchange::Exchange;
pub use format::ErrorFormat;
pub use framework::FrameworkReason;
#[cfg(feature = "axum")]
pub(crate) use framework::short;
pub(crate) use grpc::Wire;
pub use grpc::{GrpcCode, is_grpc, is_grpc_web};
pub use grpc_detail::GrpcDetail;
pub use grpc_stream::GrpcStream;
pub use issue::{Issue, IssueSource};
pub use issue_code::IssueCode;
pub use issue_view::IssueView;
#[cfg(feature = "axum")]
pub(crate) use known::chain;
pub(crate) use known::find_in_chain;
pub use layer::ErrorLayer;
pub use leave_as_is::LeaveAsIs;
pub(crate) use policies::Errors;
pub use policies::{ErrorPolicyFuture, ErrorPolicyLayer, ErrorPolicyService};
pub use quota_violation::QuotaViolation;
pub use service::{ErrorFuture, ErrorService};
pub use to_api_error::ToApiError;

#[cfg(feature = "tonic")]
pub(crate) use context::OF_THE_BODY;
#[cfg(feature = "tonic")]
pub(crate) use {
    grpc::{
        GRPC_MESSAGE, GRPC_RETRY_PUSHBACK_MS, GRPC_STATUS, GRPC_STATUS_DETAILS, X_REQUEST_ID,
        metadata, retry_pushback, short as short_message,
    },
    grpc_details::encode as encode_grpc_details,
    grpc_read::add_details as add_grpc_details,
};
