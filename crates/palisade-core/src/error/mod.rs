//! One error for every protocol: what it says, how it looks, and the layer that turns everything into it.

mod api_error;
mod context;
mod format;
mod grpc;
mod grpc_details;
mod issue;
mod issue_view;
mod kinds;
mod known;
mod layer;
mod quota_violation;

pub use api_error::ApiError;
pub use context::ErrorContext;
pub use format::ErrorFormat;
pub use grpc::GrpcCode;
pub use issue::{Issue, IssueSource};
pub use issue_view::IssueView;
pub(crate) use known::find_in_chain;
pub use layer::{ErrorFuture, ErrorLayer, ErrorService};
pub use quota_violation::QuotaViolation;
