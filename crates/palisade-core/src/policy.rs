use std::{borrow::Cow, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, StatusCode, header, request, response};

use crate::{ApiError, Chain, Outcome, Stage, trail::short_name};

/// A future that a policy returns to the engine: owned, and `Send`.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A rule about the head of a request, and about its response.
///
/// | method | called | purpose |
/// | --- | --- | --- |
/// | [`decide`](Policy::decide) | before the inner service | allows or rejects the request |
/// | [`admit`](Policy::admit) | if the request is allowed | inserts data for handlers and inner layers into the request |
/// | [`finish`](Policy::finish) | with the response of the inner service or of an inner policy | writes headers |
/// | [`failed`](Policy::failed) | if the inner service failed without a response | cleans up |
///
/// A request that the policy rejects reaches neither `admit` nor `finish`.
///
/// If one of the methods panics, or the future of a [`Decision::Later`], the request is rejected with 500, and the outer policies
/// finish this response. The log line names the policy.
///
/// The engine stores the policy in one `Arc`, so it needs no `Clone`. The future of a [`Decision::Later`] must own what it uses.
///
/// ```
/// use http::{HeaderValue, request, response};
/// use palisade_core::{ApiError, Decision, Policy};
///
/// /// Rejects requests while `open` is false, and adds a header to the responses of all others.
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
    /// The result of the decision, which [`finish`](Self::finish) receives.
    type Grant: Send + 'static;

    /// Decides about the request. It has no side effects on the request.
    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant>;

    /// Inserts data for handlers and inner layers into an allowed request. Default: nothing.
    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        let _ = (grant, request);
    }

    /// Writes headers of the response. Default: nothing.
    fn finish(&self, grant: Self::Grant, response: &mut response::Parts) {
        let _ = (grant, response);
    }

    /// Is called if the inner service failed, so that there is no response to finish. Default: drops the grant.
    ///
    /// If the client disconnects, the grant is dropped without a call.
    fn failed(&self, grant: Self::Grant) {
        drop(grant);
    }

    /// Returns how many header fields [`finish`](Self::finish) writes at most. Default: 0.
    ///
    /// The engine reserves space once for all policies of a chain, because a map that grows in steps is copied at each step. The
    /// number is a hint: a policy may write more. The method is called once, when the layer is built.
    fn header_fields(&self) -> usize {
        0
    }

    /// Returns the decision that the policy would have made if it were enforced, for the [`Trail`](crate::Trail). Returns `None`
    /// if the policy is enforced, which is the default.
    fn would_have_said<'a>(&self, grant: &'a Self::Grant) -> Option<Outcome<'a>> {
        let _ = grant;
        None
    }

    /// False if the policy also allows requests without deciding about them, such as an optional authentication. Such a policy
    /// cannot be a part of [`any_of`](crate::any_of), because the other policy would never run: the call does not compile.
    const IS_ALTERNATIVE: bool = true;

    /// Returns true if the request is allowed without a decision about the caller: a request that [`when`](crate::when) does not
    /// select, or a request within a rate limit. In [`any_of`](crate::any_of) the other policy then decides, so that
    /// `any_of(limit, auth)` still requires authentication. Default: false.
    fn abstains(grant: &Self::Grant) -> bool
    where
        Self: Sized,
    {
        let _ = grant;
        false
    }

    /// Returns the name of the policy in logs, metrics and a [`Trail`](crate::Trail). Default: the name of its type, without path
    /// and parameters. It must be the same for all requests, because it is a label of metrics.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(short_name(std::any::type_name::<Self>()))
    }

    /// Inserts state into the request that several decisions about it share. Default: nothing.
    ///
    /// It is called before each [`decide`](Self::decide), also for a policy inside a combinator, which may decide about copies of
    /// the request's head or not at all. A policy with an effect that must happen once per request, such as using up a
    /// one-time credential, inserts an `Arc` into the extensions here, unless one is present. A combinator calls it for all of its
    /// policies.
    fn prepare(&self, request: &mut request::Parts) {
        let _ = request;
    }

    /// Returns true if the policy inserts a [`Trail`](crate::Trail) into requests, for the inner policies of the same chain.
    fn observes(&self) -> bool {
        false
    }

    /// Returns a stage of this policy and `next` inside it.
    fn then<N: Stage>(self, next: N) -> Chain<Self, N>
    where
        Self: Sized,
    {
        Chain(self, next)
    }
}

/// Allows all requests: the beginning of a chain.
impl Policy for () {
    type Grant = ();

    /// It does not decide about callers.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::Now(Ok(()))
    }
}

/// A policy that several chains share.
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

/// The decision of a policy about a request, now or later.
pub enum Decision<G> {
    /// A decision without waiting, and without an allocation.
    Now(Result<G, Halt>),
    /// A decision that waits for another service: a key set, a store.
    Later(BoxFuture<Result<G, Halt>>),
}

impl<G> Decision<G> {
    /// Allows the request.
    pub fn grant(grant: G) -> Self {
        Self::Now(Ok(grant))
    }

    /// Rejects the request. An error with a 5xx status means that the policy could not decide.
    pub fn refuse(error: ApiError) -> Self {
        Self::Now(Err(Halt::Refuse(error)))
    }

    /// Responds to the request itself, without an error.
    pub fn reply(response: Response<Bytes>) -> Self {
        Self::Now(Err(Halt::Reply(Box::new(response))))
    }

    /// Decides later. Meanwhile the request waits, and its body is not read.
    pub fn later<F>(decision: F) -> Self
    where
        F: Future<Output = Result<G, Halt>> + Send + 'static,
    {
        Self::Later(Box::pin(decision))
    }

    /// Returns the decision with another grant.
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

/// The reason why a request does not reach the service.
#[derive(Debug)]
pub enum Halt {
    /// A rejection: 401, 403, 413, 429; or 503 if the policy could not decide.
    Refuse(ApiError),
    /// A response that is not an error: to a CORS preflight, or a redirect to a login page. Boxed, so that a `Result` with a
    /// `Halt` stays small.
    Reply(Box<Response<Bytes>>),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Refuse(error)
    }
}

impl Halt {
    /// Returns true if the policy could not decide. No combinator turns this into a grant.
    pub fn could_not_tell(&self) -> bool {
        self.error().is_some_and(|error| error.status().is_server_error())
    }

    /// Returns the error, also if a chain of policies has rendered it already. Returns `None` for a response that is not an error.
    pub fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Refuse(error) => Some(error),
            Self::Reply(response) => response.extensions().get(),
        }
    }

    /// Returns the response to a request that neither of two policies allows.
    ///
    /// If one of them could not decide, its response is returned. Otherwise the more specific one: a login page before any
    /// rejection, a 403 or a 400 before a 401. Two 401s become one with the challenges of both (RFC 9110, section 11.6.1).
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
