use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Entry, Policies, Refusal, Stage, refused};
use crate::{Body, HttpResponse, discard_unread, personal::Audience};

/// A tower layer made of a policy, or of a [`Chain`](crate::Chain) of them.
///
/// Cloning it is one reference count, and all services that it makes share the policy.
///
/// ```
/// use http::request;
/// use palisade_core::{Decision, Policy, PolicyLayer};
/// # use tower::ServiceBuilder;
///
/// struct AllowAll;
///
/// impl Policy for AllowAll {
///     type Grant = ();
///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
/// }
///
/// let builder = ServiceBuilder::new().layer(PolicyLayer::new(AllowAll));
/// ```
#[derive(Debug)]
pub struct PolicyLayer<P> {
    policies: Arc<Policies<P>>,
}

impl<P: Stage> PolicyLayer<P> {
    /// Creates a layer that admits the requests that `policy` allows.
    pub fn new(policy: P) -> Self {
        Self { policies: Arc::new(Policies::new(policy)) }
    }
}

impl<P> Clone for PolicyLayer<P> {
    fn clone(&self) -> Self {
        Self { policies: Arc::clone(&self.policies) }
    }
}

impl<S, P> Layer<S> for PolicyLayer<P> {
    type Service = PolicyService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        PolicyService { inner, policies: Arc::clone(&self.policies) }
    }
}

/// A service behind a policy. Made by [`PolicyLayer`].
///
/// It decides in `call`, never in `poll_ready`, and passes the inner service's errors through untouched.
#[derive(Debug)]
pub struct PolicyService<S, P> {
    inner: S,
    policies: Arc<Policies<P>>,
}

impl<S: Clone, P> Clone for PolicyService<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), policies: Arc::clone(&self.policies) }
    }
}

impl<S, P, ReqB> Service<Request<ReqB>> for PolicyService<S, P>
where
    S: Service<Request<ReqB>> + Clone,
    S::Response: HttpResponse,
    P: Stage,
    ReqB: 'static,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = PolicyFuture<S, P, ReqB>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let policies = Arc::clone(&self.policies);
        let mut grants = P::Grants::default();
        // Each arm makes its future in place: an inner future may be large, and moving it is what nesting costs.
        match policies.enter(&mut head, &mut grants) {
            Entry::Passed => {
                let audience = Audience::of_request(&head);
                let future = self.inner.call(Request::from_parts(head, body));
                PolicyFuture { state: State::Inner { future }, grants, audience, policies }
            }
            Entry::Refused(refusal) => {
                discard_unread(&head, body);
                let refusal = Some(policies.leave_refusal(&mut grants, refusal));
                let state = State::Refused { refusal };
                PolicyFuture { state, grants, audience: Audience::Anyone, policies }
            }
            Entry::Waiting(wait) => {
                // The service that was polled ready is the one that must be called: it leaves with the future.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                let held = Some(Box::new(Held { inner, head, body, wait }));
                let state = State::Waiting { held };
                PolicyFuture { state, grants, audience: Audience::Anyone, policies }
            }
        }
    }
}

/// A request that waits for a decision, with the ready service that it will be given to.
struct Held<S, ReqB, W> {
    inner: S,
    head: request::Parts,
    body: ReqB,
    wait: W,
}

pin_project! {
    /// The future of [`PolicyService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct PolicyFuture<S, P, ReqB>
    where
        S: Service<Request<ReqB>>,
        P: Stage,
    {
        // First, because the inner future is dropped before the grants.
        #[pin]
        state: State<S, P, ReqB>,
        grants: P::Grants,
        audience: Audience,
        policies: Arc<Policies<P>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, P, ReqB>
    where
        S: Service<Request<ReqB>>,
        P: Stage,
    {
        Waiting { held: Option<Box<Held<S, ReqB, P::Wait>>> },
        Inner { #[pin] future: S::Future },
        Refused { refusal: Option<Refusal> },
    }
}

impl<S, P, ReqB> std::fmt::Debug for PolicyFuture<S, P, ReqB>
where
    S: Service<Request<ReqB>>,
    P: Stage,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyFuture").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a PolicyFuture was polled after it had completed";

impl<S, P, ReqB> Future for PolicyFuture<S, P, ReqB>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse,
    P: Stage,
    ReqB: 'static,
{
    type Output = Result<Response<Body<<S::Response as HttpResponse>::Body>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Inner { future } => {
                    let answered = ready!(future.poll(cx));
                    this.state.set(State::Refused { refusal: None });
                    let (policies, grants) = (&**this.policies, this.grants);
                    let (head, body) = match answered {
                        Ok(response) => response.into_response().into_parts(),
                        Err(error) => {
                            policies.fail(grants);
                            return Poll::Ready(Err(error));
                        }
                    };
                    let response = policies.finish(grants, *this.audience, head, body);
                    return Poll::Ready(Ok(response));
                }
                StateProj::Refused { refusal } => {
                    return Poll::Ready(Ok(refused(*refusal.take().expect(POLLED_AGAIN))));
                }
                StateProj::Waiting { held } => {
                    let waiting = held.as_deref_mut().expect(POLLED_AGAIN);
                    let Held { wait, head, .. } = waiting;
                    let decided = ready!(this.policies.resume(wait, cx, head, this.grants));
                    let Held { mut inner, head, body, .. } = *held.take().expect(POLLED_AGAIN);
                    match decided {
                        Ok(()) => {
                            *this.audience = Audience::of_request(&head);
                            State::Inner { future: inner.call(Request::from_parts(head, body)) }
                        }
                        Err(refusal) => {
                            discard_unread(&head, body);
                            let refusal = this.policies.leave_refusal(this.grants, refusal);
                            State::Refused { refusal: Some(refusal) }
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}
