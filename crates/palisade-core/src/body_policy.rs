use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, request, response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    AcceptsBody, ApiError, Body, BoxFuture, BytesBody, Decision, Description, Halt, HttpResponse,
    Outcome, Trail,
    collecting::Collecting,
    discard_unread,
    engine::{Refusal, answer, replace_head},
    panics::caught,
};

/// A rule that needs the whole body: validation, a webhook's signature.
///
/// It is like a [`Policy`](crate::Policy) with access to the body. The engine reads the body up to the cap of
/// [`BodyPolicyLayer::new`], passes head and bytes to [`decide`](BodyPolicy::decide), and passes the same bytes and trailers on
/// to the handler.
///
/// ```
/// use bytes::Bytes;
/// use http::request;
/// use palisade_core::{ApiError, BodyPolicy, BodyPolicyLayer, Decision, Halt};
///
/// /// Refuses bodies that are not UTF-8.
/// struct Text;
///
/// impl BodyPolicy for Text {
///     type Grant = ();
///
///     fn decide(&self, _: &request::Parts, body: &Bytes) -> Decision<()> {
///         match std::str::from_utf8(body) {
///             Ok(_) => Decision::grant(()),
///             Err(_) => Decision::refuse(ApiError::bad_request().with_message("the body is not UTF-8")),
///         }
///     }
/// }
///
/// let layer = BodyPolicyLayer::new(Text, 64 * 1024); // bytes
/// ```
pub trait BodyPolicy: Send + Sync + 'static {
    /// The data of an admitted request, for the response.
    type Grant: Send + 'static;

    /// Looks at the head before a byte of the body is read. `Ok(false)` leaves this request and its body alone.
    fn applies(&self, request: &request::Parts) -> Result<bool, Halt> {
        let _ = request;
        Ok(true)
    }

    /// Decides by head and body.
    fn decide(&self, request: &request::Parts, body: &Bytes) -> Decision<Self::Grant>;

    /// Adds data for handlers and inner layers to an admitted request.
    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        let _ = (grant, request);
    }

    /// The response passes: writes the headers that it owes.
    fn finish(&self, grant: Self::Grant, response: &mut response::Parts) {
        let _ = (grant, response);
    }

    /// Returns the name for logs, metrics and a [`Trail`](crate::Trail); see [`Description::new`]. Default: the name of the type.
    fn name(&self) -> Cow<'static, str> {
        Description::of_type::<Self>().into_name()
    }
}

/// A tower layer of a [`BodyPolicy`]. The inner service receives requests with a [`Body`].
#[derive(Debug)]
pub struct BodyPolicyLayer<P> {
    policy: Arc<P>,
    limit: usize,
}

impl<P: BodyPolicy> BodyPolicyLayer<P> {
    /// A layer that reads at most `limit` bytes of a body; a longer one is refused with 413.
    pub fn new(policy: P, limit: usize) -> Self {
        Self { policy: Arc::new(policy), limit }
    }
}

impl<P> Clone for BodyPolicyLayer<P> {
    fn clone(&self) -> Self {
        Self { policy: Arc::clone(&self.policy), limit: self.limit }
    }
}

impl<S, P> Layer<S> for BodyPolicyLayer<P> {
    type Service = BodyPolicyService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyPolicyService { inner, policy: Arc::clone(&self.policy), limit: self.limit }
    }
}

/// A service behind a [`BodyPolicy`]. Made by [`BodyPolicyLayer`].
#[derive(Debug)]
pub struct BodyPolicyService<S, P> {
    inner: S,
    policy: Arc<P>,
    limit: usize,
}

impl<S: Clone, P> Clone for BodyPolicyService<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), policy: Arc::clone(&self.policy), limit: self.limit }
    }
}

impl<S, P, ReqB> Service<Request<ReqB>> for BodyPolicyService<S, P>
where
    S: AcceptsBody<Body<ReqB>> + Clone,
    P: BodyPolicy,
    ReqB: BytesBody + Unpin + 'static,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = BodyPolicyFuture<S, P, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (head, body) = request.into_parts();
        let declared_too_long = body.size_hint().lower() > self.limit as u64;
        let applies = caught(|| self.policy.name(), || self.policy.applies(&head));
        let state = match applies.unwrap_or_else(|error| Err(error.into())) {
            Err(halt) => {
                let refused = State::refused_early(&*self.policy, halt, &head);
                discard_unread(&head, body);
                refused
            }
            Ok(false) => State::Inner {
                future: self.inner.call(Request::from_parts(head, Body::new(body))),
                grant: None,
            },
            Ok(true) if declared_too_long => {
                let refused =
                    State::refused_unread(&*self.policy, ApiError::payload_too_large(), &head);
                discard_unread(&head, body);
                refused
            }
            Ok(true) => {
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                State::Collecting { collecting: Collecting::new(inner, head, body, self.limit) }
            }
        };
        BodyPolicyFuture { policy: Arc::clone(&self.policy), state }
    }
}

/// A request whose body was read, with the ready service that it will be given to.
struct Waiting<S, G> {
    held: Option<(S, request::Parts)>,
    body: Bytes,
    trailers: Option<Box<HeaderMap>>,
    decision: BoxFuture<Result<G, Halt>>,
}

pin_project! {
    /// The future of [`BodyPolicyService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyPolicyFuture<S, P, ReqB>
    where
        S: AcceptsBody<Body<ReqB>>,
        P: BodyPolicy,
        ReqB: BytesBody,
        ReqB: Unpin,
    {
        policy: Arc<P>,
        #[pin]
        state: State<S, P, ReqB>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, P, ReqB>
    where
        S: AcceptsBody<Body<ReqB>>,
        P: BodyPolicy,
        ReqB: BytesBody,
        ReqB: Unpin,
    {
        Collecting { collecting: Collecting<S, ReqB> },
        Waiting { waiting: Box<Waiting<S, P::Grant>> },
        Inner { #[pin] future: S::Future, grant: Option<P::Grant> },
        Refused { refusal: Option<Refusal> },
    }
}

impl<S, P, ReqB> State<S, P, ReqB>
where
    S: AcceptsBody<Body<ReqB>>,
    P: BodyPolicy,
    ReqB: BytesBody + Unpin,
{
    fn refused(halt: Halt, head: &request::Parts) -> Self {
        Self::Refused { refusal: Some(answer(halt, head)) }
    }

    /// Refused before the policy saw the body.
    fn refused_early(policy: &P, halt: Halt, head: &request::Parts) -> Self {
        if let Some(trail) = Trail::from_extensions(&head.extensions) {
            trail.ask();
            trail.note(policy.name(), Outcome::of_halt(&halt));
        }
        Self::refused(halt, head)
    }

    /// Rejects a request with an unread body, and closes an HTTP/1 connection, because the rest of the body would block the
    /// next request (RFC 9110, section 15.5.14).
    fn refused_unread(policy: &P, error: ApiError, head: &request::Parts) -> Self {
        let error = match head.version <= Version::HTTP_11 {
            true => error.with_header(header::CONNECTION, HeaderValue::from_static("close")),
            false => error,
        };
        Self::refused_early(policy, error.into(), head)
    }

    /// Passes the request to the service or refuses it.
    fn decided(
        policy: &P,
        outcome: Result<P::Grant, Halt>,
        held: &mut Option<(S, request::Parts)>,
        body: Body<ReqB>,
    ) -> Self {
        let (_, head) = held.as_mut().expect(POLLED_AGAIN);
        if let Some(trail) = Trail::from_extensions(&head.extensions) {
            let said = outcome.as_ref().map_or_else(Outcome::of_halt, |_| Outcome::Granted);
            trail.note(policy.name(), said);
        }
        let admitted = outcome.and_then(|mut grant| {
            caught(|| policy.name(), || policy.admit(&mut grant, head))?;
            Ok(grant)
        });
        match admitted {
            Ok(grant) => {
                let (mut inner, head) = held.take().expect(POLLED_AGAIN);
                Self::Inner {
                    future: inner.call(Request::from_parts(head, body)),
                    grant: Some(grant),
                }
            }
            Err(halt) => Self::refused(halt, head),
        }
    }
}

impl<S, P, ReqB> std::fmt::Debug for BodyPolicyFuture<S, P, ReqB>
where
    S: AcceptsBody<Body<ReqB>>,
    P: BodyPolicy,
    ReqB: BytesBody + Unpin,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyPolicyFuture").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a BodyPolicyFuture was polled after it had completed";

impl<S, P, ReqB> Future for BodyPolicyFuture<S, P, ReqB>
where
    S: AcceptsBody<Body<ReqB>>,
    P: BodyPolicy,
    ReqB: BytesBody + Unpin,
{
    type Output = Result<Response<Body<S::ResponseBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let policy: &P = this.policy;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Collecting { collecting } => match ready!(collecting.poll(cx)) {
                    Err(error) => {
                        let (_, head) = collecting.held.as_ref().expect(POLLED_AGAIN);
                        State::refused_unread(policy, error, head)
                    }
                    Ok((body, trailers)) => {
                        let (_, head) = collecting.held.as_ref().expect(POLLED_AGAIN);
                        if let Some(trail) = Trail::from_extensions(&head.extensions) {
                            trail.saw_body_bytes(body.len() as u64);
                            trail.ask();
                        }
                        let decision = caught(|| policy.name(), || policy.decide(head, &body));
                        match decision.unwrap_or_else(Decision::refuse) {
                            Decision::Now(outcome) => {
                                let body = Body::collected(body, trailers);
                                State::decided(policy, outcome, &mut collecting.held, body)
                            }
                            Decision::Later(decision) => {
                                let held = collecting.held.take();
                                let waiting = Waiting { held, body, trailers, decision };
                                State::Waiting { waiting: Box::new(waiting) }
                            }
                        }
                    }
                },
                StateProj::Waiting { waiting } => {
                    let polled = caught(|| policy.name(), || waiting.decision.as_mut().poll(cx));
                    let outcome = match polled {
                        Ok(polled) => ready!(polled),
                        Err(error) => Err(error.into()),
                    };
                    let body = std::mem::take(&mut waiting.body);
                    let body = Body::collected(body, waiting.trailers.take());
                    State::decided(policy, outcome, &mut waiting.held, body)
                }
                StateProj::Inner { future, grant } => {
                    let (mut head, body) = ready!(future.poll(cx))?.into_response().into_parts();
                    let finished = grant.take().map_or(Ok(()), |grant| {
                        caught(|| policy.name(), || policy.finish(grant, &mut head))
                    });
                    let body = match finished {
                        Ok(()) => body,
                        Err(error) => Body::full(replace_head(error, &mut head)),
                    };
                    return Poll::Ready(Ok(Response::from_parts(head, body)));
                }
                StateProj::Refused { refusal } => {
                    let refusal = refusal.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(refusal.map(Body::full)));
                }
            };
            this.state.set(next);
        }
    }
}
