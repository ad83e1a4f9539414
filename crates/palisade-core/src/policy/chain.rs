/// Two policies or chains as one: `A` outside, `B` inside it.
///
/// `decide` and `admit` of A run, then those of B; on the way out `finish` of B, then of A. If B rejects the request, `finish` of A
/// runs on the rejection, so that a 429 has its CORS headers. A chain of any length costs one `Arc` to clone per request, one
/// future and one body.
///
/// ```
/// use palisade_core::{Chain, Policy, PolicyLayer};
/// # use http::request;
/// # use palisade_core::Decision;
/// # struct A; struct B; struct C;
/// # impl Policy for A { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// # impl Policy for B { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// # impl Policy for C { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// let layer: PolicyLayer<Chain<Chain<A, B>, C>> = PolicyLayer::new(A.then(B).then(C));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<A, B>(
    /// The outer one.
    pub A,
    /// The inner one.
    pub B,
);

impl<A, B> Chain<A, B> {
    /// Returns this chain, and `next` inside it.
    pub fn then<N>(self, next: N) -> Chain<Self, N> {
        Chain(self, next)
    }
}
