use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{request, response};

use crate::{Allowed, Decision, Description, Policy};

/// Delays the decisions of a policy: each is pending for `polls` polls.
///
/// ```
/// # use http::request;
/// # use palisade_core::{Decision, Policy, testing::Deferred};
/// # struct AllowAll;
/// # impl Policy for AllowAll { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// let (head, ()) = http::Request::new(()).into_parts();
/// assert!(matches!(Deferred::new(AllowAll, 1).decide(&head), Decision::Later(_)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deferred<P> {
    policy: P,
    polls: usize,
}

impl<P: Policy> Deferred<P> {
    /// Makes `policy` take its time.
    pub fn new(policy: P, polls: usize) -> Self {
        Self { policy, polls }
    }
}

impl<P: Policy> Policy for Deferred<P> {
    type Grant = P::Grant;

    fn decide(&self, request: &request::Parts) -> Decision<P::Grant> {
        let delay = Delay::new(self.polls);
        match self.policy.decide(request) {
            Decision::Now(outcome) => Decision::later(async move {
                delay.await;
                outcome
            }),
            Decision::Later(decision) => Decision::later(async move {
                delay.await;
                decision.await
            }),
        }
    }

    fn admit(&self, grant: &mut P::Grant, request: &mut request::Parts) {
        self.policy.admit(grant, request);
    }

    fn finish(&self, grant: P::Grant, response: &mut response::Parts) {
        self.policy.finish(grant, response);
    }

    fn failed(&self, grant: P::Grant) {
        self.policy.failed(grant);
    }

    fn describe(&self) -> Description {
        self.policy.describe()
    }

    fn allowed(grant: &P::Grant) -> Allowed {
        P::allowed(grant)
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn prepare(&self, request: &mut request::Parts) {
        self.policy.prepare(request);
    }
}

/// A future that is pending a number of times, without a timer.
#[derive(Debug)]
pub struct Delay {
    polls: usize,
}

impl Delay {
    /// Pending `polls` times.
    pub fn new(polls: usize) -> Self {
        Self { polls }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.polls.checked_sub(1) {
            Some(left) => {
                self.polls = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}
