use std::{borrow::Cow, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, request, response};

use crate::{ApiError, Chain, Outcome, Stage, trail::short_name};

/// A future that a policy hands to the engine: owned, and free to move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A rule that looks at the head of a request.
///
/// The three methods run in this order: [`decide`](Policy::decide) before the inner service,
/// [`admit`](Policy::admit) once the request is known to pass, [`finish`](Policy::finish) on the response,
/// whether the inner service or a policy further inside made it. A request that this policy refuses meets
/// neither `admit` nor `finish`.
///
/// The engine keeps a policy behind one `Arc`, so a policy needs no `Clone`; what a [`Decision::Later`] needs of
/// the policy, its future must own.
///
/// ```
/// use http::{HeaderValue, request, response};
/// use palisade_core::{ApiError, Decision, Policy};
///
/// /// Closes the doors while `open` is false, and says on every answer when they were asked.
/// struct OpeningHours { open: bool }
///
/// impl Policy for OpeningHours {
///     type Grant = ();
///
///     fn decide(&self, _: &request::Parts) -> Decision<()> {
///         if self.open { Decision::grant(()) } else { Decision::refuse(ApiError::unavailable()) }
///     }
///
///     fn finish(&self, _: (), response: &mut response::Parts) {
///         response.headers.insert("x-doors", HeaderValue::from_static("open"));
///     }
/// }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// What the decision yields, and what the response phase may need.
    type Grant: Send + 'static;

    /// Looks at the request. Changes nothing on it.
    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant>;

    /// The request passes: leaves on it what handlers and inner layers need.
    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        let _ = (grant, request);
    }

    /// The response passes: writes the headers that it owes.
    fn finish(&self, grant: Self::Grant, response: &mut response::Parts) {
        let _ = (grant, response);
    }

    /// The inner service failed: there is no response to finish. What was granted is dropped, unless this says
    /// otherwise. A future that is dropped drops the grant without a call to anything.
    fn failed(&self, grant: Self::Grant) {
        drop(grant);
    }

    /// Of a request that passes because the policy is on trial: what it would have said if it were not. It is noted on
    /// the [`Trail`](crate::Trail) as the decision of a shadow. `None` of a grant that is meant.
    fn would_have_said<'a>(&self, grant: &'a Self::Grant) -> Option<Outcome<'a>> {
        let _ = grant;
        None
    }

    /// What the policy is called in logs, in metrics and on a [`Trail`](crate::Trail): by default the name of its type,
    /// without path and parameters. One of few, and the same for all requests: metrics are counted by it.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(short_name(std::any::type_name::<Self>()))
    }

    /// True if the policy leaves a [`Trail`](crate::Trail) on requests, for the policies inside it in the same chain.
    fn observes(&self) -> bool {
        false
    }

    /// This policy, then `next` inside it, as one stage.
    fn then<N: Stage>(self, next: N) -> Chain<Self, N>
    where
        Self: Sized,
    {
        Chain(self, next)
    }
}

/// Grants everything: where a chain starts.
impl Policy for () {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::Now(Ok(()))
    }
}

/// A policy that several chains share without being `Clone`.
impl<P: Policy> Policy for std::sync::Arc<P> {
    type Grant = P::Grant;

    fn decide(&self, request: &request::Parts) -> Decision<P::Grant> {
        P::decide(self, request)
    }

    fn admit(&self, grant: &mut P::Grant, request: &mut request::Parts) {
        P::admit(self, grant, request);
    }

    fn finish(&self, grant: P::Grant, response: &mut response::Parts) {
        P::finish(self, grant, response);
    }

    fn failed(&self, grant: P::Grant) {
        P::failed(self, grant);
    }

    fn would_have_said<'a>(&self, grant: &'a P::Grant) -> Option<Outcome<'a>> {
        P::would_have_said(self, grant)
    }

    fn name(&self) -> Cow<'static, str> {
        P::name(self)
    }

    fn observes(&self) -> bool {
        P::observes(self)
    }
}

/// What a policy says of a request, now or later.
pub enum Decision<G> {
    /// The usual case: no allocation, no await.
    Now(Result<G, Halt>),
    /// The answer has to be fetched: a key set, a store across the network.
    Later(BoxFuture<Result<G, Halt>>),
}

impl<G> Decision<G> {
    /// The request passes.
    pub fn grant(grant: G) -> Self {
        Self::Now(Ok(grant))
    }

    /// The request does not pass, or the policy could not tell (any 5xx error says so).
    pub fn refuse(error: ApiError) -> Self {
        Self::Now(Err(Halt::Refuse(error)))
    }

    /// The policy answers itself, and not with an error.
    pub fn reply(response: Response<Bytes>) -> Self {
        Self::Now(Err(Halt::Reply(Box::new(response))))
    }

    /// The answer has to be awaited. The request is held meanwhile and its body is not read.
    pub fn later<F>(decision: F) -> Self
    where
        F: Future<Output = Result<G, Halt>> + Send + 'static,
    {
        Self::Later(Box::pin(decision))
    }

    /// The same decision with another grant.
    pub(crate) fn map<T: 'static>(self, with: impl FnOnce(G) -> T + Send + 'static) -> Decision<T>
    where
        G: 'static,
    {
        match self {
            Self::Now(outcome) => Decision::Now(outcome.map(with)),
            Self::Later(decision) => Decision::later(async move { decision.await.map(with) }),
        }
    }
}

impl<G> From<Result<G, ApiError>> for Decision<G> {
    fn from(outcome: Result<G, ApiError>) -> Self {
        Self::Now(outcome.map_err(Halt::Refuse))
    }
}

impl<G> From<Result<G, Halt>> for Decision<G> {
    fn from(outcome: Result<G, Halt>) -> Self {
        Self::Now(outcome)
    }
}

impl<G> std::fmt::Debug for Decision<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(Ok(_)) => f.write_str("Now(granted)"),
            Self::Now(Err(halt)) => f.debug_tuple("Now").field(halt).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Why a request goes no further.
#[derive(Debug)]
pub enum Halt {
    /// 401, 403, 413, 429 ... and 503 when the policy could not tell.
    Refuse(ApiError),
    /// An answer that is no error: a CORS preflight, a redirect to a login page. Boxed, so that a `Result` with a
    /// `Halt` in it stays small.
    Reply(Box<Response<Bytes>>),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Refuse(error)
    }
}

impl Halt {
    /// True when the policy failed to find out, which nothing may turn into a grant.
    pub fn could_not_tell(&self) -> bool {
        matches!(self, Self::Refuse(error) if error.status().is_server_error())
    }
}
