use std::{borrow::Cow, fmt, time::Duration};

use crate::{Halt, Outcome, Policy};

/// The decision of one policy, or the rejection of a layer, on a [`Trail`](crate::Trail).
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    pub(super) policy: Cow<'static, str>,
    pub(super) outcome: RecordedOutcome,
    pub(super) shadow: bool,
    pub(super) after: Duration,
    pub(super) took: Duration,
}

/// An owned [`Outcome`].
#[derive(Clone, PartialEq, Eq)]
pub(super) enum RecordedOutcome {
    Granted,
    Replied,
    Refused(Box<str>),
    CouldNotTell(Box<str>),
}

impl Step {
    /// Returns the policy's [name](Policy::name).
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the policy's name as a value that can be stored.
    pub fn policy_name(&self) -> Cow<'static, str> {
        self.policy.clone()
    }

    /// Returns the decision. For a shadowed policy, the decision that it would have made.
    pub fn outcome(&self) -> Outcome<'_> {
        match &self.outcome {
            RecordedOutcome::Granted => Outcome::Granted,
            RecordedOutcome::Replied => Outcome::Replied,
            RecordedOutcome::Refused(code) => Outcome::Refused { code },
            RecordedOutcome::CouldNotTell(code) => Outcome::CouldNotTell { code },
        }
    }

    /// Returns true if the decision was not enforced, because the policy is a [`shadow`](crate::shadow) or [on
    /// trial](Policy::would_have_said).
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Returns when the decision began, since the beginning of the trail.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Returns the duration of the decision.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// `Cors=granted`, `RateLimit=refused(RATE_LIMITED)`, `NewRule=refused(FORBIDDEN) in shadow`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome();
        write!(f, "{}={}", self.policy, outcome.name())?;
        if let Some(code) = outcome.code() {
            write!(f, "({code})")?;
        }
        f.write_str(if self.shadow { " in shadow" } else { "" })
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.took)
    }
}

/// A decision of a policy, and whether it is enforced.
pub(super) struct PolicyDecision {
    pub(super) outcome: RecordedOutcome,
    pub(super) shadow: bool,
}

impl PolicyDecision {
    pub(super) fn from_result<P: Policy>(policy: &P, outcome: &Result<P::Grant, Halt>) -> Self {
        let grant = outcome.as_ref().ok();
        match grant.and_then(|grant| policy.would_have_said(grant)) {
            Some(outcome) => Self { outcome: RecordedOutcome::from_outcome(outcome), shadow: true },
            None => Self::enforced(Outcome::from_result(outcome)),
        }
    }

    pub(super) fn enforced(outcome: Outcome<'_>) -> Self {
        Self { outcome: RecordedOutcome::from_outcome(outcome), shadow: false }
    }
}

impl RecordedOutcome {
    pub(super) fn from_outcome(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Granted => Self::Granted,
            Outcome::Replied => Self::Replied,
            Outcome::Refused { code } => Self::Refused(code.into()),
            Outcome::CouldNotTell { code } => Self::CouldNotTell(code.into()),
        }
    }
}
