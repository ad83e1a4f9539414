use std::fmt;

use http::{HeaderName, StatusCode};
use palisade_core::{ErrorCode, GrpcCode};

pub(crate) const ORIGIN_NOT_ALLOWED: ErrorCode = ErrorCode::new(
    "ORIGIN_NOT_ALLOWED",
    StatusCode::FORBIDDEN,
    GrpcCode::PermissionDenied,
    "pages of this origin may not send requests here",
)
.about("A browser sent it for a page of an origin that is not listed.");

/// The header with the reason of a rejection in debug mode.
pub(crate) static REFUSED: HeaderName = HeaderName::from_static("x-cors-refused");

/// The reason of a rejection, for the log, and in debug mode for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Origin,
    AmbiguousPath,
    RepeatedMethod,
    Method,
    Header,
    Authorization,
    TooManyHeaders,
    TooManyEmptyElements,
    Padding,
}

impl Refusal {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "the origin is not listed, or not one origin: see allow_origin",
            Self::AmbiguousPath => {
                "the path can be read in two ways, and on_path has rules for some paths"
            }
            Self::RepeatedMethod => "Access-Control-Request-Method came more than once",
            Self::Method => {
                "the method is not listed (methods are case-sensitive): see allow_methods"
            }
            Self::Header => "a requested header is not listed: see allow_headers",
            Self::Authorization => {
                "any_header_but_authorization does not allow Authorization: see any_header"
            }
            Self::TooManyHeaders => "the requested headers are more than all listed ones together",
            Self::TooManyEmptyElements => {
                "Access-Control-Request-Headers has too many empty elements"
            }
            Self::Padding => "Access-Control-Request-Headers has too much white space",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
