use std::{error::Error, fmt, time::Duration};

use palisade_core::{ApiError, BoxError, ToApiError};

/// A token that could not be issued. As an [`ApiError`] it is a 500: the service has a mistake, or no random numbers.
///
/// ```
/// use palisade_auth::{Algorithm, IssueError, SigningKey, TokenIssuer};
///
/// let key = SigningKey::secret(Algorithm::Hs256, "a signing key of at least thirty-two bytes")?;
/// let issuer = TokenIssuer::new("https://login.example.com", key).audience("orders").build()?;
/// let error = issuer.token("ada").claims(&serde_json::json!({ "iss": "another" })).sign().unwrap_err();
/// assert!(matches!(error, IssueError::ReservedClaim(ref name) if name == "iss"));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The claims cannot be written as JSON, or are not an object.
    Claims(BoxError),
    /// The claims contain a claim that the issuer sets, or that was set before.
    ReservedClaim(String),
    /// The subject is empty, so that services would reject the token.
    EmptySubject,
    /// An access token of RFC 9068 names the client it is for: set it with [`NewToken::client`](crate::NewToken::client).
    MissingClient,
    /// A lifetime is longer than the issuer's `max_lifetime`, or zero.
    Lifetime {
        /// The lifetime that was asked for.
        requested: Duration,
        /// The longest that the issuer allows.
        longest: Duration,
    },
    /// The system has no random numbers for an id.
    Random,
    /// The backend could not sign.
    Signature,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(error) => {
                write!(f, "the claims of a token are not a JSON object: {error}")
            }
            Self::ReservedClaim(name) => write!(
                f,
                "the claim `{name}` is already set: leave it out of `.claims(…)`, and use the methods of `NewToken`"
            ),
            Self::EmptySubject => f.write_str("the subject of a token is empty: name the caller"),
            Self::MissingClient => {
                f.write_str("an access token names its client: add `.client(…)` to the token")
            }
            Self::Lifetime { requested, longest } => write!(
                f,
                "a lifetime of {requested:?} is not between 1 s and {longest:?}: see `TokenIssuerBuilder::max_lifetime`"
            ),
            Self::Random => f.write_str("the system has no random numbers for the id of a token"),
            Self::Signature => f.write_str("the backend could not sign a token"),
        }
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Claims(error) => Some(&**error),
            _ => None,
        }
    }
}

impl ToApiError for IssueError {
    fn to_api_error(&self) -> ApiError {
        ApiError::internal()
    }
}
