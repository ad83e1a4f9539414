use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request, response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Body, HttpResponse, Personal, Stage, Trail, discard_unread,
    hold::Watched,
    stage::{Entry, Refusal, finish_refusal},
};

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
    stage: Arc<P>,
    room: Room,
}

impl<P: Stage> PolicyLayer<P> {
    /// Creates a layer that admits the requests that `policy` allows.
    pub fn new(policy: P) -> Self {
        let room = Room::of_stage(&policy);
        Self { stage: Arc::new(policy), room }
    }
}

impl<P> Clone for PolicyLayer<P> {
    fn clone(&self) -> Self {
        Self { stage: Arc::clone(&self.stage), room: self.room }
    }
}

impl<S, P> Layer<S> for PolicyLayer<P> {
    type Service = PolicyService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        PolicyService { inner, stage: Arc::clone(&self.stage), room: self.room }
    }
}

/// A service behind a policy. Made by [`PolicyLayer`].
///
/// It decides in `call`, never in `poll_ready`, and passes the inner service's errors through untouched.
#[derive(Debug)]
pub struct PolicyService<S, P> {
    inner: S,
    stage: Arc<P>,
    room: Room,
}

impl<S: Clone, P> Clone for PolicyService<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), stage: Arc::clone(&self.stage), room: self.room }
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
        let (stage, room) = (Arc::clone(&self.stage), self.room);
        // Each arm makes its future in place: an inner future may be large, and moving it is what nesting costs.
        let observed = Trail::from_extensions(&head.extensions).is_some();
        let mut grants = P::Grants::default();
        match stage.enter(&mut head, observed, &mut grants) {
            Entry::Passed => {
                let personal = Personal::is_request(&head);
                let future = self.inner.call(Request::from_parts(head, body));
                PolicyFuture { state: State::Inner { future }, grants, personal, stage, room }
            }
            Entry::Refused(refusal) => {
                discard_unread(&head, body);
                let refusal = Some(finish_refusal(&*stage, &mut grants, refusal));
                let state = State::Refused { refusal };
                PolicyFuture { state, grants, personal: false, stage, room }
            }
            Entry::Waiting(wait) => {
                // The service that was polled ready is the one that must be called: it leaves with the future.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                let held = Some(Box::new(Held { inner, head, body, wait }));
                let state = State::Waiting { held };
                PolicyFuture { state, grants, personal: false, stage, room }
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
        personal: bool,
        stage: Arc<P>,
        room: Room,
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
                    let (stage, grants) = (&**this.stage, this.grants);
                    let (head, body) = match answered {
                        Ok(response) => response.into_response().into_parts(),
                        Err(error) => {
                            stage.fail(grants);
                            return Poll::Ready(Err(error));
                        }
                    };
                    let response = finished(stage, *this.room, grants, *this.personal, head, body);
                    return Poll::Ready(Ok(response));
                }
                StateProj::Refused { refusal } => {
                    return Poll::Ready(Ok(refused(*refusal.take().expect(POLLED_AGAIN))));
                }
                StateProj::Waiting { held } => {
                    let waiting = held.as_deref_mut().expect(POLLED_AGAIN);
                    let decided = ready!(this.stage.resume(
                        &mut waiting.wait,
                        cx,
                        &mut waiting.head,
                        this.grants
                    ));
                    let Held { mut inner, head, body, .. } = *held.take().expect(POLLED_AGAIN);
                    match decided {
                        Ok(()) => {
                            *this.personal = Personal::is_request(&head);
                            State::Inner { future: inner.call(Request::from_parts(head, body)) }
                        }
                        Err(refusal) => {
                            discard_unread(&head, body);
                            let refusal = finish_refusal(&**this.stage, this.grants, refusal);
                            State::Refused { refusal: Some(refusal) }
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// How many header fields the policies of a stage may add to a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(usize);

/// As many header fields have room in a map after its first insertion.
const FIRST_ROOM: usize = 6;

impl Room {
    pub(crate) fn of_stage<P: Stage>(stage: &P) -> Self {
        Self(stage.room())
    }

    /// Makes room once. A map that would get too large stays unchanged.
    #[inline]
    fn make(self, headers: &mut HeaderMap) {
        if self.0 > FIRST_ROOM {
            let _ = headers.try_reserve(self.0);
        }
    }
}

/// Returns a response that the policies of a stage have finished.
#[inline]
pub(crate) fn finished<P: Stage, B>(
    stage: &P,
    room: Room,
    grants: &mut P::Grants,
    personal: bool,
    mut head: response::Parts,
    body: Body<B>,
) -> Response<Body<B>> {
    room.make(&mut head.headers);
    if personal {
        Personal::mark(&mut head);
    }
    let replaced = stage.leave(grants, &mut head);
    if personal {
        Personal::keep_private(&mut head);
    }
    let held =
        Watched::taken_from(&mut head.extensions).map(|held| held.for_response(&head.headers));
    let body = match replaced {
        None => body,
        Some(replaced) => Body::full(replaced),
    };
    Response::from_parts(head, body.watched(held))
}

/// Returns the response of a refusal.
pub(crate) fn refused<B>(mut refusal: Response<Bytes>) -> Response<Body<B>> {
    let held = Watched::taken_from(refusal.extensions_mut())
        .map(|held| held.for_response(refusal.headers()));
    refusal.map(|bytes| Body::full(bytes).watched(held))
}
