use std::{borrow::Cow, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, StatusCode, header, request, response};

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
/// A policy that panics, in any of the three or while its decision is awaited, rejects the request with a 500, which the
/// policies outside of it finish. The log line names the policy.
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

    /// Returns how many header fields [`finish`](Self::finish) writes at most. Default: 0.
    ///
    /// The engine makes room once for all policies of a chain, before the first of them writes; a map that grows in steps is
    /// copied at each step. The number is a hint: a policy may write more, and the fields that the service has written keep
    /// their place. It is asked once, when the layer is made.
    fn header_fields(&self) -> usize {
        0
    }

    /// Of a request that passes because the policy is on trial: what it would have said if it were not. It is noted on
    /// the [`Trail`](crate::Trail) as the decision of a shadow. `None` of a grant that is meant.
    fn would_have_said<'a>(&self, grant: &'a Self::Grant) -> Option<Outcome<'a>> {
        let _ = grant;
        None
    }

    /// False if the policy also allows requests that it decided nothing about, such as an authentication that lets
    /// requests without credentials pass. Such a policy cannot be one of several in [`any_of`](crate::any_of): it would
    /// allow every request before the other policy is asked, so that the call does not compile.
    const IS_ALTERNATIVE: bool = true;

    /// Returns true if the request passes although the policy did not decide about it, such as a request that a
    /// [`when`](crate::when) does not select, or any request that passes a rate limit. In [`any_of`](crate::any_of) the
    /// other policy then decides. Default: false. A policy that does not decide who may come in returns true, so that
    /// `any_of(limit, auth)` still requires authentication.
    fn abstains(grant: &Self::Grant) -> bool
    where
        Self: Sized,
    {
        let _ = grant;
        false
    }

    /// What the policy is called in logs, in metrics and on a [`Trail`](crate::Trail): by default the name of its type,
    /// without path and parameters. One of few, and the same for all requests: metrics are counted by it.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(short_name(std::any::type_name::<Self>()))
    }

    /// Leaves on the request what several decisions about it share. Default: nothing.
    ///
    /// It is called before each [`decide`](Self::decide), also of a policy inside a combinator, which may decide about copies of
    /// the request's head or not at all. A policy with an effect that must happen once per request, such as using up a
    /// one-time credential, inserts an `Arc` into the extensions here, unless there is one. A combinator calls it for all of its
    /// policies.
    fn prepare(&self, request: &mut request::Parts) {
        let _ = request;
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

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

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

    fn header_fields(&self) -> usize {
        P::header_fields(self)
    }

    fn would_have_said<'a>(&self, grant: &'a P::Grant) -> Option<Outcome<'a>> {
        P::would_have_said(self, grant)
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn abstains(grant: &P::Grant) -> bool {
        P::abstains(grant)
    }

    fn name(&self) -> Cow<'static, str> {
        P::name(self)
    }

    fn prepare(&self, request: &mut request::Parts) {
        P::prepare(self, request);
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
    /// Returns true if the policy failed to find out. No combinator turns this into a grant.
    pub fn could_not_tell(&self) -> bool {
        self.error().is_some_and(|error| error.status().is_server_error())
    }

    /// Returns the error, also that of a refusal which is a response already because several policies in a row made it.
    /// `None` for an answer that is not an error.
    pub fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Refuse(error) => Some(error),
            Self::Reply(response) => response.extensions().get(),
        }
    }

    /// Returns the one answer to a request that neither of two policies allows.
    ///
    /// If one of them could not tell, that is the answer. Otherwise it is the answer that says more: a login page before
    /// any refusal, a 403 or a 400 before a 401. Two 401s become one with the challenges of both (RFC 9110, section
    /// 11.6.1).
    ///
    /// ```
    /// use palisade_core::{ApiError, Halt};
    ///
    /// let halt = Halt::from(ApiError::unauthenticated()).or(ApiError::forbidden().into());
    /// assert_eq!(halt.error().unwrap().status(), 403);
    /// ```
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.could_not_tell() {
            return self;
        }
        if other.could_not_tell() {
            return other;
        }
        let status = |halt: &Self| halt.error().map(ApiError::status);
        match (status(&self), status(&other)) {
            (None, _) => self,
            (_, None) => other,
            (Some(StatusCode::UNAUTHORIZED), Some(StatusCode::UNAUTHORIZED)) => {
                self.with_challenges_of(&other)
            }
            (Some(StatusCode::UNAUTHORIZED), _) => other,
            _ => self,
        }
    }

    fn with_challenges_of(self, other: &Self) -> Self {
        let headers = match other {
            Self::Refuse(error) => error.headers(),
            Self::Reply(response) => response.headers(),
        };
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().cloned();
        match self {
            Self::Refuse(error) => Self::Refuse(challenges.fold(error, |error, challenge| {
                error.with_header(header::WWW_AUTHENTICATE, challenge)
            })),
            Self::Reply(mut response) => {
                for challenge in challenges {
                    // A map that is full keeps the challenges that it has.
                    let _ = response.headers_mut().try_append(header::WWW_AUTHENTICATE, challenge);
                }
                Self::Reply(response)
            }
        }
    }
}
