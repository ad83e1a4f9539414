use std::{fmt, sync::Arc};

use http::Request;

/// Makes as many copies of one request as the measurement sends.
pub struct Requests<B> {
    name: String,
    make: Arc<dyn Fn() -> Request<B> + Send + Sync>,
}

impl<B> Requests<B> {
    /// Copies `request`.
    pub(crate) fn new(request: Request<B>) -> Self
    where
        B: Clone + Send + Sync + 'static,
    {
        let name = format!("{} {}", request.method(), request.uri());
        Self { name, make: Arc::new(move || request.clone()) }
    }

    /// Returns the requests with another body.
    pub(crate) fn map_body<T>(self, map: impl Fn(B) -> T + Send + Sync + 'static) -> Requests<T>
    where
        B: 'static,
    {
        let Self { name, make } = self;
        Requests { name, make: Arc::new(move || make().map(&map)) }
    }

    /// The method and the URI.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn make(&self) -> Request<B> {
        (self.make)()
    }
}

impl<B> Clone for Requests<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), make: Arc::clone(&self.make) }
    }
}

impl<B> fmt::Debug for Requests<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.name).finish()
    }
}
