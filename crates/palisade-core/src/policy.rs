mod chain;
mod decision;
mod description;
mod outcome;

use http::{request, response};

pub use self::{
    chain::Chain,
    decision::{BoxFuture, Decision, Halt},
    description::Description,
    outcome::{Allowed, Outcome},
};

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

    /// Returns the policy's name in logs and metrics, and what the engine must know when a layer is built. Default: the name of the
    /// type, without path and parameters.
    fn describe(&self) -> Description {
        Description::of_type::<Self>()
    }

    /// Returns how the policy allowed a request: by its decision, which is the default, without one, or on trial.
    fn allowed(grant: &Self::Grant) -> Allowed
    where
        Self: Sized,
    {
        let _ = grant;
        Allowed::ByDecision
    }

    /// False if the policy also allows requests without deciding about them, such as an optional authentication. Such a policy
    /// cannot be a part of [`any_of`](crate::any_of), because the other policy would never run: the call does not compile.
    const IS_ALTERNATIVE: bool = true;

    /// Inserts state into the request that several decisions about it share. Default: nothing.
    ///
    /// It is called before each [`decide`](Self::decide), also for a policy inside a combinator, which may decide about copies of
    /// the request's head or not at all. A policy with an effect that must happen once per request, such as using up a
    /// one-time credential, inserts an `Arc` into the extensions here, unless one is present. A combinator calls it for all of its
    /// policies.
    fn prepare(&self, request: &mut request::Parts) {
        let _ = request;
    }

    /// Returns a stage of this policy and `next` inside it.
    fn then<N>(self, next: N) -> Chain<Self, N>
    where
        Self: Sized,
    {
        Chain(self, next)
    }
}

/// Allows all requests: the beginning of a chain.
impl Policy for () {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::Now(Ok(()))
    }

    fn allowed((): &()) -> Allowed {
        Allowed::WithoutDecision
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

    fn describe(&self) -> Description {
        P::describe(self)
    }

    fn allowed(grant: &P::Grant) -> Allowed {
        P::allowed(grant)
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn prepare(&self, request: &mut request::Parts) {
        P::prepare(self, request);
    }
}
