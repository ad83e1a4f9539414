use std::{borrow::Cow, fmt, future::poll_fn, sync::Arc, task::Poll};

use http::request;

use crate::{Allowed, Decision, Description, Halt, IntoPolicy, Outcome, Policy, panics::caught};

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

type Record = dyn Fn(&Outcome) + Send + Sync;

impl<P> Shadow<P> {
    /// Calls `record` with each decision.
    #[must_use]
    pub fn record(mut self, record: impl Fn(&Outcome) + Send + Sync + 'static) -> Self {
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
    pub fn outcome(&self) -> Outcome {
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
        let policy = || self.policy.describe().into_name();
        let decision = caught(policy, || self.policy.decide(request));
        match decision.unwrap_or_else(Decision::refuse) {
            Decision::Now(outcome) => {
                Decision::grant(recorded(policy, outcome.err(), self.record.as_deref()))
            }
            Decision::Later(mut decision) => {
                let (record, policy) = (self.record.clone(), policy());
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

    /// The policy writes no headers.
    fn describe(&self) -> Description {
        Description::new(self.policy.describe().into_name())
    }

    fn allowed(said: &OnTrial) -> Allowed {
        Allowed::OnTrial(said.outcome())
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;
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
        record(&outcome);
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
