use http::{HeaderName, HeaderValue, request, response};
use palisade_core::{Decision, Policy, vary_by};

use crate::{Attempt, Authenticate, Identity, authenticate};

/// An authentication that allows anonymous requests; see [`Authenticate::optional`].
///
/// The response depends on the caller, so `Vary` contains the fields with credentials.
///
/// It cannot be part of [`any_of`](palisade_core::any_of), because it would allow requests without credentials of its own
/// scheme before the other authentication is tried. Make the combination optional:
///
/// ```
/// # use palisade_auth::{ApiKeys, Authenticate, InMemoryApiKeys, Jwt};
/// # use palisade_core::{PolicyLayer, any_of};
/// # let jwt = Jwt::<()>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
/// # let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build()?;
/// let layer = PolicyLayer::new(any_of(jwt, keys).optional());
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// This does not compile:
///
/// ```compile_fail,E0080
/// # use palisade_auth::{ApiKeys, Authenticate, InMemoryApiKeys, Jwt};
/// # use palisade_core::{PolicyLayer, any_of};
/// # let jwt = Jwt::<()>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
/// # let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build()?;
/// let layer = PolicyLayer::new(any_of(jwt.optional(), keys));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
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
        authenticate::admit(&self.authenticate, identity, request);
    }

    const IS_ALTERNATIVE: bool = false;

    fn prepare(&self, request: &mut request::Parts) {
        crate::sender::prepare(request);
    }

    fn finish(&self, identity: Self::Grant, response: &mut response::Parts) {
        authenticate::finish(&self.authenticate, identity, response);
        for field in &self.fields {
            vary_by(&mut response.headers, field);
        }
    }
}
