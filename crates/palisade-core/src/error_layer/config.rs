use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::framework::FrameworkErrors;
use crate::{
    ApiError, BoxError, ErrorFormat,
    error::{ProblemTypes, chain, find_in_chain},
    panics::panicked,
};

/// The settings of an [`ErrorLayer`](crate::ErrorLayer).
#[derive(Clone, Default)]
pub(super) struct Config {
    pub(super) format: ErrorFormat,
    pub(super) negotiated: bool,
    pub(super) html: bool,
    pub(super) types: ProblemTypes,
    pub(super) framework: FrameworkErrors,
    pub(super) maps: Vec<Arc<Map>>,
}

/// Converts an error of the user's.
pub(super) type Map = dyn Fn(&(dyn Error + 'static)) -> Option<ApiError> + Send + Sync;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("format", &self.format)
            .field("negotiated", &self.negotiated)
            .field("maps", &self.maps.len())
            .finish_non_exhaustive()
    }
}

impl Config {
    pub(super) fn api_error(&self, error: BoxError) -> ApiError {
        let map = || chain(&*error).find_map(|error| self.maps.iter().find_map(|map| map(error)));
        let mapped = match catch_unwind(AssertUnwindSafe(map)) {
            Ok(mapped) => mapped,
            Err(panic) => return panicked(&*panic),
        };
        match mapped.or_else(|| find_in_chain(&*error)) {
            // The map has set a source itself.
            Some(found) if found.source().is_some() => found,
            Some(found) => found.with_source(error),
            None => ApiError::internal().with_source(error),
        }
    }
}
