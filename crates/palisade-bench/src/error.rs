use std::{fmt, io, path::PathBuf};

use http::StatusCode;

/// Why a measurement, or the check of one, failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to send.
    NoRequests,
    /// The first request got no response: the service or the body of its response failed, panicked or did not end.
    ServiceFailed {
        /// The outermost steps up to this one were measured.
        step: String,
        /// The request, or the set of a comparison.
        request: String,
        /// The cause.
        why: String,
    },
    /// The status of the responses to one request changed.
    StatusChanged {
        /// The outermost steps up to this one were measured.
        step: String,
        /// The status of the first responses.
        first: StatusCode,
        /// The later status; `None` if the service failed.
        later: Option<StatusCode>,
    },
    /// Instructions cannot be counted in the way that was asked for.
    NoInstructions(String),
    /// The runtime or a socket could not be made.
    Runtime(io::Error),
    /// A client did not get a response.
    Client(String),
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The chart could not be drawn.
    Chart(String),
    /// Figures differ from those of a stored report: a line each.
    Changed {
        /// The stored report.
        path: PathBuf,
        /// The figures with their old and new values.
        figures: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequests => f.write_str(
                "nothing to measure; give at least one request, or one subject for each set",
            ),
            Self::ServiceFailed { step, request, why } => {
                write!(f, "{request}, with the steps up to {step:?}: {why}")
            }
            Self::StatusChanged { step, first, later: Some(later) } => write!(
                f,
                "the status up to step {step:?} changed from {first} to {later} during the measurement; \
                 raise limits that many requests reach"
            ),
            Self::StatusChanged { step, first, later: None } => {
                write!(f, "the service up to step {step:?} answered {first} first and failed later")
            }
            Self::NoInstructions(why) => write!(f, "no instructions counted: {why}"),
            Self::Runtime(error) => write!(f, "the runtime could not be started: {error}"),
            Self::Client(why) => write!(f, "the client of the load failed: {why}"),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Chart(why) => write!(f, "the chart could not be drawn: {why}"),
            Self::Changed { path, figures } => {
                writeln!(
                    f,
                    "{} figures differ from {}. If the change is meant, write the report again.",
                    figures.len(),
                    path.display()
                )?;
                figures.iter().try_for_each(|figure| writeln!(f, "  {figure}"))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Runtime(error) | Self::File { error, .. } => Some(error),
            _ => None,
        }
    }
}
