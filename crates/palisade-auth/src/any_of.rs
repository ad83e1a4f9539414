use http::{HeaderName, request, response};
use palisade_core::{AnyOf, ApiError, Either, Halt};

use crate::{Attempt, Authenticate, Identity, authenticate::Pending};

/// Two schemes as one authentication: [`any_of`](palisade_core::any_of) of a [`Jwt`](crate::Jwt) and
/// [`ApiKeys`](crate::ApiKeys), for example.
///
/// Credentials that one of them accepts are enough, also beside credentials that the other rejects. The request then
/// carries the [`Principal`](palisade_core::Principal) and the `Identity` of the scheme that accepted it.
///
/// ```
/// use palisade_auth::{ApiKeys, Authenticate, InMemoryApiKeys, Jwt};
/// use palisade_core::{Either, any_of};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// # let secret = "a signing key of at least thirty-two bytes";
/// let jwt = Jwt::<Claims>::hs256(secret).audience("orders").build()?;
/// let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build()?;
///
/// let auth = any_of(jwt, keys).revoked(|identity| match identity.claims() {
///     Either::A(token) => token.claims().sub == "eve",
///     Either::B(key) => key.claims().id() == "leaked",
/// });
/// let anonymous = auth.optional();
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
impl<A: Authenticate, B: Authenticate> Authenticate for AnyOf<A, B> {
    type Claims = Either<Identity<A::Claims>, Identity<B::Claims>>;

    fn authenticate(&self, request: &request::Parts) -> Attempt<Self::Claims> {
        either(self.first().authenticate(request), || self.second().authenticate(request))
    }

    fn verify_credential(&self, credential: &str) -> Attempt<Self::Claims> {
        let second = || self.second().verify_credential(credential);
        either(self.first().verify_credential(credential), second)
    }

    fn invalid(&self) -> ApiError {
        both(self.first().invalid(), self.second().invalid())
    }

    fn fields(&self) -> Vec<HeaderName> {
        let mut fields = self.first().fields();
        fields.extend(self.second().fields());
        fields
    }

    /// Leaves the identity of the scheme that accepted the credentials, as that scheme does alone.
    fn leave_identity(&self, identity: Identity<Self::Claims>, request: &mut request::Parts) {
        match identity.claims() {
            Either::A(identity) => self.first().leave_identity(identity.clone(), request),
            Either::B(identity) => self.second().leave_identity(identity.clone(), request),
        }
    }

    fn hide_credentials(&self, request: &mut request::Parts) {
        self.first().hide_credentials(request);
        self.second().hide_credentials(request);
    }

    fn mark_response(&self, response: &mut response::Parts) {
        self.first().mark_response(response);
        self.second().mark_response(response);
    }
}

/// Returns the first attempt that succeeds. The second one is not made if the first one has succeeded already.
fn either<A: Send + Sync + 'static, B: Send + Sync + 'static>(
    a: Attempt<A>,
    b: impl FnOnce() -> Attempt<B>,
) -> Attempt<Either<Identity<A>, Identity<B>>> {
    let a = match a {
        Attempt::Now(Ok(identity)) => return Attempt::Now(Ok(of_first(identity))),
        other => other,
    };
    match (a, b()) {
        (Attempt::Absent(a), Attempt::Absent(b)) => Attempt::Absent(both(a, b)),
        (Attempt::Absent(a) | Attempt::Now(Err(a)), Attempt::Now(b)) => {
            Attempt::Now(b.map(of_second).map_err(|b| both(a, b)))
        }
        (Attempt::Now(Err(a)), Attempt::Absent(b)) => Attempt::Now(Err(both(a, b))),
        (a, b) => Attempt::Later(Pending::new(async move {
            let a = match a.outcome().await {
                Ok(identity) => return Ok(of_first(identity)),
                Err(error) => error,
            };
            b.outcome().await.map(of_second).map_err(|b| both(a, b))
        })),
    }
}

fn of_first<A, B>(identity: Identity<A>) -> Identity<Either<Identity<A>, Identity<B>>> {
    identity.clone().with_claims(Either::A(identity))
}

fn of_second<A, B>(identity: Identity<B>) -> Identity<Either<Identity<A>, Identity<B>>> {
    identity.clone().with_claims(Either::B(identity))
}

/// Returns the error of two schemes that both reject a request, as the policy `any_of` does.
fn both(a: ApiError, b: ApiError) -> ApiError {
    match Halt::Refuse(a).or(Halt::Refuse(b)) {
        Halt::Refuse(error) => error,
        Halt::Reply(_) => ApiError::unauthenticated(),
    }
}
