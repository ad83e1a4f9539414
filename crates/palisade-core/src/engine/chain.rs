use std::{
    borrow::Cow,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{request, response};

use super::{Entry, Refusal, RequestHead, Sealed, Stage};
use crate::{Chain, Description};

/// The one of two stages whose decision is awaited.
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

impl<A, B> Sealed for Chain<A, B> {}

impl<A: Stage, B: Stage> Stage for Chain<A, B> {
    type Grants = (A::Grants, B::Grants);
    type Wait = ChainWait<A, B>;

    #[inline]
    fn enter(
        &self,
        request: &mut RequestHead<'_>,
        (outer, inner): &mut Self::Grants,
    ) -> Entry<Self::Wait> {
        match self.0.enter(request, outer) {
            Entry::Passed => {}
            Entry::Waiting(wait) => return Entry::Waiting(ChainWait::Outer(wait)),
            Entry::Refused(refusal) => return Entry::Refused(refusal),
        }
        match self.1.enter(request, inner) {
            Entry::Passed => Entry::Passed,
            Entry::Waiting(wait) => Entry::Waiting(ChainWait::Inner(wait)),
            Entry::Refused(refusal) => Entry::Refused(refusal),
        }
    }

    fn resume(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
        request: &mut RequestHead<'_>,
        (outer, inner): &mut Self::Grants,
    ) -> Poll<Result<(), Refusal>> {
        if let ChainWait::Outer(waiting) = wait {
            ready!(self.0.resume(waiting, cx, request, outer))?;
            match self.1.enter(request, inner) {
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

    fn fail(&self, (outer, inner): &mut Self::Grants) {
        self.1.fail(inner);
        self.0.fail(outer);
    }

    fn without_grant(&self, (outer, inner): &Self::Grants) -> Option<Cow<'static, str>> {
        self.0.without_grant(outer).or_else(|| self.1.without_grant(inner))
    }

    fn prepare_all(&self, request: &mut request::Parts) {
        self.0.prepare_all(request);
        self.1.prepare_all(request);
    }

    fn description(&self) -> Description {
        self.0.description().then(&self.1.description())
    }

    const IS_CHAIN: bool = true;

    /// The policies that follow an optional authentication may allow anonymous requests as well.
    const MAY_BE_ALTERNATIVE: bool = A::MAY_BE_ALTERNATIVE && B::MAY_BE_ALTERNATIVE;

    fn abstained((outer, inner): &Self::Grants) -> bool {
        A::abstained(outer) && B::abstained(inner)
    }
}
