use std::fmt;

/// Why a preflight is refused. The log says it; the client is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Origin,
    RepeatedMethod,
    Method,
    Header,
    TooManyHeaders,
    TooManyEmptyElements,
    Padding,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "the origin is not listed, or not one origin",
            Self::RepeatedMethod => "Access-Control-Request-Method came more than once",
            Self::Method => "the method is not listed (methods are case-sensitive)",
            Self::Header => "a requested header is not listed",
            Self::TooManyHeaders => "the requested headers are more than all listed ones together",
            Self::TooManyEmptyElements => {
                "Access-Control-Request-Headers has too many empty elements"
            }
            Self::Padding => "Access-Control-Request-Headers has too much white space",
        })
    }
}
