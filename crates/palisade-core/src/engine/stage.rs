use std::{
    borrow::Cow,
    convert::Infallible,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, request, response};

use super::RequestHead;
use crate::{
    Allowed, BoxFuture, Decision, Description, ErrorContext, Halt, LeaveAsIs, Policy, Trail,
};

/// A [`Policy`], or a [`Chain`](crate::Chain) of them: what a layer runs.
///
/// Implemented for every policy and every chain; not meant to be implemented elsewhere.
pub trait Stage: Sealed + Send + Sync + 'static {
    /// A place for the grant of each policy. It is empty until the policy allows the request, and the grant stays there until
    /// the response is finished: a chain that returned its grants would copy them at each of its policies.
    #[doc(hidden)]
    type Grants: Default + Send + 'static;
    /// The state while a decision is awaited.
    #[doc(hidden)]
    type Wait: Send + 'static;

    /// Decides and admits, from the outside in.
    #[doc(hidden)]
    fn enter(&self, request: &mut RequestHead<'_>, grants: &mut Self::Grants) -> Entry<Self::Wait>;

    /// Continues after a decision that was awaited.
    #[doc(hidden)]
    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut RequestHead<'_>,
        grants: &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>>;

    /// Finishes a response by all policies that have allowed the request, from the inside out. Returns the body of an error that
    /// replaces the response. A policy that has panicked has lost its grant, and a second call finishes the outer ones.
    #[doc(hidden)]
    #[must_use]
    fn leave(&self, grants: &mut Self::Grants, response: &mut response::Parts) -> Option<Bytes>;

    /// Reports that the inner service failed.
    #[doc(hidden)]
    fn fail(&self, grants: &mut Self::Grants) {
        let _ = grants;
    }

    /// Returns the description of all policies in a row.
    #[doc(hidden)]
    fn description(&self) -> Description {
        Description::new("none")
    }

    /// Returns the name of the outermost policy without a grant: that of the policy that has just panicked, because policies get
    /// their grants from the outside in, and lose them from the inside out.
    #[doc(hidden)]
    fn without_grant(&self, grants: &Self::Grants) -> Option<Cow<'static, str>> {
        let _ = grants;
        None
    }

    /// Calls [`Policy::prepare`] of all policies.
    #[doc(hidden)]
    fn prepare_all(&self, request: &mut request::Parts) {
        let _ = request;
    }

    /// True for several policies, for whose header fields the engine reserves space. A single one reserves its own.
    #[doc(hidden)]
    const IS_CHAIN: bool = false;

    /// See [`Policy::IS_ALTERNATIVE`].
    #[doc(hidden)]
    const MAY_BE_ALTERNATIVE: bool = true;

    /// Returns true if no policy has decided about the caller.
    #[doc(hidden)]
    fn abstained(grants: &Self::Grants) -> bool {
        let _ = grants;
        true
    }
}

/// A response made by a policy, boxed so that the future of an allowed request stays small.
pub(crate) type Refusal = Box<Response<Bytes>>;

/// The way of a request through a stage.
#[doc(hidden)]
#[derive(Debug)]
pub enum Entry<W> {
    Passed,
    Waiting(W),
    Refused(Refusal),
}

impl<P: Policy> Stage for P {
    type Grants = Option<P::Grant>;
    type Wait = BoxFuture<Result<P::Grant, Halt>>;

    #[inline]
    fn enter(&self, request: &mut RequestHead<'_>, grants: &mut Self::Grants) -> Entry<Self::Wait> {
        self.prepare(request.parts);
        match request.decide(self) {
            Decision::Now(Ok(mut grant)) => {
                request.admit(self, &mut grant);
                *grants = Some(grant);
                Entry::Passed
            }
            Decision::Now(Err(halt)) => Entry::Refused(answer(halt, request.parts)),
            Decision::Later(decision) => Entry::Waiting(decision),
        }
    }

    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut RequestHead<'_>,
        grants: &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>> {
        let outcome = ready!(Trail::poll(self, wait, cx, request.parts));
        let admitted = outcome.map(|mut grant| {
            request.admit(self, &mut grant);
            *grants = Some(grant);
        });
        Poll::Ready(admitted.map_err(|halt| answer(halt, request.parts)))
    }

    #[inline]
    fn leave(&self, grants: &mut Self::Grants, response: &mut response::Parts) -> Option<Bytes> {
        let grant = grants.take()?;
        self.finish(grant, response);
        None
    }

    fn fail(&self, grants: &mut Self::Grants) {
        if let Some(grant) = grants.take() {
            self.failed(grant);
        }
    }

    fn description(&self) -> Description {
        self.describe()
    }

    fn without_grant(&self, grant: &Self::Grants) -> Option<Cow<'static, str>> {
        grant.is_none().then(|| self.describe().into_name())
    }

    #[inline]
    fn prepare_all(&self, request: &mut request::Parts) {
        self.prepare(request);
    }

    const MAY_BE_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn abstained(grants: &Self::Grants) -> bool {
        grants.as_ref().is_some_and(|grant| P::allowed(grant) != Allowed::ByDecision)
    }
}

/// Renders a refusal where it happens, in the default format.
#[cold]
pub(crate) fn answer(halt: Halt, request: &request::Parts) -> Refusal {
    let mut response = match halt {
        Halt::Reply(response) => response,
        Halt::Refuse(error) => Box::new(ErrorContext::from_request(request).render(error)),
    };
    response.extensions_mut().insert(AnsweredByPolicy(()));
    response
}

/// Replaces the head of a response whose policy panicked in `finish`, and returns the new body.
///
/// The headers are dropped, because the policy may have panicked before it removed one. The extensions are kept, because they
/// contain the guards and watchers of other policies.
#[cold]
pub(crate) fn replace_head(error: crate::ApiError, response: &mut response::Parts) -> Bytes {
    let rendered = ErrorContext::of_response(response).render(error);
    let (made, body) = rendered.into_parts();
    response.status = made.status;
    response.headers = made.headers;
    response.extensions.remove::<LeaveAsIs>();
    response.extensions.extend(made.extensions);
    body
}

/// No policies: the beginning of a [`Stack`](https://docs.rs/palisade/latest/palisade/struct.Stack.html).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPolicies;

impl Stage for NoPolicies {
    type Grants = ();
    type Wait = Infallible;

    #[inline]
    fn enter(&self, _: &mut RequestHead<'_>, (): &mut ()) -> Entry<Infallible> {
        Entry::Passed
    }

    fn resume(
        &self,
        wait: &mut Infallible,
        _: &mut Context<'_>,
        _: &mut RequestHead<'_>,
        (): &mut (),
    ) -> Poll<Result<(), Refusal>> {
        match *wait {}
    }

    #[inline]
    fn leave(&self, (): &mut (), _: &mut response::Parts) -> Option<Bytes> {
        None
    }
}

/// In the extensions of a response that a policy made itself. No handler has seen the request.
///
/// Only the engine creates it, so an outer layer can trust it.
///
/// ```
/// use palisade_core::AnsweredByPolicy;
/// # fn outside<B>(response: &http::Response<B>) {
/// if response.extensions().get::<AnsweredByPolicy>().is_some() {
///     println!("a rejection, a preflight, or a redirect to a login page");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnsweredByPolicy(());

/// Seals `Stage`, so that the engine's states can change.
#[doc(hidden)]
pub trait Sealed {}
impl<P: Policy> Sealed for P {}
impl Sealed for NoPolicies {}
