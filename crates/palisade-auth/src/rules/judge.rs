use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use palisade_core::{ApiError, BoxError, Principal};

use super::{Denial, Rule, Verdict};

/// Evaluates and logs a rule, for routes and resources.
pub(super) fn judge<R: Rule + ?Sized>(
    rule: &R,
    name: impl fmt::Display,
    caller: &Principal,
    about: &R::About,
) -> Result<(), ApiError> {
    evaluate(rule, name, caller, about).map_err(Refusal::into_error)
}

/// Why a request is not allowed.
pub(super) enum Refusal {
    Denied(Denial),
    Failed(BoxError),
}

impl Refusal {
    fn into_error(self) -> ApiError {
        match self {
            Self::Denied(denial) => denial.into_error(),
            Self::Failed(error) => ApiError::unavailable().with_source(error),
        }
    }
}

/// Evaluates and logs a rule. The error of a refusal is not made yet: a handler that filters a list does not need one for each
/// element.
///
/// Explicit denials are evaluated first. Then a rule has to allow the request.
pub(super) fn evaluate<R: Rule + ?Sized>(
    rule: &R,
    name: impl fmt::Display,
    caller: &Principal,
    about: &R::About,
) -> Result<(), Refusal> {
    let verdict = match rule.veto(caller, about) {
        Some(denial) => Verdict::Deny(denial),
        None => rule.decide(caller, about),
    };
    match verdict {
        Verdict::Allow => {
            tracing::debug!(
                target: "palisade::auth",
                rule = %name,
                outcome = "allow",
                subject = %Pseudonym(caller),
            );
            Ok(())
        }
        Verdict::Deny(denial) => Err(denied(denial, &name, caller)),
        Verdict::Abstain => {
            let denial = Denial::new("no rule allows it");
            Err(denied(if rule.hides() { denial.hidden() } else { denial }, &name, caller))
        }
        Verdict::CouldNotTell(error) => {
            tracing::warn!(
                target: "palisade::auth",
                rule = %name,
                outcome = "could not tell",
                reason = %error,
                subject = %Pseudonym(caller),
            );
            Err(Refusal::Failed(error))
        }
    }
}

fn denied(denial: Denial, name: &impl fmt::Display, caller: &Principal) -> Refusal {
    tracing::info!(
        target: "palisade::auth",
        rule = %name,
        outcome = "deny",
        reason = denial.reason(),
        cause = denial.cause().map(tracing::field::display),
        subject = %Pseudonym(caller),
    );
    Refusal::Denied(denial)
}

/// A number for a caller in the log, constant until the process ends. The hash has a random key, so that names cannot be
/// guessed. Computed only if an event is logged.
struct Pseudonym<'a>(&'a Principal);

impl fmt::Display for Pseudonym<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        write!(f, "{:016x}", KEY.hash_one((self.0.issuer(), self.0.subject())))
    }
}
