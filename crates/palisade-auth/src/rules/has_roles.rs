use std::{fmt, marker::PhantomData, sync::Arc};

use palisade_core::Principal;

use super::{Denial, Predicate, Rule, Verdict, needs::Needs};

/// Holds for callers who have the role, character for character.
///
/// Combined with a rule about a [tenant](super::tenant_from_path) by [`and`](Rule::and) it is the role in that tenant;
/// alone it is a role that the caller has everywhere.
///
/// No caller has a misspelt role. If the roles are known beforehand, make rules from a
/// [`RoleHierarchy`](super::RoleHierarchy), which rejects roles that are not declared.
///
/// ```
/// use palisade_auth::{Identity, rules::role};
/// use palisade_core::Principal;
///
/// let ada = Identity::new((), Principal::new("ada").with_roles(["admin"]));
/// assert!(ada.may(&role("admin"), "any resource"));
/// assert!(!ada.may(&role("Admin"), "any resource"));
/// ```
pub fn role<T: ?Sized>(role: impl Into<Box<str>>) -> HasRoles<T> {
    any_role([role])
}

/// Holds for callers who have one of the roles. An empty list holds for no caller.
pub fn any_role<T: ?Sized, R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> HasRoles<T> {
    HasRoles::new([roles.into_iter().map(Into::into).collect()])
}

/// Holds for callers who have all of the roles. An empty list holds for no caller: it is not a permission.
pub fn all_roles<T: ?Sized, R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> HasRoles<T> {
    HasRoles::new(roles.into_iter().map(|role| vec![role.into()]))
}

/// See [`role`], [`any_role`] and [`all_roles`].
pub struct HasRoles<T: ?Sized> {
    /// If empty, the rule holds for no caller.
    needs: Arc<Needs>,
    lacking: Arc<str>,
    about: PhantomData<fn(&T)>,
}

impl<T: ?Sized> HasRoles<T> {
    /// One role of each of `needs`.
    pub(super) fn new(needs: impl IntoIterator<Item = Vec<Box<str>>>) -> Self {
        let needs = Arc::new(Needs::new(needs));
        Self { lacking: format!("not {needs}").into(), needs, about: PhantomData }
    }
}

impl<T: ?Sized + 'static> Rule for HasRoles<T> {
    type About = T;

    fn decide(&self, caller: &Principal, _: &T) -> Verdict {
        let holds = self.needs.are_met_by(|| caller.roles());
        Verdict::holds_if(holds, || Denial::new(Arc::clone(&self.lacking)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.needs)
    }
}

impl<T: ?Sized + 'static> Predicate for HasRoles<T> {}

impl<T: ?Sized> Clone for HasRoles<T> {
    fn clone(&self) -> Self {
        Self {
            needs: Arc::clone(&self.needs),
            lacking: Arc::clone(&self.lacking),
            about: PhantomData,
        }
    }
}

impl<T: ?Sized> fmt::Debug for HasRoles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.needs)
    }
}
