//! Runs policies around a service: the stages of a chain, and the layer that is made of them.

mod chain;
mod layer;
mod policies;
mod request_head;
mod stage;

pub use self::{
    layer::{PolicyFuture, PolicyLayer, PolicyService},
    stage::{AnsweredByPolicy, NoPolicies, Stage},
};
pub(crate) use self::{
    policies::{Policies, refused},
    request_head::RequestHead,
    stage::{Entry, Refusal, Sealed, answer, replace_head},
};
