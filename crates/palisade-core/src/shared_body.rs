//! Layers of one stack share one response body: an outer layer takes the [`Body`] of an inner one over instead of wrapping it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Body, HttpResponse, http_response::sealed::Sealed};

/// A layer directly around another layer of Palisade. Both share the response body of the inner one.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ShareBody<L>(pub L);

impl<S, L: Layer<SharingBody<S>>> Layer<S> for ShareBody<L> {
    type Service = L::Service;

    fn layer(&self, inner: S) -> L::Service {
        self.0.layer(SharingBody(inner))
    }
}

/// A service of Palisade whose response body is taken over by the layer around it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct SharingBody<S>(S);

impl<S, R> Service<R> for SharingBody<S>
where
    S: Service<R>,
    S::Response: OwnResponse,
{
    type Response = Shared<<S::Response as OwnResponse>::Inner>;
    type Error = S::Error;
    type Future = SharingBodyFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        SharingBodyFuture { inner: self.0.call(request) }
    }
}

pin_project! {
    /// The future of [`SharingBody`].
    #[doc(hidden)]
    #[must_use = "futures do nothing unless polled"]
    pub struct SharingBodyFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F> fmt::Debug for SharingBodyFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharingBodyFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for SharingBodyFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: OwnResponse,
{
    type Output = Result<Shared<R::Inner>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map(|outcome| outcome.map(R::share))
    }
}

/// The response of a layer of Palisade.
#[doc(hidden)]
pub trait OwnResponse: Sealed {
    /// The body inside [`Body`].
    type Inner;

    fn share(self) -> Shared<Self::Inner>;
}

#[diagnostic::do_not_recommend]
impl<B> OwnResponse for Response<Body<B>> {
    type Inner = B;

    #[inline]
    fn share(self) -> Shared<B> {
        Shared(self)
    }
}

/// A response whose [`Body`] is that of the layer around it as well.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shared<B>(Response<Body<B>>);

impl<B> Sealed for Shared<B> {}

#[diagnostic::do_not_recommend]
impl<B> HttpResponse for Shared<B> {
    type Body = B;

    #[inline]
    fn into_response(self) -> Response<Body<B>> {
        self.0
    }

    #[inline]
    fn status(&self) -> StatusCode {
        self.0.status()
    }
}
