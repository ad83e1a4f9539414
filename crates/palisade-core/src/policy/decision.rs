use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, StatusCode, header};

use crate::ApiError;

/// A future that a policy returns to the engine: owned, and `Send`.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The decision of a policy about a request, now or later.
pub enum Decision<G> {
    /// A decision without waiting, and without an allocation.
    Now(Result<G, Halt>),
    /// A decision that waits for another service: a key set, a store.
    Later(BoxFuture<Result<G, Halt>>),
}

impl<G> Decision<G> {
    /// Allows the request.
    pub fn grant(grant: G) -> Self {
        Self::Now(Ok(grant))
    }

    /// Rejects the request. An error with a 5xx status means that the policy could not decide.
    pub fn refuse(error: ApiError) -> Self {
        Self::Now(Err(Halt::Refuse(error)))
    }

    /// Responds to the request itself, without an error.
    pub fn reply(response: Response<Bytes>) -> Self {
        Self::Now(Err(Halt::Reply(Box::new(response))))
    }

    /// Decides later. Meanwhile the request waits, and its body is not read.
    pub fn later<F>(decision: F) -> Self
    where
        F: Future<Output = Result<G, Halt>> + Send + 'static,
    {
        Self::Later(Box::pin(decision))
    }

    /// Returns the decision with another grant.
    pub(crate) fn map<T: 'static>(self, with: impl FnOnce(G) -> T + Send + 'static) -> Decision<T>
    where
        G: 'static,
    {
        match self {
            Self::Now(outcome) => Decision::Now(outcome.map(with)),
            Self::Later(decision) => Decision::later(async move { decision.await.map(with) }),
        }
    }
}

impl<G> From<Result<G, ApiError>> for Decision<G> {
    fn from(outcome: Result<G, ApiError>) -> Self {
        Self::Now(outcome.map_err(Halt::Refuse))
    }
}

impl<G> From<Result<G, Halt>> for Decision<G> {
    fn from(outcome: Result<G, Halt>) -> Self {
        Self::Now(outcome)
    }
}

impl<G> std::fmt::Debug for Decision<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(Ok(_)) => f.write_str("Now(granted)"),
            Self::Now(Err(halt)) => f.debug_tuple("Now").field(halt).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// The reason why a request does not reach the service.
#[derive(Debug)]
pub enum Halt {
    /// A rejection: 401, 403, 413, 429; or 503 if the policy could not decide.
    Refuse(ApiError),
    /// A response that is not an error: to a CORS preflight, or a redirect to a login page. Boxed, so that a `Result` with a
    /// `Halt` stays small.
    Reply(Box<Response<Bytes>>),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Refuse(error)
    }
}

impl Halt {
    /// Returns true if the policy could not decide. No combinator turns this into a grant.
    pub fn could_not_tell(&self) -> bool {
        self.error().is_some_and(|error| error.status().is_server_error())
    }

    /// Returns the error, also if a chain of policies has rendered it already. Returns `None` for a response that is not an error.
    pub fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Refuse(error) => Some(error),
            Self::Reply(response) => response.extensions().get(),
        }
    }

    /// Returns the response to a request that neither of two policies allows.
    ///
    /// If one of them could not decide, its response is returned. Otherwise the more specific one: a login page before any
    /// rejection, a 403 or a 400 before a 401. Two 401s become one with the challenges of both (RFC 9110, section 11.6.1).
    ///
    /// ```
    /// use palisade_core::{ApiError, Halt};
    ///
    /// let halt = Halt::from(ApiError::unauthenticated()).or(ApiError::forbidden().into());
    /// assert_eq!(halt.error().unwrap().status(), 403);
    /// ```
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.could_not_tell() {
            return self;
        }
        if other.could_not_tell() {
            return other;
        }
        let status = |halt: &Self| halt.error().map(ApiError::status);
        match (status(&self), status(&other)) {
            (None, _) => self,
            (_, None) => other,
            (Some(StatusCode::UNAUTHORIZED), Some(StatusCode::UNAUTHORIZED)) => {
                self.with_challenges_of(&other)
            }
            (Some(StatusCode::UNAUTHORIZED), _) => other,
            _ => self,
        }
    }

    fn with_challenges_of(self, other: &Self) -> Self {
        let headers = match other {
            Self::Refuse(error) => error.headers(),
            Self::Reply(response) => response.headers(),
        };
        let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().cloned();
        match self {
            Self::Refuse(error) => Self::Refuse(challenges.fold(error, |error, challenge| {
                error.with_header(header::WWW_AUTHENTICATE, challenge)
            })),
            Self::Reply(mut response) => {
                for challenge in challenges {
                    // A map that is full keeps the challenges that it has.
                    let _ = response.headers_mut().try_append(header::WWW_AUTHENTICATE, challenge);
                }
                Self::Reply(response)
            }
        }
    }
}
