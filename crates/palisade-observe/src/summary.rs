use std::{net::IpAddr, time::Duration};

use http::{Method, StatusCode, Uri};
use palisade_core::{ClientIp, Principal, RequestId, Step};

use crate::TraceContext;

/// How a request ended.
///
/// ```
/// use palisade_observe::RequestEnd;
///
/// assert_eq!(RequestEnd::BodyFailed.name(), "body_failed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestEnd {
    /// The whole response was sent.
    Complete,
    /// The response's body failed.
    BodyFailed,
    /// The response's body panicked.
    BodyPanicked,
    /// The client disconnected during the response.
    Aborted,
    /// The client disconnected before the response began.
    Cancelled,
    /// The service failed, and no inner layer turned the error into a response.
    Failed,
    /// The service panicked, and no inner layer turned the panic into a response.
    Panicked,
}

impl RequestEnd {
    /// Returns the name of the end in the access log, such as `complete`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::BodyFailed => "body_failed",
            Self::BodyPanicked => "body_panicked",
            Self::Aborted => "aborted",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
        }
    }
}

/// The properties of a finished request.
pub(crate) struct Summary<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) trace: &'a TraceContext,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) route: Option<Box<str>>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_status: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) rate_limit: Option<&'a str>,
    pub(crate) end: RequestEnd,
    pub(crate) duration: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) client: Option<ClientIp>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) principal: Option<Principal>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
