use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response, Uri};
use palisade_core::{AnsweredByPolicy, Body, DecisionFlag, ErrorContext, HttpResponse};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::mark::{is_marked, undecided};

/// Withholds the responses of routes without an authorization policy: 403, and a log line at level ERROR, target
/// `palisade::auth`, with method and path. Mark routes that are open on purpose as [`public`](super::public).
///
/// A request counts as decided if it has passed a rule ([`Authorize`](crate::rules::Authorize),
/// [`RequireRole`](crate::RequireRole)), [`public`](super::public), or [`Decided`](super::Decided), which `with_auth` adds. The
/// policy may be an outer or an inner one, on the route, a group of routes or the stack.
///
/// # Limits
///
/// A layer around a router does not know its routes. It learns from the policies of a route that they have run, and from the
/// response if none has. So:
///
/// - **The handler of an undecided route has already run.** Its response is withheld, but its effects remain. The layer detects
///   a forgotten rule at the first request in a test; it does not replace the rule. Put
///   [`require_decision`](super::require_decision) directly around a handler that must not run.
/// - It checks requests instead of routes: a route without requests is not reported, and a route with a policy under
///   [`when`](palisade_core::when) is undecided for requests that do not match.
/// - Responses of policies ([`AnsweredByPolicy`]: a rejection, a preflight, a redirect to a login page) are returned unchanged,
///   because no handler has run.
/// - Responses of the router are undecided too: give its fallback `public()`, or unknown paths get 403. On axum,
///   `get(handler).with_public()` covers the 405 of other methods, `get(handler.with_public())` does not.
/// - [`shadow`](palisade_core::shadow) and an authentication alone do not count as decisions: see [`Decided`](super::Decided).
/// - It logs the path of the request instead of the route's template.
/// - An `Err(_)` of the inner service is returned unchanged.
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
                flag: DecisionFlag::for_request(request.extensions_mut()),
                context: ErrorContext::of_request(&request),
                method: request.method().clone(),
                uri: request.uri().clone(),
            })
        });
        DenyUndecidedFuture { future: self.inner.call(request), doubt }
    }
}

/// An undecided request.
struct Doubt {
    flag: DecisionFlag,
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
            Some(doubt) if !doubt.flag.is_decided() && !reached_no_handler => {
                let error = undecided(&doubt.method, doubt.uri.path());
                doubt.context.render(error).map(Body::full)
            }
            _ => response,
        }))
    }
}
