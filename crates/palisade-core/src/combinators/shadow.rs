use std::{borrow::Cow, fmt, future::poll_fn, sync::Arc, task::Poll};

use http::request;

use crate::{ApiError, Decision, Halt, IntoPolicy, Policy, panics::caught};

/// Runs `policy`, one or several in a row, on trial: records its decision, and allows every request unchanged.
///
/// The policy neither admits nor finishes, so it changes neither the request nor the response. Each decision other than a
/// grant is a `tracing` event at level INFO, target `palisade::shadow`; use [`Shadow::record`] to count them. A decision
/// that comes later is awaited. Among the policies of an [`any_of`](crate::any_of), a policy on trial does not count.
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
pub fn shadow<P: IntoPolicy>(policy: P) -> Shadow<P::Policy> {
    Shadow { policy: policy.into_policy(), record: None }
}

/// See [`shadow`].
#[derive(Clone)]
pub struct Shadow<P> {
    policy: P,
    record: Option<Arc<Record>>,
}

type Record = dyn Fn(Outcome<'_>) + Send + Sync;

/// The decision of a policy.
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
    pub(crate) fn from_result<G>(outcome: &'a Result<G, Halt>) -> Self {
        outcome.as_ref().map_or_else(Self::of_halt, |_| Self::Granted)
    }

    pub(crate) fn of_halt(halt: &'a Halt) -> Self {
        halt.error().map_or(Self::Replied, Self::of_error)
    }

    /// Returns the outcome for an error: a rejection, or a failure if it is a 5xx.
    ///
    /// ```
    /// use palisade_core::{ApiError, Outcome};
    ///
    /// assert_eq!(Outcome::of_error(&ApiError::forbidden()), Outcome::Refused { code: "FORBIDDEN" });
    /// assert_eq!(Outcome::of_error(&ApiError::unavailable()), Outcome::CouldNotTell { code: "UNAVAILABLE" });
    /// ```
    pub fn of_error(error: &'a ApiError) -> Self {
        let code = error.code();
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

/// The grant of a shadowed policy.
pub struct OnTrial(Option<Halt>);

impl OnTrial {
    /// Returns the decision that the policy would have made.
    pub fn outcome(&self) -> Outcome<'_> {
        self.0.as_ref().map_or(Outcome::Granted, Outcome::of_halt)
    }
}

impl fmt::Debug for OnTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnTrial").field(&self.outcome()).finish()
    }
}

impl<P: Policy> Policy for Shadow<P> {
    type Grant = OnTrial;

    fn prepare(&self, request: &mut request::Parts) {
        self.policy.prepare(request);
    }

    fn decide(&self, request: &request::Parts) -> Decision<OnTrial> {
        // A panic of a shadowed policy counts as a failure, and the request is admitted.
        let policy = || self.policy.name();
        let decision = caught(policy, || self.policy.decide(request));
        match decision.unwrap_or_else(Decision::refuse) {
            Decision::Now(outcome) => {
                Decision::grant(recorded(policy, outcome.err(), self.record.as_deref()))
            }
            Decision::Later(mut decision) => {
                let (record, policy) = (self.record.clone(), self.policy.name());
                Decision::later(async move {
                    let outcome = poll_fn(|cx| {
                        let polled = caught(|| policy.clone(), || decision.as_mut().poll(cx));
                        polled.unwrap_or_else(|error| Poll::Ready(Err(error.into())))
                    });
                    let refused = outcome.await.err();
                    Ok(recorded(|| policy, refused, record.as_deref()))
                })
            }
        }
    }

    fn would_have_said<'a>(&self, said: &'a OnTrial) -> Option<Outcome<'a>> {
        Some(said.outcome())
    }

    /// Returns true: a shadowed policy does not allow requests.
    fn abstains(_: &OnTrial) -> bool {
        true
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn name(&self) -> Cow<'static, str> {
        self.policy.name()
    }
}

fn recorded(
    policy: impl FnOnce() -> Cow<'static, str>,
    refused: Option<Halt>,
    record: Option<&Record>,
) -> OnTrial {
    let said = OnTrial(refused);
    let outcome = said.outcome();
    if outcome != Outcome::Granted {
        let policy = &*policy();
        tracing::info!(target: "palisade::shadow", policy, ?outcome, "would not have passed");
    }
    if let Some(record) = record {
        record(outcome);
    }
    said
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        task::{Context, Waker},
    };

    use http::Request;

    use super::*;

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
    fn shadow_records_outcomes_and_always_allows() {
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
    fn shadow_allows_after_an_asynchronous_rejection() {
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
        assert!(matches!(polled, Poll::Ready(Ok(_))));
    }
}
