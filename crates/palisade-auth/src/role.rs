use http::request;
use palisade_core::{Decision, Policy, PolicyLayer};

use crate::{
    decided,
    rules::{Authorize, HasRoles, Rule, any_role},
};

/// Requires one of the roles: 401 without an identity, 403 without a role.
///
/// It is the rule [`any_role`] as a policy, for the [`Principal`](palisade_core::Principal) that an outer authentication
/// left on the request. After a rule about a tenant it is a role in that tenant. Roles are compared character for
/// character. An empty list rejects every caller.
///
/// ```
/// use http::Request;
/// use palisade_auth::RequireRole;
/// use palisade_core::{Decision, Policy, Principal};
///
/// let staff = RequireRole::any(["admin", "support"]);
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(Principal::new("ada").with_roles(["support"]));
/// assert!(matches!(staff.decide(&request.into_parts().0), Decision::Now(Ok(()))));
/// ```
#[derive(Clone, Debug)]
pub struct RequireRole {
    rule: Authorize<HasRoles<request::Parts>>,
}

impl RequireRole {
    /// Requires one of these roles.
    pub fn any<R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> Self {
        Self { rule: any_role(roles).authorize() }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

/// Requires one of these roles.
impl<R: Into<Box<str>>, const N: usize> From<[R; N]> for RequireRole {
    fn from(roles: [R; N]) -> Self {
        Self::any(roles)
    }
}

/// A step of a stack takes its policy by value or by reference.
impl From<&Self> for RequireRole {
    fn from(roles: &Self) -> Self {
        roles.clone()
    }
}

/// Requires one of these roles.
impl<R: Into<Box<str>>> From<Vec<R>> for RequireRole {
    fn from(roles: Vec<R>) -> Self {
        Self::any(roles)
    }
}

impl Policy for RequireRole {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        self.rule.decide(request)
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        // Unlike other rules it is about no tenant, so the caller stays as it is.
        decided::mark(request);
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};
    use palisade_core::{Halt, Principal};

    use super::*;

    fn outcome(required: &[&str], principal: Option<Principal>) -> StatusCode {
        let mut request = Request::new(());
        if let Some(principal) = principal {
            request.extensions_mut().insert(principal);
        }
        match RequireRole::any(required.iter().copied()).decide(&request.into_parts().0) {
            Decision::Now(Ok(())) => StatusCode::OK,
            Decision::Now(Err(Halt::Refuse(error))) => error.status(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn anonymous_gets_401_and_a_missing_role_403() {
        let user = || Some(Principal::new("ada").with_roles(["user"]));
        assert_eq!(outcome(&["admin"], None), StatusCode::UNAUTHORIZED);
        assert_eq!(outcome(&["admin"], user()), StatusCode::FORBIDDEN);
        assert_eq!(outcome(&["Users", "USER", "user "], user()), StatusCode::FORBIDDEN);
        assert_eq!(outcome(&["admin", "user"], user()), StatusCode::OK);
        assert_eq!(outcome(&[], user()), StatusCode::FORBIDDEN);
    }
}
