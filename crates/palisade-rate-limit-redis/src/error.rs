use std::{error::Error, fmt};

use palisade_core::ConfigError;
use palisade_redis::RedisError;

/// Why the store has no verdict. It goes to the log and never to a client.
#[derive(Debug)]
pub(crate) enum Failure {
    Redis(RedisError),
    /// The server answered, but not what it was asked.
    Unexpected,
    NoQuotas,
    Unsupported(ConfigError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => write!(f, "{error}"),
            Self::Unexpected => f.write_str("redis: an answer that is none to a demand"),
            Self::NoQuotas => f.write_str("redis: a demand without quotas"),
            Self::Unsupported(error) => write!(f, "redis: {error}"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Redis(error) => error.source(),
            Self::Unsupported(error) => Some(error),
            Self::Unexpected | Self::NoQuotas => None,
        }
    }
}
