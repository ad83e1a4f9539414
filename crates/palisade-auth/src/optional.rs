use http::{HeaderName, HeaderValue, request, response};
use palisade_core::{Decision, Policy, vary_by};

use crate::{Attempt, Authenticate, Identity, authenticate};

/// An authentication that anonymous requests pass; see [`Authenticate::optional`].
///
/// The response depends on who asks, so `Vary` names the fields with credentials, for caches in between.
#[derive(Clone, Debug)]
pub struct Optional<A> {
    authenticate: A,
    fields: Vec<HeaderValue>,
}

impl<A: Authenticate> Optional<A> {
    pub(crate) fn new(authenticate: A) -> Self {
        let value = |field: &HeaderName| HeaderValue::from_str(field.as_str()).ok();
        let fields = authenticate.fields().iter().filter_map(value).collect();
        Self { authenticate, fields }
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
        self.authenticate.mark_response(response);
        for field in &self.fields {
            vary_by(&mut response.headers, field);
        }
    }
}
