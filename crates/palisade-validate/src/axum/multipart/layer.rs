use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use palisade_core::{ApiError, Body, BytesBody, ErrorContext, HttpResponse, ReturnsSend};
use tower_layer::Layer;
use tower_service::Service;

use super::Uploads;

/// The error for which a form was rejected while its handler was reading it.
#[derive(Clone, Debug, Default)]
pub(super) struct Breach(Arc<OnceLock<ApiError>>);

impl Breach {
    /// Returns the breach of the layer outside, or a new one that only the extractor uses.
    pub(super) fn from_extensions(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    pub(super) fn get(&self) -> Option<&ApiError> {
        self.0.get()
    }

    /// Records an error and returns the first one.
    pub(super) fn of_error(&self, error: ApiError) -> ApiError {
        self.0.get_or_init(|| error).clone()
    }
}

/// [`Uploads`] as a tower layer. Made by [`Uploads::layer`].
#[derive(Clone, Debug)]
pub struct UploadsLayer {
    uploads: Uploads,
}

impl Uploads {
    /// Returns the tower layer that applies these limits to the extractors inside.
    ///
    /// The error of a rejected [`MultipartStream`](crate::MultipartStream) is the response, even if the handler ignores it.
    pub fn layer(self) -> UploadsLayer {
        UploadsLayer { uploads: self }
    }
}

impl<S> Layer<S> for UploadsLayer {
    type Service = UploadsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UploadsService { inner, uploads: self.uploads.clone() }
    }
}

/// A service with the limits of [`Uploads`].
#[derive(Clone, Debug)]
pub struct UploadsService<S> {
    inner: S,
    uploads: Uploads,
}

impl<S, ReqB> Service<Request<ReqB>> for UploadsService<S>
where
    S: ReturnsSend<ReqB>,
    S::Response: HttpResponse<Body: BytesBody + Send + 'static>,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let breach = Breach::default();
        let context = ErrorContext::of_request(&request);
        request.extensions_mut().insert(self.uploads.clone());
        request.extensions_mut().insert(breach.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            match breach.get() {
                // The handler has half a form, also if it ignored the error or returned another one.
                Some(error) => Ok(context.render(error.clone()).map(Body::full)),
                None => Ok(answer?.into_response()),
            }
        })
    }
}
