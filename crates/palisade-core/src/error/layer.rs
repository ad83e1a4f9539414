use std::{
    any::Any,
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    ApiError, ErrorContext, ErrorFormat,
    context::{OF_THE_BODY, Rendered},
    known::{chain, known},
};
use crate::{Body, BoxError, vary_by};

/// Turns everything that goes wrong inside it into one error format. It belongs outside everything that can fail.
///
/// - Refusals, and [`ApiError`]s that handlers return, are rendered in the format chosen here, with the request id.
/// - An inner service's `Err(_)` becomes a response: your own types by [`map`](ErrorLayer::map), then tower's timeout
///   and load-shed errors (feature `tower`), body length limits, `tonic::Status` (feature `tonic`); whatever is not
///   known is a 500. The service's error is `Infallible` from here on.
/// - A panic is a 500, and the connection lives.
/// - Each 5xx is logged with its cause and the request id, at level ERROR, target `palisade::errors`.
///
/// A response that the service made itself, whatever its status, is not touched: only a response that carries an
/// [`ApiError`] in its extensions is.
///
/// ```
/// use palisade_core::{ApiError, ErrorFormat, ErrorLayer};
///
/// #[derive(Debug)]
/// struct OutOfStock;
/// # impl std::fmt::Display for OutOfStock { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("out of stock") } }
/// # impl std::error::Error for OutOfStock {}
///
/// let errors = ErrorLayer::new()
///     .format(ErrorFormat::Problem)
///     .map(|_: &OutOfStock| ApiError::conflict().with_code("OUT_OF_STOCK").with_message("come back tomorrow"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ErrorLayer {
    config: Arc<Config>,
}

#[derive(Clone, Default)]
struct Config {
    format: ErrorFormat,
    maps: Vec<Arc<Map>>,
}

type Map = dyn Fn(&(dyn Error + 'static)) -> Option<ApiError> + Send + Sync;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("format", &self.format)
            .field("maps", &self.maps.len())
            .finish()
    }
}

impl ErrorLayer {
    /// The envelope format, and the errors that are known anyway.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses how errors look.
    #[must_use]
    pub fn format(mut self, format: ErrorFormat) -> Self {
        Arc::make_mut(&mut self.config).format = format;
        self
    }

    /// Says what an error of the inner service is to a client. It is found anywhere in the chain of sources; the
    /// first map that fits wins, and comes before the errors that are known anyway.
    #[must_use]
    pub fn map<E, F>(mut self, map: F) -> Self
    where
        E: Error + 'static,
        F: Fn(&E) -> ApiError + Send + Sync + 'static,
    {
        let map: Arc<Map> = Arc::new(move |error| error.downcast_ref::<E>().map(&map));
        Arc::make_mut(&mut self.config).maps.push(map);
        self
    }
}

impl Config {
    fn api_error(&self, error: BoxError) -> ApiError {
        let map = || chain(&*error).find_map(|error| self.maps.iter().find_map(|map| map(error)));
        let mapped = match catch_unwind(AssertUnwindSafe(map)) {
            Ok(mapped) => mapped,
            Err(panic) => return panicked(&*panic),
        };
        let found = mapped.or_else(|| chain(&*error).find_map(known));
        match found {
            // A map that copied an error's own cause knows better than we do.
            Some(found) if found.source().is_some() => found,
            Some(found) => found.with_source(error),
            None => ApiError::internal().with_source(error),
        }
    }
}

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorService { inner, config: Arc::clone(&self.config), unready: None }
    }
}

/// A service whose failures are responses. Made by [`ErrorLayer`].
#[derive(Debug)]
pub struct ErrorService<S> {
    inner: S,
    config: Arc<Config>,
    /// Why the inner service will never be ready; the next call answers with it.
    unready: Option<ApiError>,
}

impl<S: Clone> Clone for ErrorService<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config), unready: None }
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for ErrorService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Body<ResB>>;
    type Error = Infallible;
    type Future = ErrorFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx).map(|ready| {
            if let Err(error) = ready {
                self.unready = Some(self.config.api_error(error.into()));
            }
            Ok(())
        })
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let context = ErrorContext::of_request(&request);
        let (request, head) = if matches!(self.config.format, ErrorFormat::Custom(_)) {
            let (head, body) = request.into_parts();
            (Request::from_parts(head.clone(), body), Some(Box::new(head)))
        } else {
            (request, None)
        };
        let state = match self.unready.take() {
            Some(error) => State::Failed { error: Some(error) },
            None => match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
                Ok(future) => State::Running { future },
                Err(panic) => State::Failed { error: Some(panicked(&*panic)) },
            },
        };
        ErrorFuture {
            state,
            exchange: Exchange { config: Arc::clone(&self.config), context, head },
        }
    }
}

/// What the answer to one request is made with.
struct Exchange {
    config: Arc<Config>,
    context: ErrorContext,
    head: Option<Box<request::Parts>>,
}

pin_project! {
    /// The future of [`ErrorService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ErrorFuture<F> {
        #[pin]
        state: State<F>,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Running { #[pin] future: F },
        Failed { error: Option<ApiError> },
    }
}

impl<F> fmt::Debug for ErrorFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorFuture").finish_non_exhaustive()
    }
}

impl<F, ResB, E> Future for ErrorFuture<F>
where
    F: Future<Output = Result<Response<ResB>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body<ResB>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let exchange = &*this.exchange;
        Poll::Ready(Ok(match this.state.project() {
            StateProj::Running { future } => {
                match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(Ok(response))) => exchange.settle(response),
                    Ok(Poll::Ready(Err(error))) => {
                        exchange.answer(exchange.config.api_error(error.into()))
                    }
                    Err(panic) => exchange.answer(panicked(&*panic)),
                }
            }
            StateProj::Failed { error } => exchange
                .answer(error.take().expect("an ErrorFuture was polled after it had completed")),
        }))
    }
}

impl Exchange {
    /// Re-renders a response that carries an error; lets every other response pass.
    fn settle<B>(&self, mut response: Response<B>) -> Response<Body<B>> {
        let Some(error) = response.extensions().get::<ApiError>() else {
            return response.map(Body::new);
        };
        let as_chosen = match error.rendered() {
            Rendered::AsChosen => return response.map(Body::new),
            Rendered::ByDefault => {
                self.context.is_grpc() || matches!(self.config.format, ErrorFormat::Envelope)
            }
            Rendered::No => false,
        };
        self.log(error);
        if as_chosen {
            if let Some(error) = response.extensions_mut().get_mut::<ApiError>() {
                error.set_rendered(Rendered::AsChosen);
            }
            return response.map(Body::new);
        }
        let error = error.clone();
        let (head, _) = response.into_parts();
        self.render(Response::from_parts(head, Bytes::new()), error)
    }

    /// Answers with an error that no response carries yet.
    fn answer<B>(&self, error: ApiError) -> Response<Body<B>> {
        self.log(&error);
        let mut response = Response::new(Bytes::new());
        response.headers_mut().extend(error.headers().clone());
        self.render(response, error)
    }

    fn render<B>(&self, response: Response<Bytes>, error: ApiError) -> Response<Body<B>> {
        let response = match (&self.config.format, &self.head) {
            (ErrorFormat::Custom(custom), Some(head)) if !self.context.is_grpc() => {
                match catch_unwind(AssertUnwindSafe(|| custom.render(&error, head))) {
                    Ok(made) => self.merge(made, response, error),
                    Err(panic) => {
                        let error = panicked(&*panic);
                        self.log(&error);
                        let format = ErrorFormat::Envelope;
                        self.context.dress(response, error, &format, Rendered::AsChosen)
                    }
                }
            }
            (format, _) => self.context.dress(response, error, format, Rendered::AsChosen),
        };
        response.map(Body::full)
    }

    /// The user's own response, with the headers it lacks.
    fn merge(
        &self,
        mut made: Response<Bytes>,
        rendered: Response<Bytes>,
        mut error: ApiError,
    ) -> Response<Bytes> {
        let (before, _) = rendered.into_parts();
        for name in before.headers.keys() {
            if OF_THE_BODY.contains(name) {
                continue;
            }
            let values = before.headers.get_all(name);
            if *name == header::VARY {
                // A cache must keep apart what any of them tells apart.
                let all = values.iter().filter_map(|value| value.to_str().ok());
                for own in all.flat_map(|value| value.split(',')).map(str::trim) {
                    if let Ok(own) = HeaderValue::from_str(own) {
                        vary_by(made.headers_mut(), &own);
                    }
                }
            } else if !made.headers().contains_key(name) {
                for value in values {
                    made.headers_mut().append(name.clone(), value.clone());
                }
            }
        }
        if self.context.is_bodiless() {
            let body = std::mem::take(made.body_mut());
            *made.body_mut() = self.context.without_body_for_head(body, made.headers_mut());
        }
        error.set_rendered(Rendered::AsChosen);
        made.extensions_mut().extend(before.extensions);
        made.extensions_mut().insert(error);
        made
    }

    fn log(&self, error: &ApiError) {
        if error.status().is_server_error() {
            tracing::error!(
                target: "palisade::errors",
                status = error.status().as_u16(),
                code = error.code(),
                request_id = self.context.request_id().map(crate::RequestId::as_str),
                cause = error.source().map(|cause| tracing::field::display(Chain(cause))),
                "{}",
                error.message(),
            );
        }
    }
}

/// An error and its sources on one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, error) in chain(self.0).enumerate() {
            let separator = if depth == 0 { "" } else { ": " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

#[cold]
fn panicked(payload: &(dyn Any + Send)) -> ApiError {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    ApiError::internal().with_source(format!("panicked: {message}"))
}
