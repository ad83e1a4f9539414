use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request, response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    ErrorLayer,
    config::Config,
    exchange::Exchange,
    service::{Answer, Rejected, call, poll_answer, poll_ready},
};
use crate::{
    ApiError, Body, BytesResponse, Chain, HttpResponse, ReturnsBoxError, Stage, discard_unread,
    engine::{Entry, Policies, Refusal, RequestHead, Sealed, refused},
    personal::Audience,
};

/// One error format as a stage of a chain: the refusals of the policies inside it are rendered in this format.
#[derive(Clone)]
pub(crate) struct Errors(Arc<Config>);

impl Sealed for Errors {}

impl Stage for Errors {
    type Grants = Option<Exchange>;
    type Wait = Infallible;

    #[inline]
    fn enter(
        &self,
        request: &mut RequestHead<'_>,
        exchange: &mut Self::Grants,
    ) -> Entry<Infallible> {
        *exchange = Some(Exchange::begin(&self.0, request.parts));
        Entry::Passed
    }

    fn resume(
        &self,
        wait: &mut Infallible,
        _: &mut Context<'_>,
        _: &mut RequestHead<'_>,
        _: &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>> {
        match *wait {}
    }

    #[inline]
    fn leave(&self, exchange: &mut Self::Grants, response: &mut response::Parts) -> Option<Bytes> {
        exchange.take()?.settle_refusal(&self.0, response)
    }
}

/// The policies outside of the error format, the error format, and the policies inside of it.
type Plan<O, I> = Chain<Chain<O, Errors>, I>;

/// The grants of all of them.
type Grants<O, I> = <Plan<O, I> as Stage>::Grants;

/// An [`ErrorLayer`] and the policies around and inside it, as one layer: one service, one future and one response body.
///
/// Made by [`ErrorLayer::with_policies`]. The errors and panics of the inner service become responses before any policy
/// finishes them, and refusals of the policies inside are rendered before the policies outside finish them.
pub struct ErrorPolicyLayer<O, I> {
    policies: Arc<Policies<Plan<O, I>>>,
}

impl ErrorLayer {
    /// Returns this layer with policies around it and inside it, as one service. A stack does this.
    ///
    /// ```
    /// use http::request;
    /// use palisade_core::{ApiError, Decision, ErrorFormat, ErrorLayer, Policy};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// struct Closed;
    ///
    /// impl Policy for Closed {
    ///     type Grant = ();
    ///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::refuse(ApiError::forbidden()) }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let errors = ErrorLayer::new().format(ErrorFormat::Problem);
    /// let service = errors.with_policies((), Closed).layer(service_fn(async |_: http::Request<String>| {
    ///     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// }));
    /// let response = service.oneshot(http::Request::default()).await.unwrap();
    /// assert_eq!(response.headers()["content-type"], "application/problem+json");
    /// # });
    /// ```
    pub fn with_policies<O: Stage, I: Stage>(
        self,
        outside: O,
        inside: I,
    ) -> ErrorPolicyLayer<O, I> {
        let plan = Chain(Chain(outside, Errors(self.config)), inside);
        ErrorPolicyLayer { policies: Arc::new(Policies::new(plan)) }
    }
}

impl<O, I> Clone for ErrorPolicyLayer<O, I> {
    fn clone(&self) -> Self {
        Self { policies: Arc::clone(&self.policies) }
    }
}

impl<O, I> fmt::Debug for ErrorPolicyLayer<O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorPolicyLayer").finish_non_exhaustive()
    }
}

impl<S, O, I> Layer<S> for ErrorPolicyLayer<O, I> {
    type Service = ErrorPolicyService<S, O, I>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorPolicyService { inner, policies: Arc::clone(&self.policies), unready: None }
    }
}

/// A service behind policies, whose failures are responses. Made by [`ErrorPolicyLayer`].
pub struct ErrorPolicyService<S, O, I> {
    inner: S,
    policies: Arc<Policies<Plan<O, I>>>,
    /// Why the inner service is not ready and will not be; the next call answers with it.
    unready: Option<ApiError>,
}

impl<S: Clone, O, I> Clone for ErrorPolicyService<S, O, I> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), policies: Arc::clone(&self.policies), unready: None }
    }
}

impl<S: fmt::Debug, O, I> fmt::Debug for ErrorPolicyService<S, O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorPolicyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

fn config<O, I>(policies: &Policies<Plan<O, I>>) -> &Config {
    &policies.stage.0.1.0
}

impl<S, O, I, ReqB> Service<Request<ReqB>> for ErrorPolicyService<S, O, I>
where
    S: ReturnsBoxError<ReqB> + Clone,
    S::Response: BytesResponse,
    O: Stage,
    I: Stage,
    ReqB: 'static,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = Infallible;
    type Future = ErrorPolicyFuture<S, O, I, ReqB>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.unready = ready!(poll_ready(&mut self.inner, config(&self.policies), cx));
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let policies = Arc::clone(&self.policies);
        let unready = self.unready.take();
        let mut grants = Grants::<O, I>::default();
        match policies.enter(&mut head, &mut grants) {
            Entry::Passed => {
                let audience = Audience::of_request(&head);
                let state = State::passed(&mut self.inner, unready, head, body);
                ErrorPolicyFuture { state, grants, audience, policies }
            }
            Entry::Refused(refusal) => {
                discard_unread(&head, body);
                let refusal = Some(policies.leave_refusal(&mut grants, refusal));
                let state = State::Refused { refusal };
                ErrorPolicyFuture { state, grants, audience: Audience::Anyone, policies }
            }
            Entry::Waiting(wait) => {
                // The service that was polled ready is the one that must be called: it leaves with the future.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                let held = Some(Box::new(Held { inner, unready, head, body, wait }));
                let state = State::Waiting { held };
                ErrorPolicyFuture { state, grants, audience: Audience::Anyone, policies }
            }
        }
    }
}

/// A request that waits for a decision, with the ready service that it will be given to.
struct Held<S, ReqB, W> {
    inner: S,
    unready: Option<ApiError>,
    head: request::Parts,
    body: ReqB,
    wait: W,
}

pin_project! {
    /// The future of [`ErrorPolicyService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ErrorPolicyFuture<S, O, I, ReqB>
    where
        S: Service<Request<ReqB>>,
        S::Response: HttpResponse,
        O: Stage,
        I: Stage,
    {
        // First, because the inner future is dropped before the grants.
        #[pin]
        state: State<S, O, I, ReqB>,
        grants: Grants<O, I>,
        audience: Audience,
        policies: Arc<Policies<Plan<O, I>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, O, I, ReqB>
    where
        S: Service<Request<ReqB>>,
        S::Response: HttpResponse,
        O: Stage,
        I: Stage,
    {
        Waiting { held: Option<Box<Held<S, ReqB, <Plan<O, I> as Stage>::Wait>>> },
        Running { #[pin] future: S::Future },
        Failed { error: Option<ApiError> },
        Reading { of: Box<Rejected<<S::Response as HttpResponse>::Body>> },
        Refused { refusal: Option<Refusal> },
    }
}

impl<S, O, I, ReqB> State<S, O, I, ReqB>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
    O: Stage,
    I: Stage,
{
    #[inline]
    fn passed(inner: &mut S, unready: Option<ApiError>, head: request::Parts, body: ReqB) -> Self {
        if let Some(error) = unready {
            return Self::Failed { error: Some(error) };
        }
        match call(inner, Request::from_parts(head, body)) {
            Ok(future) => Self::Running { future },
            Err(error) => Self::Failed { error: Some(error) },
        }
    }
}

impl<S, O, I, ReqB> fmt::Debug for ErrorPolicyFuture<S, O, I, ReqB>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
    O: Stage,
    I: Stage,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorPolicyFuture").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "an ErrorPolicyFuture was polled after it had completed";

impl<S, O, I, ReqB> Future for ErrorPolicyFuture<S, O, I, ReqB>
where
    S: ReturnsBoxError<ReqB>,
    S::Response: BytesResponse,
    O: Stage,
    I: Stage,
    ReqB: 'static,
{
    type Output = Result<Response<Body<<S::Response as HttpResponse>::Body>>, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let policies = &**this.policies;
        let config = config(policies);
        let (head, body) = loop {
            let next = match this.state.as_mut().project() {
                StateProj::Running { future } => {
                    let exchange = this.grants.0.1.as_mut().expect(POLLED_AGAIN);
                    match ready!(poll_answer(future, config, exchange, cx)) {
                        Answer::Own(head, body) => break (head, body),
                        Answer::Error(head, bytes) => break (head, Body::full(bytes)),
                        Answer::MustBeRead(of) => State::Reading { of },
                    }
                }
                StateProj::Failed { error } => {
                    let exchange = this.grants.0.1.as_mut().expect(POLLED_AGAIN);
                    let error = error.take().expect(POLLED_AGAIN);
                    let (head, bytes) = exchange.answer(config, error).into_parts();
                    break (head, Body::full(bytes));
                }
                StateProj::Reading { of } => {
                    let exchange = this.grants.0.1.as_mut().expect(POLLED_AGAIN);
                    let (head, bytes) = ready!(of.poll(config, exchange, cx));
                    break (head, Body::full(bytes));
                }
                StateProj::Refused { refusal } => {
                    let refusal = refusal.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(refused(*refusal)));
                }
                StateProj::Waiting { held } => {
                    let waiting = held.as_deref_mut().expect(POLLED_AGAIN);
                    let Held { wait, head, .. } = waiting;
                    let decided = ready!(policies.resume(wait, cx, head, this.grants));
                    let Held { mut inner, unready, head, body, .. } =
                        *held.take().expect(POLLED_AGAIN);
                    match decided {
                        Ok(()) => {
                            *this.audience = Audience::of_request(&head);
                            State::passed(&mut inner, unready, head, body)
                        }
                        Err(refusal) => {
                            discard_unread(&head, body);
                            let refusal = policies.leave_refusal(this.grants, refusal);
                            State::Refused { refusal: Some(refusal) }
                        }
                    }
                }
            };
            this.state.set(next);
        };
        Poll::Ready(Ok(policies.finish(this.grants, *this.audience, head, body)))
    }
}
