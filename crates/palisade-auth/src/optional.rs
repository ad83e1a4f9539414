use http::{request, response};
use palisade_core::{Decision, Policy};

use crate::{Attempt, Authenticate, Identity, authenticate};

/// An authentication that anonymous requests pass; see [`Authenticate::optional`].
///
/// The response depends on who asks, so it carries `Vary: Authorization` for caches in between.
#[derive(Clone, Copy, Debug)]
pub struct Optional<A> {
    authenticate: A,
}

impl<A: Authenticate> Optional<A> {
    pub(crate) fn new(authenticate: A) -> Self {
        Self { authenticate }
    }
}

impl<A: Authenticate> Policy for Optional<A> {
    /// `None`: anonymous.
    type Grant = Option<Identity<A::Claims>>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        match self.authenticate.authenticate(request) {
            Attempt::Absent(_) => Decision::grant(None),
            attempt => attempt.into_decision(),
        }
    }

    fn admit(&self, identity: &mut Self::Grant, request: &mut request::Parts) {
        authenticate::admit(identity, request);
    }

    fn finish(&self, _: Self::Grant, response: &mut response::Parts) {
        let vary = http::HeaderValue::from_static("Authorization");
        response.headers.append(http::header::VARY, vary);
    }
}
