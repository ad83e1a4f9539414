use std::{borrow::Cow, fmt, sync::Arc};

use http::request;

use crate::{ApiError, Decision, Halt, Policy, Trail};

/// Lets `policy` decide and records what it would have said; the request always passes, as it came.
///
/// The policy neither admits nor finishes, so nothing on the request or the response shows that it was there. Each
/// decision other than a grant is a `tracing` event at level INFO, target `palisade::shadow`; use
/// [`Shadow::record`] to count them yourself. A decision that comes later is waited for.
///
/// ```
/// # use http::request;
/// # use palisade_core::{ApiError, Decision, Outcome, Policy, shadow};
/// # struct NewRule;
/// # impl Policy for NewRule { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::refuse(ApiError::forbidden()) } }
/// let trial = shadow(NewRule).record(|outcome| {
///     if let Outcome::Refused { code } = outcome { println!("would have refused: {code}") }
/// });
/// ```
pub fn shadow<P: Policy>(policy: P) -> Shadow<P> {
    Shadow { policy, record: None }
}

/// See [`shadow`].
#[derive(Clone)]
pub struct Shadow<P> {
    policy: P,
    record: Option<Arc<Record>>,
}

type Record = dyn Fn(Outcome<'_>) + Send + Sync;

/// What a policy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// The request may pass.
    Granted,
    /// The policy answers itself, and not with an error.
    Replied,
    /// The request may not pass.
    Refused {
        /// The machine code of the error.
        code: &'a str,
    },
    /// The policy failed to find out.
    CouldNotTell {
        /// The machine code of the error.
        code: &'a str,
    },
}

impl<'a> Outcome<'a> {
    pub(crate) fn of<G>(outcome: &'a Result<G, Halt>) -> Self {
        outcome.as_ref().map_or_else(Self::of_halt, |_| Self::Granted)
    }

    pub(crate) fn of_halt(halt: &'a Halt) -> Self {
        match halt {
            Halt::Reply(_) => Self::Replied,
            Halt::Refuse(error) => Self::of_error(error),
        }
    }

    pub(crate) fn of_error(error: &'a ApiError) -> Self {
        let code = error.code();
        if error.status().is_server_error() {
            Self::CouldNotTell { code }
        } else {
            Self::Refused { code }
        }
    }

    /// `granted`, `replied`, `refused` or `could_not_tell`: what logs and metrics call it.
    ///
    /// ```
    /// use palisade_core::Outcome;
    ///
    /// assert_eq!(Outcome::Refused { code: "FORBIDDEN" }.name(), "refused");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Replied => "replied",
            Self::Refused { .. } => "refused",
            Self::CouldNotTell { .. } => "could_not_tell",
        }
    }

    /// The machine code of the error, where there is one.
    ///
    /// ```
    /// use palisade_core::Outcome;
    ///
    /// assert_eq!(Outcome::Refused { code: "FORBIDDEN" }.code(), Some("FORBIDDEN"));
    /// assert_eq!(Outcome::Granted.code(), None);
    /// ```
    pub fn code(self) -> Option<&'a str> {
        match self {
            Self::Granted | Self::Replied => None,
            Self::Refused { code } | Self::CouldNotTell { code } => Some(code),
        }
    }
}

impl<P> Shadow<P> {
    /// Calls `record` with each decision.
    #[must_use]
    pub fn record(mut self, record: impl Fn(Outcome<'_>) + Send + Sync + 'static) -> Self {
        self.record = Some(Arc::new(record));
        self
    }
}

impl<P: fmt::Debug> fmt::Debug for Shadow<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("shadow").field(&self.policy).finish()
    }
}

impl<P: Policy> Policy for Shadow<P> {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let trail = Trail::of(&request.extensions);
        match self.policy.decide(request) {
            Decision::Now(outcome) => {
                let policy = || self.policy.name();
                note(policy, Outcome::of(&outcome), trail, self.record.as_deref());
                Decision::grant(())
            }
            Decision::Later(decision) => {
                let (record, trail) = (self.record.clone(), trail.cloned());
                let policy = self.policy.name();
                Decision::later(async move {
                    let outcome = decision.await;
                    note(|| policy, Outcome::of(&outcome), trail.as_ref(), record.as_deref());
                    Ok(())
                })
            }
        }
    }

    fn name(&self) -> Cow<'static, str> {
        self.policy.name()
    }
}

fn note(
    policy: impl FnOnce() -> Cow<'static, str>,
    outcome: Outcome<'_>,
    trail: Option<&Trail>,
    record: Option<&Record>,
) {
    if let Some(trail) = trail {
        trail.note_shadow(outcome);
    }
    if outcome != Outcome::Granted {
        let policy = &*policy();
        tracing::info!(target: "palisade::shadow", policy, ?outcome, "would not have passed");
    }
    if let Some(record) = record {
        record(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        task::{Context, Waker},
    };

    use http::Request;

    use super::*;
    use crate::ApiError;

    type Answer = fn() -> Result<(), Halt>;

    struct Says(Answer);

    impl Policy for Says {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            (self.0)().into()
        }

        fn admit(&self, (): &mut (), _: &mut request::Parts) {
            panic!("a shadow leaves no trace")
        }
    }

    #[test]
    fn a_shadow_records_and_never_refuses() {
        #[rustfmt::skip]
        let table: [(Answer, &str); 4] = [
            (|| Ok(()), "Granted"),
            (|| Err(ApiError::forbidden().into()), "Refused { code: \"FORBIDDEN\" }"),
            (|| Err(ApiError::unavailable().into()), "CouldNotTell { code: \"UNAVAILABLE\" }"),
            (|| Err(Halt::Reply(Box::default())), "Replied"),
        ];
        for (says, expected) in table {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let policy = shadow(Says(says)).record({
                let seen = Arc::clone(&seen);
                move |outcome| seen.lock().unwrap().push(format!("{outcome:?}"))
            });
            let (mut head, ()) = Request::new(()).into_parts();
            let Decision::Now(Ok(mut grant)) = policy.decide(&head) else { panic!("it refused") };
            policy.admit(&mut grant, &mut head);
            assert_eq!(*seen.lock().unwrap(), [expected]);
        }
    }

    #[test]
    fn a_later_refusal_passes_too() {
        struct Late;
        impl Policy for Late {
            type Grant = ();
            fn decide(&self, _: &request::Parts) -> Decision<()> {
                Decision::later(async { Err(ApiError::forbidden().into()) })
            }
        }
        let (head, ()) = Request::new(()).into_parts();
        let Decision::Later(mut decision) = shadow(Late).decide(&head) else { panic!("not late") };
        let polled = decision.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, std::task::Poll::Ready(Ok(()))));
    }
}
