use std::{fmt, sync::Arc};

use palisade_core::Origin;

/// A predicate about an origin.
#[derive(Clone)]
pub(crate) struct Predicate(Arc<dyn Fn(&Origin<'_>) -> bool + Send + Sync>);

impl Predicate {
    pub(crate) fn new(predicate: impl Fn(&Origin<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(predicate))
    }

    pub(crate) fn allows(&self, origin: &Origin<'_>) -> bool {
        (self.0)(origin)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}
