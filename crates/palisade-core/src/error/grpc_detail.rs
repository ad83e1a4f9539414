use std::{borrow::Cow, fmt};

use bytes::Bytes;

/// The prefix of the messages' type URLs.
pub(super) const TYPES: &str = "type.googleapis.com/google.rpc.";

/// A detail of a gRPC status, as a `google.protobuf.Any` holds it.
///
/// ```
/// use palisade_core::GrpcDetail;
///
/// let detail = GrpcDetail::new("type.googleapis.com/google.rpc.RequestInfo", vec![0x0a, 0x01, b'7']);
/// assert!(detail.type_url.ends_with("RequestInfo"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcDetail {
    /// The type of the message: `type.googleapis.com/` and its full name.
    pub type_url: Cow<'static, str>,
    /// The message, encoded.
    pub value: Bytes,
}

impl GrpcDetail {
    /// An encoded message of this type.
    pub fn new(type_url: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        Self { type_url: type_url.into(), value: value.into() }
    }

    /// True of the message of this name in `google.rpc`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.type_url.strip_prefix(TYPES) == Some(name)
    }
}

impl fmt::Debug for GrpcDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.type_url, self.value.len())
    }
}
