use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body as HttpBody;
use palisade_core::{AcceptsBody, Body, BoxError, BoxFuture};
use tower_service::Service;

use super::{
    answer::{Answer, Client, from_stored},
    exchange::exchange,
    settings::{Access, Settings},
};
use crate::{entry::KeyRef, rules::CacheStatus};

/// A service behind a [`Cache`](crate::Cache).
#[derive(Clone)]
pub struct CacheService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> CacheService<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for CacheService<S>
where
    S: AcceptsBody<
            Body<B>,
            Response: Send,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
            Error: Send,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = CacheFuture<S::ResponseBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        if let Some(hit) = hit(&self.settings, &head, &body) {
            return CacheFuture { kind: Kind::Hit { answer: Some(hit) } };
        }
        // The service that was polled ready is the one that must be called.
        let fresh = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, fresh);
        let future = exchange(Arc::clone(&self.settings), inner, head, body);
        CacheFuture { kind: Kind::Exchange { future: Box::pin(future) } }
    }
}

/// Returns a fresh response, if it is there at once: no allocation but for its header fields.
fn hit<B: HttpBody, R>(settings: &Settings, head: &request::Parts, body: &B) -> Option<Answer<R>> {
    let Access::Lookup(scope) = settings.access(head, !body.is_end_stream()) else { return None };
    let stored = settings.find_now(KeyRef::of_request(head, scope)?, &head.headers)?;
    Some(from_stored(settings, &stored, &Client::of_request(head), CacheStatus::Hit))
}

/// The future of [`CacheService`].
#[must_use = "futures do nothing unless polled"]
pub struct CacheFuture<R, E> {
    kind: Kind<R, E>,
}

/// A response is large, and a box would be one allocation more for each hit.
#[allow(clippy::large_enum_variant)]
enum Kind<R, E> {
    Hit { answer: Option<Answer<R>> },
    Exchange { future: BoxFuture<Result<Answer<R>, E>> },
}

/// Nothing in it is pinned by the place where it is.
impl<R, E> Unpin for CacheFuture<R, E> {}

impl<R, E> fmt::Debug for CacheFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

impl<R, E> Future for CacheFuture<R, E> {
    type Output = Result<Response<Body<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.kind {
            Kind::Hit { answer } => {
                let answer = answer.take();
                Poll::Ready(Ok(answer.expect("a CacheFuture was polled after it had completed")))
            }
            Kind::Exchange { future } => future.as_mut().poll(cx),
        }
    }
}
