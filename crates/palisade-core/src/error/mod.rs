//! The error of all protocols, and its formats. [`ApiError`] is the beginning; [`ErrorContext::render`] makes a response of it.
//!
//! Nothing here knows of policies or services: the layer that turns failures into responses is `error_layer`.

mod api_error;
mod bodies;
mod body_fields;
mod code;
mod context;
mod format;
mod grpc;
mod grpc_code;
mod grpc_detail;
mod grpc_details;
mod grpc_message;
#[cfg(feature = "tonic")]
mod grpc_read;
mod grpc_stream;
mod issue;
mod issue_code;
mod issue_lists;
mod issue_view;
mod kinds;
mod known;
mod leave_as_is;
mod log;
mod problem_types;
mod quota_violation;
mod render;
mod rendered;
mod to_api_error;
mod wire;

pub use api_error::ApiError;
pub(crate) use body_fields::{is_of_the_body, make_room};
pub use code::ErrorCode;
pub use context::ErrorContext;
pub use format::ErrorFormat;
pub(crate) use grpc::X_REQUEST_ID;
pub use grpc_code::GrpcCode;
pub use grpc_detail::GrpcDetail;
pub use grpc_stream::GrpcStream;
pub use issue::{Issue, IssueSource};
pub use issue_code::IssueCode;
pub use issue_view::IssueView;
pub(crate) use kinds::METHOD_NOT_ALLOWED;
pub(crate) use known::{chain, find_in_chain};
pub use leave_as_is::LeaveAsIs;
pub(crate) use log::log;
pub(crate) use problem_types::ProblemTypes;
pub use quota_violation::QuotaViolation;
pub(crate) use rendered::Rendered;
pub use to_api_error::ToApiError;
pub(crate) use wire::Wire;
pub use wire::{is_grpc, is_grpc_web};

#[cfg(feature = "tonic")]
pub(crate) use {
    body_fields::OF_THE_BODY,
    grpc::{
        GRPC_MESSAGE, GRPC_RETRY_PUSHBACK_MS, GRPC_STATUS, GRPC_STATUS_DETAILS, metadata,
        retry_pushback,
    },
    grpc_details::encode as encode_grpc_details,
    grpc_message::short as short_message,
    grpc_read::add_details as add_grpc_details,
};
