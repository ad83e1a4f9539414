use std::{error::Error, fmt, sync::Arc};

use palisade_core::BoxError;

/// The keys of an issuer could not be loaded. The cause is its [source](Error::source).
#[derive(Clone)]
pub struct JwksError {
    from: Arc<str>,
    cause: Arc<dyn Error + Send + Sync>,
}

impl JwksError {
    pub(super) fn new(from: &Arc<str>, cause: impl Into<BoxError>) -> Self {
        Self { from: Arc::clone(from), cause: Arc::from(cause.into()) }
    }

    /// The causes in one line, outermost first: clients put the interesting one last.
    pub(super) fn causes(&self) -> String {
        let mut line = self.cause.to_string();
        let mut cause = self.cause.source();
        while let Some(inner) = cause {
            line = format!("{line}: {inner}");
            cause = inner.source();
        }
        line
    }
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of {} could not be loaded", self.from)
    }
}

impl fmt::Debug for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksError").field("from", &self.from).field("cause", &self.cause).finish()
    }
}

impl Error for JwksError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}
