//! The errors of the service: one enum in place of a class for each, and of a wrapper around each handler.

use std::fmt;

use palisade::{ApiError, ToApiError};

/// A failure of the service, without a status or a text for clients.
#[derive(Debug)]
pub(crate) enum AppError {
    /// There is no such item or project.
    NotFound,
    /// Another item has the name.
    NameTaken,
    /// The database failed.
    Database(std::io::Error),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::NameTaken => "the name is taken",
            Self::Database(_) => "the database failed",
        })
    }
}

impl std::error::Error for AppError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::NotFound | Self::NameTaken => None,
        }
    }
}

impl ToApiError for AppError {
    fn to_api_error(&self) -> ApiError {
        match self {
            Self::NotFound => ApiError::not_found(),
            Self::NameTaken => ApiError::conflict()
                .with_code("NAME_TAKEN")
                .with_message("an item with this name exists")
                .with_field("name"),
            // The cause is in the log, and the client sees 503.
            Self::Database(_) => ApiError::unavailable(),
        }
    }
}
