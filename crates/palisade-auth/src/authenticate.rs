use std::future::Future;

use http::{HeaderName, request, response};
use palisade_core::{ApiError, BoxFuture, Decision, Halt, Principal};

use crate::{Identity, LoginRedirect, Optional, Revoked, RevokedLater};

/// A way to find out who is calling.
///
/// [`Jwt`](crate::Jwt) is one. Each is also a [`Policy`](palisade_core::Policy) that refuses whom it does not know, and
/// the methods here make others of it.
///
/// ```
/// use palisade_auth::{Authenticate, Jwt};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
///
/// // whoever has no token is anonymous; a token that is not valid is still a 401
/// let anybody = auth.clone().optional();
/// // browsers are sent to a page where they can log in
/// let pages = auth.clone().login_redirect("/login")?;
/// // a list of those who were shut out
/// let current = auth.revoked(|identity| identity.claims().sub == "eve");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// What is known of a caller beyond the [`Principal`].
    type Claims: Send + Sync + 'static;

    /// Looks for credentials, and at them.
    fn authenticate(&self, request: &request::Parts) -> Attempt<Self::Claims>;

    /// What is said to credentials that are there and not good.
    fn invalid(&self) -> ApiError {
        let challenge = http::HeaderValue::from_static("Bearer error=\"invalid_token\"");
        ApiError::unauthenticated()
            .with_message("the credentials are not valid")
            .with_header(http::header::WWW_AUTHENTICATE, challenge)
    }

    /// The fields of a request that credentials may be in.
    fn fields(&self) -> Vec<HeaderName> {
        vec![http::header::AUTHORIZATION]
    }

    /// Writes what the response to an authenticated request owes.
    fn mark_response(&self, response: &mut response::Parts) {
        let _ = response;
    }

    /// Lets requests without credentials pass as anonymous. Credentials that are there and not valid are still refused.
    fn optional(self) -> Optional<Self>
    where
        Self: Sized,
    {
        Optional::new(self)
    }

    /// Sends browsers to a page of ours where they can log in, and back afterwards; see [`LoginRedirect`].
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

    /// Refuses identities that `is_revoked` knows, on each request.
    fn revoked<F>(self, is_revoked: F) -> Revoked<Self, F>
    where
        Self: Sized,
        F: Fn(&Identity<Self::Claims>) -> bool + Send + Sync + 'static,
    {
        Revoked::new(self, is_revoked)
    }

    /// The same, where the answer has to be fetched. An error is a *could not tell*, and refuses with 503.
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

/// What came of looking for credentials.
#[derive(Debug)]
pub enum Attempt<C> {
    /// There are none of this kind. The error says what is wanted: 401, with a challenge.
    Absent(ApiError),
    /// There are some, and they were checked.
    Now(Result<Identity<C>, ApiError>),
    /// There are some, and somebody has to be asked.
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
    /// Waits for the outcome. Without credentials it is the error that asks for them.
    pub(crate) async fn outcome(self) -> Result<Identity<C>, ApiError> {
        match self {
            Self::Absent(error) => Err(error),
            Self::Now(outcome) => outcome,
            Self::Later(pending) => pending.outcome().await,
        }
    }

    /// The decision of a policy that lets pass whom it knows, and nobody else.
    pub(crate) fn into_decision(self) -> Decision<Option<Identity<C>>> {
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

/// Leaves who it is on the request: for handlers, and for roles and limits.
pub(crate) fn admit<C: Send + Sync + 'static>(
    identity: &mut Option<Identity<C>>,
    request: &mut request::Parts,
) {
    if let Some(identity) = identity.take() {
        request.extensions.insert::<Principal>(identity.principal().clone());
        request.extensions.insert(identity);
    }
}

/// Makes a policy of a way to authenticate: whoever it does not know is refused.
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
                $crate::authenticate::admit(identity, request);
            }

            fn finish(&self, _: Self::Grant, response: &mut http::response::Parts) {
                $crate::Authenticate::mark_response(self, response);
            }
        }
    };
}
pub(crate) use policy_of;
