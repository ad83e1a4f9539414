use crate::Stage;

/// A policy or a chain of policies, given by value or by reference. A reference is cloned.
///
/// `Given` is [`ByValue`] or [`ByReference`], and is inferred.
///
/// ```
/// # use http::request;
/// # use palisade_core::{Decision, IntoStage, Policy, PolicyLayer};
/// # #[derive(Clone)]
/// # struct Auth;
/// # impl Policy for Auth { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// fn guard<G>(stage: impl IntoStage<G, Stage = Auth>) -> PolicyLayer<Auth> {
///     PolicyLayer::new(stage.into_stage())
/// }
///
/// let auth = Auth;
/// guard(&auth);
/// guard(auth);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a policy, a chain of policies, or a reference to one that is `Clone`",
    label = "not a policy",
    note = "a builder makes a policy with `.build()?`, which checks the settings",
    note = "implement `palisade::Policy` for a policy of your own; other tower layers go into a stack with `.layer(…)`"
)]
pub trait IntoStage<Given> {
    /// The policy or the chain.
    type Stage: Stage;

    /// Returns the policy or the chain.
    fn into_stage(self) -> Self::Stage;
}

/// See [`IntoStage`].
#[derive(Clone, Copy, Debug)]
pub enum ByValue {}

/// See [`IntoStage`].
#[derive(Clone, Copy, Debug)]
pub enum ByReference {}

impl<S: Stage> IntoStage<ByValue> for S {
    type Stage = S;

    fn into_stage(self) -> S {
        self
    }
}

impl<S: Stage + Clone> IntoStage<ByReference> for &S {
    type Stage = S;

    fn into_stage(self) -> S {
        self.clone()
    }
}
