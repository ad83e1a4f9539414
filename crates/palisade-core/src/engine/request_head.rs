use http::request;

use crate::{Decision, Policy, Trail};

/// The head of a request that passes the policies of a stage, which are recorded if it has a [`Trail`].
#[doc(hidden)]
#[derive(Debug)]
pub struct RequestHead<'a> {
    pub(crate) parts: &'a mut request::Parts,
    trail: TrailState,
}

/// Whether the request has a trail. A chain without a policy that adds one looks for it once, instead of after each policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailState {
    Absent,
    MayBeAdded,
    Present,
}

impl<'a> RequestHead<'a> {
    /// `adds_trail`: one of the policies inserts a trail.
    #[inline]
    pub(crate) fn new(parts: &'a mut request::Parts, adds_trail: bool) -> Self {
        let trail = if Trail::from_extensions(&parts.extensions).is_some() {
            TrailState::Present
        } else if adds_trail {
            TrailState::MayBeAdded
        } else {
            TrailState::Absent
        };
        Self { parts, trail }
    }

    /// Calls [`Policy::decide`], and records the decision.
    #[inline]
    pub(crate) fn decide<P: Policy>(&self, policy: &P) -> Decision<P::Grant> {
        if self.trail == TrailState::Present {
            Trail::decide(policy, self.parts)
        } else {
            policy.decide(self.parts)
        }
    }

    /// Calls [`Policy::admit`], and records what it has inserted.
    #[inline]
    pub(crate) fn admit<P: Policy>(&mut self, policy: &P, grant: &mut P::Grant) {
        policy.admit(grant, self.parts);
        if self.trail != TrailState::Absent {
            self.look_at();
        }
    }

    #[inline(never)]
    fn look_at(&mut self) {
        if let Some(trail) = Trail::from_extensions(&self.parts.extensions) {
            trail.look_at(self.parts);
            self.trail = TrailState::Present;
        }
    }
}
