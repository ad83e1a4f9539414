use std::{fmt, future::Future, sync::Arc};

use palisade_core::{BoxError, BoxFuture, Origin};

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

/// Somebody elsewhere who knows the origins: a database, another service.
#[derive(Clone)]
pub(crate) struct Lookup(Arc<dyn Fn(String) -> Answer + Send + Sync>);

type Answer = BoxFuture<Result<bool, BoxError>>;

impl Lookup {
    pub(crate) fn new<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move |origin| {
            let answer = lookup(origin);
            Box::pin(async move { answer.await.map_err(Into::into) })
        }))
    }

    pub(crate) fn ask(&self, origin: &Origin<'_>) -> Answer {
        (self.0)(origin.as_str().to_owned())
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}
