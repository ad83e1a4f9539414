use std::{borrow::Cow, fmt, time::Duration};

use crate::Outcome;

/// The decision of one policy, or the rejection of a layer, on a [`Trail`](crate::Trail).
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    pub(super) policy: Cow<'static, str>,
    pub(super) outcome: Outcome,
    pub(super) shadow: bool,
    pub(super) after: Duration,
    pub(super) took: Duration,
}

impl Step {
    /// Returns the policy's [name](crate::Description::name).
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the policy's name as a value that can be stored.
    pub fn policy_name(&self) -> Cow<'static, str> {
        self.policy.clone()
    }

    /// Returns the decision. For a shadowed policy, the decision that it would have made.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns true if the decision was not enforced, because the policy is a [`shadow`](crate::shadow) or otherwise [on
    /// trial](crate::Allowed::OnTrial).
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
        write!(f, "{}={}", self.policy, self.outcome.name())?;
        if let Some(code) = self.outcome.code() {
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
