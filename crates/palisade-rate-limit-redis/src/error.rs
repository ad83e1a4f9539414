use std::{error::Error, fmt};

use palisade_core::{BoxError, ConfigError};
use palisade_rate_limit::KeyError;
use palisade_redis::RedisError;

/// Why the store has no verdict. It goes to the log and never to a client.
#[derive(Debug)]
pub(crate) enum Failure {
    Redis(RedisError),
    /// The answer is not that of the script.
    Unexpected,
    NoQuotas,
    UnknownAction,
    Unsupported(ConfigError),
}

impl Failure {
    /// Marks errors that concern one key.
    pub(crate) fn marked(self) -> BoxError {
        let is_of_key = match &self {
            Self::Redis(error) => error.is_of_key(),
            _ => true,
        };
        if is_of_key { KeyError::new(self).into() } else { self.into() }
    }
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
            Self::Unexpected => f.write_str("redis: the answer does not fit the demand"),
            Self::UnknownAction => f.write_str("redis: an action that this store does not know"),
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
            Self::Unexpected | Self::NoQuotas | Self::UnknownAction => None,
        }
    }
}
