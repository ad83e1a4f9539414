use std::borrow::Cow;

use crate::{ApiError, Halt};

/// The decision of a policy, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The policy allowed the request.
    Granted,
    /// The policy responded itself, without an error.
    Replied,
    /// The policy rejected the request.
    Refused {
        /// The machine code of the error.
        code: Cow<'static, str>,
    },
    /// The policy could not decide.
    CouldNotTell {
        /// The machine code of the error.
        code: Cow<'static, str>,
    },
}

impl Outcome {
    pub(crate) fn of_halt(halt: &Halt) -> Self {
        halt.error().map_or(Self::Replied, Self::of_error)
    }

    /// Returns the outcome for an error: a rejection, or a failure if it is a 5xx.
    ///
    /// ```
    /// use palisade_core::{ApiError, Outcome};
    ///
    /// assert_eq!(Outcome::of_error(&ApiError::forbidden()), Outcome::Refused { code: "FORBIDDEN".into() });
    /// assert_eq!(Outcome::of_error(&ApiError::unavailable()).name(), "could_not_tell");
    /// ```
    pub fn of_error(error: &ApiError) -> Self {
        let code = error.shared_code();
        if error.status().is_server_error() {
            Self::CouldNotTell { code }
        } else {
            Self::Refused { code }
        }
    }

    /// Returns the name for logs and metrics: `granted`, `replied`, `refused` or `could_not_tell`.
    ///
    /// ```
    /// use palisade_core::Outcome;
    ///
    /// assert_eq!(Outcome::Refused { code: "FORBIDDEN".into() }.name(), "refused");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Replied => "replied",
            Self::Refused { .. } => "refused",
            Self::CouldNotTell { .. } => "could_not_tell",
        }
    }

    /// Returns the machine code of the error, if there is one.
    ///
    /// ```
    /// use palisade_core::Outcome;
    ///
    /// assert_eq!(Outcome::Refused { code: "FORBIDDEN".into() }.code(), Some("FORBIDDEN"));
    /// assert_eq!(Outcome::Granted.code(), None);
    /// ```
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Granted | Self::Replied => None,
            Self::Refused { code } | Self::CouldNotTell { code } => Some(code),
        }
    }
}

/// How a policy allowed a request: see [`Policy::allowed`](crate::Policy::allowed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowed {
    /// The policy decided to allow it.
    ByDecision,
    /// The policy did not decide about the caller: a request that [`when`](crate::when) does not select, or one within a rate
    /// limit. In [`any_of`](crate::any_of) the other policy then decides, so that `any_of(limit, auth)` still requires
    /// authentication.
    WithoutDecision,
    /// The policy is not enforced, and would have decided so. In [`any_of`](crate::any_of) the other policy decides.
    OnTrial(Outcome),
}
