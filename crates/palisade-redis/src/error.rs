use std::{error::Error, fmt, time::Duration};

/// Why there is no answer. It goes to the log and never to a client, and has no credentials in it.
#[derive(Clone)]
pub struct RedisError(Failure);

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl fmt::Debug for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for RedisError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Failure::Unreachable(error) | Failure::Refused(error) => Some(error),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// There is no connection after so long.
    NoConnection(Duration),
    /// There is no answer after so long.
    NoAnswer(Duration),
    /// Connecting failed, now or a moment ago.
    Unreachable(redis::RedisError),
    /// The server answered with an error, or the connection broke.
    Refused(redis::RedisError),
    /// The server answered, but not what it was asked.
    Unexpected,
    /// The node that should be the master is none.
    NotMaster,
    /// No sentinel knows the master.
    NoMaster(String),
    /// The future was polled outside of a tokio runtime.
    NoRuntime,
    /// The runtime that was connecting was shut down.
    Abandoned,
}

impl Failure {
    /// True if the connection broke before it answered.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, Self::Refused(error) if error.is_unrecoverable_error())
    }

    /// True if the server does not know a script by its hash.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code() == Some("NOSCRIPT"))
    }

    /// True if it takes another connection: this one is gone, or leads to a server that is no master any more, or has become
    /// one that asks who we are.
    pub(crate) fn calls_for_another_connection(&self) -> bool {
        let by_code = |error: &redis::RedisError| {
            matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "NOAUTH"))
        };
        self.is_hang_up() || matches!(self, Self::Refused(error) if by_code(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis: ")?;
        match self {
            Self::NoConnection(waited) => write!(f, "no connection within {waited:?}"),
            Self::NoAnswer(waited) => write!(f, "no answer within {waited:?}"),
            Self::Unreachable(error) => write!(f, "cannot connect: {error}"),
            Self::Refused(error) => write!(f, "{error}"),
            Self::Unexpected => f.write_str("an answer that is none to a script"),
            Self::NotMaster => f.write_str("the node that sentinels call the master is a replica"),
            Self::NoMaster(name) => write!(f, "no sentinel knows a master named `{name}`"),
            Self::NoRuntime => f.write_str("polled outside of a tokio runtime"),
            Self::Abandoned => f.write_str("the runtime shut down while connecting"),
        }
    }
}
