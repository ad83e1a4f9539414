use std::{fmt, sync::Arc};

use http::{HeaderValue, header};
use palisade_core::{ApiError, BoxError};

/// The result of a rule.
///
/// Only [`Allow`](Verdict::Allow) allows a request. The combinators follow these tables. The denial of a [`deny`](super::deny)
/// rule overrides them all.
///
/// | `and`, left to right | |
/// | --- | --- |
/// | `Deny` or `CouldNotTell` | decides; the right side is not evaluated |
/// | `Allow`, then `Allow` or `Abstain` | `Allow` |
/// | `Abstain`, then anything | the result of the right side |
///
/// | `or`, left to right | |
/// | --- | --- |
/// | `Allow` | decides; the right side is not evaluated |
/// | anything, then `Allow` | `Allow` |
/// | one of them `CouldNotTell`, none `Allow` | `CouldNotTell` |
/// | `Deny` and `Deny` | the one that hides, else the one with a challenge, else the first |
/// | `Deny` and `Abstain` | `Deny` |
///
/// | `not` | |
/// | --- | --- |
/// | `Allow` | `Deny` |
/// | `Deny` | `Allow` |
/// | `Abstain`, `CouldNotTell` | the same |
#[derive(Debug)]
pub enum Verdict {
    /// The rule holds.
    Allow,
    /// The rule does not hold, and this is why.
    Deny(Denial),
    /// The rule has no say in this. Where all rules abstain, the answer is no.
    Abstain,
    /// The rule failed. No combinator turns it into `Allow`; alone it is a 503.
    CouldNotTell(BoxError),
}

impl Verdict {
    /// A [`Deny`](Verdict::Deny) with a reason for the log; clients do not see it.
    pub fn deny(reason: impl Into<Arc<str>>) -> Self {
        Self::Deny(Denial::new(reason))
    }

    /// A [`CouldNotTell`](Verdict::CouldNotTell).
    pub fn could_not_tell(error: impl Into<BoxError>) -> Self {
        Self::CouldNotTell(error.into())
    }

    /// `Allow` if it holds.
    pub(super) fn holds_if(holds: bool, denial: impl FnOnce() -> Denial) -> Self {
        if holds { Self::Allow } else { Self::Deny(denial()) }
    }
}

/// The denial of a rule: a reason for the log, and what the client sees.
///
/// ```
/// use palisade_auth::rules::Denial;
///
/// let denial = Denial::new("the account is frozen");
/// assert_eq!(denial.reason(), "the account is frozen");
/// ```
pub struct Denial {
    reason: Arc<str>,
    challenge: Option<HeaderValue>,
    hidden: bool,
    cause: Option<BoxError>,
}

impl Denial {
    /// A denial that is a plain 403 to the client.
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), challenge: None, hidden: false, cause: None }
    }

    /// Adds a `WWW-Authenticate` header with what the client lacks.
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Denies with 404 instead of 403, as if the resource did not exist.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Keeps the error that made it a no.
    pub(super) fn caused_by(mut self, cause: BoxError) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Why, for the log.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn cause(&self) -> Option<&BoxError> {
        self.cause.as_ref()
    }

    /// Returns the denial to report of two: one that hides the resource, else one with a challenge, which helps the client,
    /// else the first.
    pub(super) fn more_telling(self, other: Self) -> Self {
        let rank = |denial: &Self| (denial.hidden, denial.challenge.is_some());
        if rank(&other) > rank(&self) { other } else { self }
    }

    pub(super) fn into_error(self) -> ApiError {
        if self.hidden {
            // Equals the response for an unknown path; an additional header would reveal the difference.
            return ApiError::not_found();
        }
        let error = match self.challenge {
            Some(challenge) => {
                ApiError::forbidden().with_header(header::WWW_AUTHENTICATE, challenge)
            }
            None => ApiError::forbidden(),
        };
        match self.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denial")
            .field("reason", &self.reason)
            .field("challenge", &self.challenge)
            .field("hidden", &self.hidden)
            .field("cause", &self.cause)
            .finish()
    }
}
