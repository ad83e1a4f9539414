// Like `Iterator`, the trait has a method for each combinator, and each combinator implements the trait: so these files import
// each other.

use std::future::Future;

use http::{HeaderName, header, request, response};
use palisade_core::{ApiError, BoxFuture, Decision, Halt, Principal};

use crate::{
    Identity, LoginRedirect, MapClaims, Optional, Revoked, RevokedLater, scheme_name::name_scheme,
};

/// A way to authenticate the caller of a request.
///
/// [`Jwt`](crate::Jwt) is one, and [`any_of`](palisade_core::any_of) makes one of two. Each is also a
/// [`Policy`](palisade_core::Policy) that rejects requests without valid credentials, and the methods here derive others
/// from it.
///
/// ```
/// use palisade_auth::{Authenticate, Jwt};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
///
/// // a request without a token is anonymous; one with a token that is not valid is still a 401
/// let anonymous = auth.clone().optional();
/// // browsers are sent to the login page
/// let pages = auth.clone().login_redirect("/login")?;
/// // identities on a list are rejected
/// let current = auth.revoked(|identity| identity.claims().sub == "eve");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// The claims of a caller, in addition to the [`Principal`].
    type Claims: Send + Sync + 'static;

    /// Looks for credentials, and at them.
    fn authenticate(&self, request: &request::Parts) -> Attempt<Self::Claims>;

    /// Verifies a credential without a request: a token, or an API key. [`verify`](Self::verify) waits for the outcome.
    ///
    /// Default: [`Attempt::Absent`], for a scheme whose credentials are not a single string.
    fn verify_credential(&self, credential: &str) -> Attempt<Self::Claims> {
        let _ = credential;
        Attempt::Absent(self.invalid())
    }

    /// Returns the error for credentials that are present and not valid.
    fn invalid(&self) -> ApiError {
        let challenge = http::HeaderValue::from_static("Bearer error=\"invalid_token\"");
        ApiError::unauthenticated()
            .with_message("the credentials are not valid")
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// The fields of a request that credentials may be in.
    fn fields(&self) -> Vec<HeaderName> {
        vec![header::AUTHORIZATION]
    }

    /// Inserts the identity into the request's extensions, for handlers, roles and limits. A combination of authentications
    /// delegates to the one that accepted the credentials.
    fn leave_identity(&self, identity: Identity<Self::Claims>, request: &mut request::Parts) {
        request.extensions.insert::<Principal>(identity.principal().clone());
        request.extensions.insert(identity);
    }

    /// Removes credentials from a request that inner services must not see, because they might repeat them in a
    /// response. Default: none.
    fn hide_credentials(&self, request: &mut request::Parts) {
        let _ = request;
    }

    /// Writes the headers of a response to an authenticated request.
    fn mark_response(&self, response: &mut response::Parts) {
        let _ = response;
    }

    /// Verifies a credential that does not come with a request, such as a token in the first message of a WebSocket or in
    /// an entry of a queue. All checks are those of a request, except for those of the request itself: the origin (CSRF)
    /// and the possession of the client's key. A token that is bound to such a key (`cnf`) is therefore rejected.
    ///
    /// ```
    /// use palisade_auth::{ApiKeys, Authenticate, InMemoryApiKeys, Jwt};
    /// use palisade_core::any_of;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let secret = "a signing key of at least thirty-two bytes";
    /// # let token = |sub: &str| {
    /// #     let claims = serde_json::json!({ "sub": sub, "aud": "orders", "exp": 4_102_444_800_u64 });
    /// #     palisade_auth::testing::sign_hs256(secret, &claims)
    /// # };
    /// # let (ada, eve) = (token("ada"), token("eve"));
    ///
    /// let jwt = Jwt::<()>::hs256(secret).audience("orders").build()?;
    /// let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build()?;
    /// let auth = any_of(jwt, keys).revoked(|identity| identity.principal().subject() == "eve");
    ///
    /// assert_eq!(auth.verify(&ada).await?.principal().subject(), "ada");
    /// assert_eq!(auth.verify(&eve).await.unwrap_err().status(), 401);
    /// assert_eq!(auth.verify("acme_1.unknown").await.unwrap_err().status(), 401);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// 401 if the credential is not valid; 503 if that cannot be found out; or the error of a check of the user's own.
    fn verify(
        &self,
        credential: &str,
    ) -> impl Future<Output = Result<Identity<Self::Claims>, ApiError>> + Send
    where
        Self: Sized,
    {
        async move { self.verify_credential(credential).outcome().await }
    }

    /// Allows requests without credentials as anonymous. Invalid credentials are still rejected.
    fn optional(self) -> Optional<Self>
    where
        Self: Sized,
    {
        Optional::new(self)
    }

    /// Converts the claims, so that handlers behind several schemes extract one type. `convert` runs on each request.
    ///
    /// ```
    /// use palisade_auth::{ApiKey, ApiKeys, Authenticate, InMemoryApiKeys, Jwt};
    /// use palisade_core::any_of;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Claims { sub: String }
    /// struct Caller { name: String }
    ///
    /// # let secret = "a signing key of at least thirty-two bytes";
    /// let jwt = Jwt::<Claims>::hs256(secret).audience("orders").build()?;
    /// let keys = ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build()?;
    ///
    /// // a handler takes `Identity<Caller>`
    /// let either = any_of(
    ///     jwt.map_claims(|claims| Caller { name: claims.sub.clone() }),
    ///     keys.map_claims(|key: &ApiKey| Caller { name: key.id().to_owned() }),
    /// );
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    fn map_claims<T, F>(self, convert: F) -> MapClaims<Self, F>
    where
        Self: Sized,
        T: Send + Sync + 'static,
        F: Fn(&Self::Claims) -> T + Send + Sync + 'static,
    {
        MapClaims::new(self, convert)
    }

    /// Redirects browsers to the login page of this service, and back afterwards; see [`LoginRedirect`].
    ///
    /// # Errors
    ///
    /// If `page` is not a path of this origin.
    fn login_redirect(self, page: &str) -> Result<LoginRedirect<Self>, palisade_core::ConfigError>
    where
        Self: Sized,
    {
        LoginRedirect::new(self, page)
    }

    /// Rejects identities for which `is_revoked` returns true. Called for each request.
    fn revoked<F>(self, is_revoked: F) -> Revoked<Self, F>
    where
        Self: Sized,
        F: Fn(&Identity<Self::Claims>) -> bool + Send + Sync + 'static,
    {
        Revoked::new(self, is_revoked)
    }

    /// Rejects revoked identities by an asynchronous lookup. An error rejects the request with 503.
    fn revoked_later<F, Fut, E>(self, is_revoked: F) -> RevokedLater<Self, F>
    where
        Self: Sized,
        F: Fn(Identity<Self::Claims>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<palisade_core::BoxError>,
    {
        RevokedLater::new(self, is_revoked)
    }
}

/// The result of looking for credentials.
#[derive(Debug)]
pub enum Attempt<C> {
    /// The request has no credentials of this kind. The error is a 401 with a challenge.
    Absent(ApiError),
    /// There are some, and they were checked.
    Now(Result<Identity<C>, ApiError>),
    /// The request has credentials, which are verified asynchronously.
    Later(Pending<C>),
}

/// An attempt that is being made.
pub struct Pending<C>(BoxFuture<Result<Identity<C>, ApiError>>);

impl<C> Pending<C> {
    /// The attempt that `attempt` will have been.
    pub fn new<F>(attempt: F) -> Self
    where
        F: Future<Output = Result<Identity<C>, ApiError>> + Send + 'static,
    {
        Self(Box::pin(attempt))
    }

    /// Waits for it.
    pub(crate) fn outcome(self) -> BoxFuture<Result<Identity<C>, ApiError>> {
        self.0
    }
}

impl<C> std::fmt::Debug for Pending<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}

impl<C: Send + Sync + 'static> Attempt<C> {
    /// Applies a further check to an identity, or a conversion: at once if it is known, or when it is.
    pub(crate) fn and_then<T, F>(self, next: F) -> Attempt<T>
    where
        F: FnOnce(Identity<C>) -> Result<Identity<T>, ApiError> + Send + 'static,
    {
        match self {
            Self::Absent(error) => Attempt::Absent(error),
            Self::Now(outcome) => Attempt::Now(outcome.and_then(next)),
            Self::Later(pending) => {
                Attempt::Later(Pending::new(async move { next(pending.outcome().await?) }))
            }
        }
    }

    /// Waits for the outcome. Without credentials it is the error that asks for them.
    pub(crate) async fn outcome(self) -> Result<Identity<C>, ApiError> {
        match self {
            Self::Absent(error) => Err(error),
            Self::Now(outcome) => outcome,
            Self::Later(pending) => pending.outcome().await,
        }
    }

    /// Returns the decision of a policy that allows only requests with valid credentials: the
    /// [`decide`](palisade_core::Policy::decide) of an authentication of your own.
    ///
    /// ```
    /// use http::{HeaderValue, header, request};
    /// use palisade_auth::{Attempt, Authenticate, Identity};
    /// use palisade_core::{ApiError, Decision, Policy, Principal};
    ///
    /// /// The mesh terminates TLS and names the peer, which no client can do.
    /// struct Mesh;
    ///
    /// impl Authenticate for Mesh {
    ///     type Claims = ();
    ///
    ///     fn authenticate(&self, request: &request::Parts) -> Attempt<()> {
    ///         match request.extensions.get::<&'static str>() {
    ///             None => Attempt::Absent(self.invalid()),
    ///             Some(peer) => {
    ///                 Attempt::Now(Ok(Identity::new((), Principal::new(*peer).authenticated_by("mesh"))))
    ///             }
    ///         }
    ///     }
    ///
    ///     fn invalid(&self) -> ApiError {
    ///         let challenge = HeaderValue::from_static("Mesh");
    ///         ApiError::unauthenticated().with_header(header::WWW_AUTHENTICATE, challenge)
    ///     }
    /// }
    ///
    /// impl Policy for Mesh {
    ///     type Grant = Option<Identity<()>>;
    ///
    ///     fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
    ///         self.authenticate(request).into_decision()
    ///     }
    ///
    ///     fn admit(&self, identity: &mut Self::Grant, request: &mut request::Parts) {
    ///         if let Some(identity) = identity.take() {
    ///             self.leave_identity(identity, request);
    ///         }
    ///     }
    /// }
    ///
    /// // from here on it is one as any other
    /// let anonymous = Mesh.optional();
    /// ```
    pub fn into_decision(self) -> Decision<Option<Identity<C>>> {
        match self {
            Self::Absent(error) => Decision::refuse(error),
            Self::Now(outcome) => outcome.map(Some).into(),
            Self::Later(pending) => {
                Decision::later(
                    async move { pending.outcome().await.map(Some).map_err(Halt::Refuse) },
                )
            }
        }
    }
}

/// Leaves the identity that a policy granted on the request.
pub(crate) fn admit<A: Authenticate>(
    authenticate: &A,
    identity: &mut Option<Identity<A::Claims>>,
    request: &mut request::Parts,
) {
    authenticate.hide_credentials(request);
    let found = match identity {
        // It is needed again in `finish`.
        Some(found) if found.has_proof() => Some(found.clone()),
        _ => identity.take(),
    };
    if let Some(identity) = found {
        authenticate.leave_identity(identity, request);
    }
}

/// Writes the headers of a response to a request that was admitted with this grant.
pub(crate) fn finish<A: Authenticate>(
    authenticate: &A,
    identity: Option<Identity<A::Claims>>,
    response: &mut response::Parts,
) {
    authenticate.mark_response(response);
    if response.headers.contains_key(header::WWW_AUTHENTICATE) {
        name_scheme(
            || authenticate.invalid(),
            identity.is_some_and(|identity| identity.has_proof()),
            response,
        );
    }
}

/// Makes a policy of an authentication: it rejects requests without valid credentials.
macro_rules! policy_of {
    ([$($generic:ident)*] $authenticate:ty) => {
        impl<$($generic),*> palisade_core::Policy for $authenticate
        where
            Self: $crate::Authenticate,
        {
            type Grant = Option<$crate::Identity<<Self as $crate::Authenticate>::Claims>>;

            fn decide(&self, request: &http::request::Parts) -> palisade_core::Decision<Self::Grant> {
                $crate::Authenticate::authenticate(self, request).into_decision()
            }

            fn admit(&self, identity: &mut Self::Grant, request: &mut http::request::Parts) {
                $crate::authenticate::admit(self, identity, request);
            }

            fn finish(&self, identity: Self::Grant, response: &mut http::response::Parts) {
                $crate::authenticate::finish(self, identity, response);
            }

            fn prepare(&self, request: &mut http::request::Parts) {
                $crate::sender::prepare(request);
            }
        }
    };
}
pub(crate) use policy_of;

/// Implements the methods of an authentication that are those of its field `authenticate`.
macro_rules! forward_to_inner {
    () => {
        fn invalid(&self) -> palisade_core::ApiError {
            self.authenticate.invalid()
        }

        fn fields(&self) -> Vec<http::HeaderName> {
            self.authenticate.fields()
        }

        fn hide_credentials(&self, request: &mut http::request::Parts) {
            self.authenticate.hide_credentials(request);
        }

        fn mark_response(&self, response: &mut http::response::Parts) {
            self.authenticate.mark_response(response);
        }
    };
}
pub(crate) use forward_to_inner;
