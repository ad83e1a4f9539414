use http::{request, response};

use crate::{Allowed, Decision, Description, Halt, IntoPolicy, Policy};

/// Allows a request that `a` allows, or else `b`. Each is a policy, or several in a row (`auth.then(role)`).
///
/// Both decide before either is awaited. If both allow the request, `a` admits and finishes it. A policy that allows a request
/// [without a decision](crate::Allowed), such as a [`when`](crate::when) whose predicate is false, does not count unless both do. The policy that is not used does not
/// change the request.
///
/// If neither allows the request, the response is that of [`Halt::or`].
///
/// An authentication that allows anonymous requests is not an alternative, because it would allow every request before
/// the other one is tried. Make the combination optional: `any_of(jwt, keys).optional()`.
///
/// ```
/// # use http::request;
/// # use palisade_core::{ApiError, Decision, Policy, PolicyLayer, any_of};
/// # struct Header(&'static str);
/// # impl Policy for Header {
/// #     type Grant = ();
/// #     fn decide(&self, request: &request::Parts) -> Decision<()> {
/// #         if request.headers.contains_key(self.0) { Decision::grant(()) } else { Decision::refuse(ApiError::forbidden()) }
/// #     }
/// # }
/// // passes with the first header, or with the second and the third
/// let layer = PolicyLayer::new(any_of(Header("x-first"), Header("x-second").then(Header("x-third"))));
/// ```
pub fn any_of<A: IntoPolicy, B: IntoPolicy>(a: A, b: B) -> AnyOf<A::Policy, B::Policy> {
    const {
        assert!(
            A::Policy::IS_ALTERNATIVE && B::Policy::IS_ALTERNATIVE,
            "a policy that allows anonymous requests cannot be a part of `any_of`: the other policy would never run. Make the whole optional: `any_of(a, b).optional()`"
        );
    }
    AnyOf { a: a.into_policy(), b: b.into_policy() }
}

/// See [`any_of`].
#[derive(Clone, Copy, Debug)]
pub struct AnyOf<A, B> {
    a: A,
    b: B,
}

/// The grant of one of two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first did.
    A(A),
    /// The second did.
    B(B),
}

impl<A, B> AnyOf<A, B> {
    /// Returns the first policy.
    pub fn first(&self) -> &A {
        &self.a
    }

    /// Returns the second policy.
    pub fn second(&self) -> &B {
        &self.b
    }
}

impl<A: Policy, B: Policy> Policy for AnyOf<A, B> {
    type Grant = Either<A::Grant, B::Grant>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        let a = match self.a.decide(request) {
            Decision::Now(Ok(grant)) if decided::<A>(&grant) => {
                return Decision::grant(Either::A(grant));
            }
            other => other,
        };
        match (a, self.b.decide(request)) {
            (Decision::Now(a), Decision::Now(b)) => Decision::Now(first::<A, B>(a, b)),
            (Decision::Now(a), Decision::Later(b)) => {
                Decision::later(async move { first::<A, B>(a, b.await) })
            }
            (Decision::Later(a), b) => Decision::later(async move {
                let a = match a.await {
                    Ok(grant) if decided::<A>(&grant) => return Ok(Either::A(grant)),
                    other => other,
                };
                let b = match b {
                    Decision::Now(b) => b,
                    Decision::Later(b) => b.await,
                };
                first::<A, B>(a, b)
            }),
        }
    }

    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        match grant {
            Either::A(grant) => self.a.admit(grant, request),
            Either::B(grant) => self.b.admit(grant, request),
        }
    }

    fn finish(&self, grant: Self::Grant, response: &mut response::Parts) {
        match grant {
            Either::A(grant) => self.a.finish(grant, response),
            Either::B(grant) => self.b.finish(grant, response),
        }
    }

    fn failed(&self, grant: Self::Grant) {
        match grant {
            Either::A(grant) => self.a.failed(grant),
            Either::B(grant) => self.b.failed(grant),
        }
    }

    fn describe(&self) -> Description {
        self.a.describe().or(&self.b.describe())
    }

    fn allowed(grant: &Self::Grant) -> Allowed {
        match grant {
            Either::A(grant) => A::allowed(grant),
            Either::B(grant) => B::allowed(grant),
        }
    }

    const IS_ALTERNATIVE: bool = A::IS_ALTERNATIVE && B::IS_ALTERNATIVE;

    fn prepare(&self, request: &mut request::Parts) {
        self.a.prepare(request);
        self.b.prepare(request);
    }
}

fn decided<P: Policy>(grant: &P::Grant) -> bool {
    P::allowed(grant) == Allowed::ByDecision
}

/// Returns the grant of the first policy that decided to allow the request. One without a decision counts only if both have none.
fn first<A: Policy, B: Policy>(
    a: Result<A::Grant, Halt>,
    b: Result<B::Grant, Halt>,
) -> Result<Either<A::Grant, B::Grant>, Halt> {
    match (a, b) {
        (Ok(a), _) if decided::<A>(&a) => Ok(Either::A(a)),
        (_, Ok(b)) if decided::<B>(&b) => Ok(Either::B(b)),
        (Err(a), Err(b)) => Err(a.or(b)),
        (Err(halt), Ok(_)) | (Ok(_), Err(halt)) => Err(halt),
        (Ok(a), Ok(_)) => Ok(Either::A(a)),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use http::{HeaderValue, Request, header};

    use super::*;
    use crate::ApiError;

    /// A policy with a fixed decision, at once or delayed.
    #[derive(Clone)]
    struct Says {
        outcome: fn() -> Result<(), Halt>,
        later: bool,
    }

    impl Policy for Says {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            let outcome = self.outcome;
            if self.later { Decision::later(async move { outcome() }) } else { outcome().into() }
        }
    }

    fn outcome_of(a: Says, b: Says) -> Result<Either<(), ()>, Halt> {
        let (head, ()) = Request::new(()).into_parts();
        match any_of(a, b).decide(&head) {
            Decision::Now(outcome) => outcome,
            Decision::Later(mut decision) => {
                match decision.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => panic!("nothing here waits"),
                }
            }
        }
    }

    const GRANTS: fn() -> Result<(), Halt> = || Ok(());
    const REFUSES: fn() -> Result<(), Halt> = || Err(ApiError::unauthenticated().into());
    const FORBIDS: fn() -> Result<(), Halt> = || Err(ApiError::forbidden().into());
    const CANNOT_TELL: fn() -> Result<(), Halt> = || Err(ApiError::unavailable().into());
    const REPLIES: fn() -> Result<(), Halt> = || Err(Halt::Reply(Box::default()));

    #[test]
    fn outcome_of_each_pair_follows_the_truth_table() {
        #[rustfmt::skip]
        let table = [
            (GRANTS, REFUSES, "grant"), (REFUSES, GRANTS, "grant"), (GRANTS, CANNOT_TELL, "grant"),
            (CANNOT_TELL, GRANTS, "grant"), (GRANTS, GRANTS, "grant"), (REPLIES, GRANTS, "grant"),
            (REFUSES, CANNOT_TELL, "503"), (CANNOT_TELL, REFUSES, "503"), (CANNOT_TELL, CANNOT_TELL, "503"),
            (REPLIES, CANNOT_TELL, "503"), (FORBIDS, CANNOT_TELL, "503"),
            (REFUSES, REFUSES, "401"), (REFUSES, FORBIDS, "403"), (FORBIDS, REFUSES, "403"),
            (REPLIES, REFUSES, "reply"), (FORBIDS, REPLIES, "reply"),
        ];
        for (row, (a, b, expected)) in table.into_iter().enumerate() {
            for (a_later, b_later) in [(false, false), (true, false), (false, true), (true, true)] {
                let outcome = outcome_of(
                    Says { outcome: a, later: a_later },
                    Says { outcome: b, later: b_later },
                );
                let outcome = match outcome {
                    Ok(_) => "grant".to_owned(),
                    Err(Halt::Reply(_)) => "reply".to_owned(),
                    Err(Halt::Refuse(error)) => error.status().as_str().to_owned(),
                };
                assert_eq!(outcome, expected, "row {row}, later: {a_later} {b_later}");
            }
        }
    }

    #[test]
    fn first_policy_wins_if_both_allow() {
        for a_later in [false, true] {
            for b_later in [false, true] {
                let a = Says { outcome: GRANTS, later: a_later };
                let b = Says { outcome: GRANTS, later: b_later };
                assert!(matches!(outcome_of(a, b), Ok(Either::A(()))));
            }
        }
    }

    #[test]
    fn two_rejections_carry_both_challenges() {
        fn challenges(scheme: &'static str) -> Result<(), Halt> {
            let value = HeaderValue::from_static(scheme);
            Err(ApiError::unauthenticated().with_header(header::WWW_AUTHENTICATE, value).into())
        }
        let bearer = Says { outcome: || challenges("Bearer"), later: false };
        let basic = Says { outcome: || challenges("Basic"), later: false };
        let Err(Halt::Refuse(error)) = outcome_of(bearer, basic) else { panic!("neither grants") };
        let challenges: Vec<_> = error.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
        assert_eq!(challenges, ["Bearer", "Basic"]);
    }
}
