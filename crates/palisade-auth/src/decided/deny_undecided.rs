use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response, Uri};
use palisade_core::{AnsweredByPolicy, Body, ErrorContext, HttpResponse};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::mark::{Flag, is_marked, undecided};

/// Withholds every answer of a route that does not say who may come in: 403, and a log line at level ERROR, target
/// `palisade::auth`, that names method and path. What is open on purpose is [`public`](super::public).
///
/// A route is decided about when its request passed a rule ([`Authorize`](crate::rules::Authorize),
/// [`RequireRole`](crate::RequireRole)), [`public`](super::public), or [`Decided`](super::Decided), which
/// `with_auth` adds; outside of this layer or inside, on the route, a group of routes or the stack.
///
/// # What it can see, and what not
///
/// A layer around a router does not know the router's routes, nor what is inside them. This one learns from the
/// policies of the route that they ran, and if none did it learns that when the answer comes back. So:
///
/// - **The handler of an undecided route has run by then.** Its answer is withheld; what it did is done. It is a net
///   for a forgotten line, which shows at the first request in any test, and no substitute for the line. Where nothing
///   may run, put [`require_decision`](super::require_decision) directly around the handler.
/// - It judges requests, not routes: a route that nobody asks for is not reported, and one whose policy is under a
///   [`when`](palisade_core::when) is undecided for the requests that it does not pick.
/// - What a policy answered itself ([`AnsweredByPolicy`]: a refusal, a preflight, a redirect to a login page) passes
///   unchanged: it reached no handler.
/// - What the router answers itself is undecided as well: give its fallback `public()`, or unknown paths are 403. On
///   axum, `get(handler).with_public()` covers the 405 of other methods, `get(handler.with_public())` does not.
/// - [`shadow`](palisade_core::shadow) decides nothing, and a bare authentication neither: see [`Decided`](super::Decided).
/// - It sees the path of the request and not the route's template.
/// - An `Err(_)` of the inner service passes through untouched.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use palisade_auth::{DenyUndecided, public};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let handler = service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
/// });
///
/// let forgotten = DenyUndecided::new().layer(handler);
/// let response = forgotten.oneshot(Request::get("/").body(String::new())?).await?;
/// assert_eq!(response.status(), StatusCode::FORBIDDEN);
///
/// let open = DenyUndecided::new().layer(public().layer().layer(handler));
/// let response = open.oneshot(Request::get("/").body(String::new())?).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyUndecided(());

impl DenyUndecided {
    /// A layer that withholds undecided answers.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for DenyUndecided {
    type Service = DenyUndecidedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DenyUndecidedService { inner }
    }
}

/// A service whose undecided answers are withheld. Made by [`DenyUndecided`].
#[derive(Clone, Copy, Debug)]
pub struct DenyUndecidedService<S> {
    inner: S,
}

impl<S, ReqB> Service<Request<ReqB>> for DenyUndecidedService<S>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = DenyUndecidedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let doubt = (!is_marked(request.extensions())).then(|| {
            Box::new(Doubt {
                flag: Flag::of(request.extensions_mut()),
                context: ErrorContext::of_request(&request),
                method: request.method().clone(),
                uri: request.uri().clone(),
            })
        });
        DenyUndecidedFuture { future: self.inner.call(request), doubt }
    }
}

/// A request about which nothing was decided yet.
struct Doubt {
    flag: Flag,
    context: ErrorContext,
    method: Method,
    uri: Uri,
}

pin_project! {
    /// The future of [`DenyUndecidedService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct DenyUndecidedFuture<F> {
        #[pin]
        future: F,
        doubt: Option<Box<Doubt>>,
    }
}

impl<F> fmt::Debug for DenyUndecidedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyUndecidedFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for DenyUndecidedFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?.into_response();
        let reached_no_handler = response.extensions().get::<AnsweredByPolicy>().is_some();
        Poll::Ready(Ok(match this.doubt {
            Some(doubt) if !doubt.flag.is_set() && !reached_no_handler => {
                let error = undecided(&doubt.method, doubt.uri.path());
                doubt.context.render(error).map(Body::full)
            }
            _ => response,
        }))
    }
}
