use std::{
    borrow::Cow,
    convert::Infallible,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, request, response};

use crate::{
    BoxFuture, Decision, ErrorContext, Halt, Policy, Trail,
    error::{Errors, Exchange},
    panics::{caught, replace_head},
};

/// What the engine drives: one [`Policy`], or a [`Chain`] of them.
///
/// Implemented for every policy and every chain; not meant to be implemented elsewhere.
pub trait Stage: sealed::Sealed + Send + Sync + 'static {
    /// A place for the grant of each policy. It is empty until the policy allows the request, and the grant stays there until
    /// the response is finished: a chain that returned its grants would copy them at each of its policies.
    #[doc(hidden)]
    type Grants: Default + Send + 'static;
    /// Where the stage stands while a decision is awaited.
    #[doc(hidden)]
    type Wait: Send + 'static;

    /// `observed`: the request has a [`Trail`]. The engine looks for it once per request instead of each policy.
    #[doc(hidden)]
    fn enter(
        &self,
        request: &mut request::Parts,
        observed: bool,
        grants: &mut Self::Grants,
    ) -> Entry<Self::Wait>;

    #[doc(hidden)]
    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut request::Parts,
        grants: &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>>;

    /// Finishes a response by all policies that have allowed the request, from the inside out. Returns a body if a policy
    /// panicked: the head is then that of a 500, and the body belongs to it.
    #[doc(hidden)]
    #[must_use]
    fn leave(&self, grants: &mut Self::Grants, response: &mut response::Parts) -> Option<Bytes>;

    /// The inner service failed.
    #[doc(hidden)]
    fn fail(&self, grants: &mut Self::Grants);

    /// See [`Policy::header_fields`]. The sum of all policies.
    #[doc(hidden)]
    fn all_header_fields(&self) -> usize;

    /// How many header fields the engine makes room for: none for a single policy, which knows best what it needs.
    #[doc(hidden)]
    fn room(&self) -> usize {
        0
    }

    /// Whether there is a trail on the request once it has passed.
    #[doc(hidden)]
    fn observes(&self) -> bool;

    /// Calls [`Policy::prepare`] of all policies.
    #[doc(hidden)]
    fn prepare_all(&self, request: &mut request::Parts);

    /// See [`Policy::IS_ALTERNATIVE`].
    #[doc(hidden)]
    const MAY_BE_ALTERNATIVE: bool;

    /// See [`Policy::abstains`].
    #[doc(hidden)]
    fn abstained(grants: &Self::Grants) -> bool;

    /// The names of its policies, joined by `.then`.
    #[doc(hidden)]
    fn names(&self) -> Cow<'static, str>;
}

/// An answer made by a policy, boxed so that the path of a request that passes stays narrow.
pub(crate) type Refusal = Box<Response<Bytes>>;

/// How a stage receives a request.
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
    fn enter(
        &self,
        request: &mut request::Parts,
        observed: bool,
        grants: &mut Self::Grants,
    ) -> Entry<Self::Wait> {
        let entered = caught(
            || self.name(),
            || {
                self.prepare(request);
                let decision =
                    if observed { Trail::decide(self, request) } else { self.decide(request) };
                match decision {
                    Decision::Now(Ok(mut grant)) => {
                        self.admit(&mut grant, request);
                        if observed {
                            look_again(request);
                        }
                        *grants = Some(grant);
                        Entry::Passed
                    }
                    Decision::Now(Err(halt)) => Entry::Refused(answer(halt, request)),
                    Decision::Later(decision) => Entry::Waiting(decision),
                }
            },
        );
        entered.unwrap_or_else(|error| Entry::Refused(answer(error.into(), request)))
    }

    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut request::Parts,
        grants: &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>> {
        let polled = caught(|| self.name(), || wait.as_mut().poll(cx));
        let outcome = match polled {
            Ok(polled) => ready!(polled),
            Err(error) => Err(error.into()),
        };
        if let Some(trail) = Trail::from_extensions(&request.extensions) {
            trail.note_of(self, &outcome);
        }
        let admitted = outcome.and_then(|mut grant| {
            caught(|| self.name(), || self.admit(&mut grant, request))?;
            look_again(request);
            *grants = Some(grant);
            Ok(())
        });
        Poll::Ready(admitted.map_err(|halt| answer(halt, request)))
    }

    #[inline]
    fn leave(&self, grants: &mut Self::Grants, response: &mut response::Parts) -> Option<Bytes> {
        let grant = grants.take()?;
        let finished = caught(|| self.name(), || self.finish(grant, response));
        finished.err().map(|error| replace_head(error, response))
    }

    fn all_header_fields(&self) -> usize {
        self.header_fields()
    }

    fn fail(&self, grants: &mut Self::Grants) {
        if let Some(grant) = grants.take() {
            // The service's own error is returned even if this panics.
            let _ = caught(|| self.name(), || self.failed(grant));
        }
    }

    #[inline]
    fn prepare_all(&self, request: &mut request::Parts) {
        self.prepare(request);
    }

    #[inline]
    fn observes(&self) -> bool {
        Policy::observes(self)
    }

    const MAY_BE_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn abstained(grants: &Self::Grants) -> bool {
        grants.as_ref().is_some_and(P::abstains)
    }

    fn names(&self) -> Cow<'static, str> {
        self.name()
    }
}

/// What a policy left on the request may be worth a note.
#[inline(never)]
fn look_again(request: &request::Parts) {
    if let Some(trail) = Trail::from_extensions(&request.extensions) {
        trail.look_at(request);
    }
}

/// Makes the response of a refusal, where it happens and in the default format.
#[cold]
pub(crate) fn answer(halt: Halt, request: &request::Parts) -> Refusal {
    let mut response = match halt {
        Halt::Reply(response) => response,
        Halt::Refuse(error) => Box::new(ErrorContext::from_request(request).render(error)),
    };
    response.extensions_mut().insert(AnsweredByPolicy(()));
    response
}

/// In the extensions of a response that a policy made itself: the request went no further, and no handler saw it.
///
/// Only the engine makes one, so a layer outside can believe it.
///
/// ```
/// use palisade_core::AnsweredByPolicy;
/// # fn outside<B>(response: &http::Response<B>) {
/// if response.extensions().get::<AnsweredByPolicy>().is_some() {
///     println!("refused, or a preflight, or a redirect to a login page");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnsweredByPolicy(());

/// Two stages as one: `A` outside, `B` inside it.
///
/// A's decide and admit run, then B's; on the way out B's finish, then A's. When B refuses, A's finish still runs
/// on the refusal, so a 429 has its CORS headers by construction. However many policies a chain holds, it costs
/// one `Arc` to clone per request, one future and one body.
///
/// ```
/// use palisade_core::{Chain, Policy, PolicyLayer};
/// # use http::request;
/// # use palisade_core::Decision;
/// # struct A; struct B; struct C;
/// # impl Policy for A { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// # impl Policy for B { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// # impl Policy for C { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// let layer: PolicyLayer<Chain<Chain<A, B>, C>> = PolicyLayer::new(A.then(B).then(C));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<A, B>(
    /// The outer stage.
    pub A,
    /// The inner stage.
    pub B,
);

impl<A: Stage, B: Stage> Chain<A, B> {
    /// This chain, then `next` inside it, as one stage.
    pub fn then<N: Stage>(self, next: N) -> Chain<Self, N> {
        Chain(self, next)
    }
}

/// Finishes the refusal of a policy by the policies outside of it, which have allowed the request.
#[cold]
pub(crate) fn finish_refusal<S: Stage>(
    stage: &S,
    grants: &mut S::Grants,
    mut refusal: Refusal,
) -> Refusal {
    let (mut head, body) = std::mem::take(&mut *refusal).into_parts();
    let body = stage.leave(grants, &mut head).unwrap_or(body);
    *refusal = Response::from_parts(head, body);
    refusal
}

/// Which of the two stages of a chain is waited for.
#[doc(hidden)]
pub enum ChainWait<A: Stage, B: Stage> {
    Outer(A::Wait),
    Inner(B::Wait),
}

impl<A: Stage, B: Stage> std::fmt::Debug for ChainWait<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Outer(_) => "Outer",
            Self::Inner(_) => "Inner",
        })
    }
}

impl<A: Stage, B: Stage> Stage for Chain<A, B> {
    type Grants = (A::Grants, B::Grants);
    type Wait = ChainWait<A, B>;

    #[inline]
    fn enter(
        &self,
        request: &mut request::Parts,
        observed: bool,
        (outer, inner): &mut Self::Grants,
    ) -> Entry<Self::Wait> {
        match self.0.enter(request, observed, outer) {
            Entry::Passed => {}
            Entry::Waiting(wait) => return Entry::Waiting(ChainWait::Outer(wait)),
            Entry::Refused(refusal) => return Entry::Refused(refusal),
        }
        match self.1.enter(request, observed || self.0.observes(), inner) {
            Entry::Passed => Entry::Passed,
            Entry::Waiting(wait) => Entry::Waiting(ChainWait::Inner(wait)),
            Entry::Refused(refusal) => Entry::Refused(refusal),
        }
    }

    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut request::Parts,
        (outer, inner): &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>> {
        if let ChainWait::Outer(waiting) = wait {
            ready!(self.0.resume(waiting, cx, request, outer))?;
            let observed = Trail::from_extensions(&request.extensions).is_some();
            match self.1.enter(request, observed, inner) {
                Entry::Passed => return Poll::Ready(Ok(())),
                Entry::Refused(refusal) => return Poll::Ready(Err(refusal)),
                Entry::Waiting(waiting) => *wait = ChainWait::Inner(waiting),
            }
        }
        let ChainWait::Inner(waiting) = wait else {
            unreachable!("an outer wait has become an inner one above")
        };
        self.1.resume(waiting, cx, request, inner)
    }

    #[inline]
    fn leave(
        &self,
        (outer, inner): &mut Self::Grants,
        response: &mut response::Parts,
    ) -> Option<Bytes> {
        let replaced = self.1.leave(inner, response);
        // An outer policy that panics replaces what an inner one has replaced.
        self.0.leave(outer, response).or(replaced)
    }

    fn all_header_fields(&self) -> usize {
        self.0.all_header_fields() + self.1.all_header_fields()
    }

    fn room(&self) -> usize {
        // One more for `Cache-Control` of a personal response.
        self.all_header_fields() + 1
    }

    fn fail(&self, (outer, inner): &mut Self::Grants) {
        self.1.fail(inner);
        self.0.fail(outer);
    }

    fn prepare_all(&self, request: &mut request::Parts) {
        self.0.prepare_all(request);
        self.1.prepare_all(request);
    }

    #[inline]
    fn observes(&self) -> bool {
        self.0.observes() || self.1.observes()
    }

    /// The policies that follow an optional authentication may allow anonymous requests as well.
    const MAY_BE_ALTERNATIVE: bool = A::MAY_BE_ALTERNATIVE && B::MAY_BE_ALTERNATIVE;

    fn abstained((outer, inner): &Self::Grants) -> bool {
        A::abstained(outer) && B::abstained(inner)
    }

    fn names(&self) -> Cow<'static, str> {
        format!("{}.then({})", self.0.names(), self.1.names()).into()
    }
}

/// A stage that lets every request pass: not a policy, and not on a [`Trail`].
pub(crate) trait Unconditional: Send + Sync + 'static {
    type Pass: Send + 'static;

    fn enter(&self, request: &request::Parts) -> Self::Pass;

    fn leave(&self, pass: Self::Pass, response: &mut response::Parts) -> Option<Bytes>;
}

/// No policies: where a [`Stack`](https://docs.rs/palisade/latest/palisade/struct.Stack.html) begins.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPolicies;

impl Unconditional for NoPolicies {
    type Pass = ();

    #[inline]
    fn enter(&self, _: &request::Parts) {}

    #[inline]
    fn leave(&self, (): (), _: &mut response::Parts) -> Option<Bytes> {
        None
    }
}

macro_rules! impl_stage {
    ($($stage:ty => $pass:ty),+) => {$(
        impl Stage for $stage {
            type Grants = Option<$pass>;
            type Wait = Infallible;

            #[inline]
            fn enter(
                &self,
                request: &mut request::Parts,
                _: bool,
                grants: &mut Self::Grants,
            ) -> Entry<Infallible> {
                *grants = Some(Unconditional::enter(self, request));
                Entry::Passed
            }

            fn resume(
                &self,
                wait: &mut Infallible,
                _: &mut Context<'_>,
                _: &mut request::Parts,
                _: &mut Self::Grants,
            ) -> Poll<Result<(), Refusal>> {
                match *wait {}
            }

            #[inline]
            fn leave(
                &self,
                grants: &mut Self::Grants,
                response: &mut response::Parts,
            ) -> Option<Bytes> {
                Unconditional::leave(self, grants.take()?, response)
            }

            fn fail(&self, _: &mut Self::Grants) {}

            fn all_header_fields(&self) -> usize {
                0
            }

            #[inline]
            fn observes(&self) -> bool {
                false
            }

            fn prepare_all(&self, _: &mut request::Parts) {}

            const MAY_BE_ALTERNATIVE: bool = true;

            fn abstained(_: &Self::Grants) -> bool {
                true
            }

            fn names(&self) -> Cow<'static, str> {
                Cow::Borrowed("none")
            }
        }
    )+};
}

impl_stage!(NoPolicies => (), Errors => Exchange);

mod sealed {
    /// Seals `Stage`, so that the engine's states can change.
    pub trait Sealed {}
    impl<P: super::Policy> Sealed for P {}
    impl<A, B> Sealed for super::Chain<A, B> {}
    impl Sealed for super::NoPolicies {}
    impl Sealed for super::Errors {}
}
