use std::collections::{BTreeMap, BTreeSet};

use palisade_core::ConfigError;

use super::HasRoles;

/// The roles that exist, and which of them include others.
///
/// Everything is worked out when it is built; a request costs no more than a list of roles.
///
/// ```
/// use palisade_auth::{Identity, rules::RoleHierarchy};
/// use palisade_core::Principal;
///
/// let roles = RoleHierarchy::new()
///     .role("admin").includes(["editor"])
///     .role("editor").includes(["viewer"])
///     .role("viewer")
///     .build()?;
///
/// // an admin is a viewer too
/// let ada = Identity::new((), Principal::new("ada").with_roles(["admin"]));
/// assert!(ada.may(&roles.role("viewer")?, "any resource"));
///
/// // a role that does not exist is an error, not a rule that rejects every caller
/// assert!(roles.role::<str>("veiwer").is_err());
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RoleHierarchy {
    declared: Vec<Declared>,
    /// An `includes` that follows no role.
    homeless: Option<String>,
}

#[derive(Clone, Debug)]
struct Declared {
    role: String,
    includes: Vec<String>,
}

const SETTING: &str = "role";

impl RoleHierarchy {
    /// Creates an empty hierarchy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.declared.push(Declared { role: role.into(), includes: Vec::new() });
        self
    }

    /// Includes these roles in the role that was declared last: a caller who has that one has these too. They must be
    /// declared, before or after.
    #[must_use]
    pub fn includes<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        let roles = roles.into_iter().map(Into::into);
        match self.declared.last_mut() {
            Some(declared) => declared.includes.extend(roles),
            None => self.homeless = roles.into_iter().next().or(self.homeless),
        }
        self
    }

    /// Works out who has which role.
    ///
    /// # Errors
    ///
    /// If a role is empty or declared twice, includes one that is not declared, or includes itself, be it through
    /// others; or if no role is declared.
    pub fn build(self) -> Result<Roles, ConfigError> {
        if let Some(role) = self.homeless {
            return Err(ConfigError::new(SETTING, role, "call `role` before `includes`"));
        }
        if self.declared.is_empty() {
            return Err(ConfigError::without_value("roles", "declare one"));
        }
        let mut includes = BTreeMap::new();
        for Declared { role, includes: included } in self.declared {
            if role.is_empty() {
                return Err(ConfigError::new(SETTING, role, "give it a name"));
            }
            if includes.contains_key(&role) {
                return Err(ConfigError::new(SETTING, role, "declare it once"));
            }
            includes.insert(role, included);
        }
        for (role, included) in &includes {
            if let Some(unknown) = included.iter().find(|role| !includes.contains_key(*role)) {
                let remedy = format!("`{role}` includes it: declare it with `role`");
                return Err(ConfigError::new(SETTING, unknown, remedy));
            }
        }
        // Who has a role: it, and all that include it.
        let mut holders: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for role in includes.keys() {
            for implied in implied_by(role, &includes)? {
                holders.entry(implied.into()).or_default().insert(role.as_str().into());
            }
        }
        Ok(Roles { holders })
    }
}

/// The role and everything that it includes, without recursion: a long chain of roles costs no stack.
fn implied_by<'r>(
    role: &'r str,
    includes: &'r BTreeMap<String, Vec<String>>,
) -> Result<BTreeSet<&'r str>, ConfigError> {
    let mut implied = BTreeSet::from([role]);
    let mut to_visit = vec![role];
    while let Some(next) = to_visit.pop() {
        for included in includes.get(next).into_iter().flatten() {
            if included == role {
                let remedy =
                    format!("it includes itself, through `{next}`: leave out one of the two");
                return Err(ConfigError::new(SETTING, role, remedy));
            }
            if implied.insert(included) {
                to_visit.push(included);
            }
        }
    }
    Ok(implied)
}

/// A set of declared roles; see [`RoleHierarchy`]. Its rules accept no other roles.
#[derive(Clone, Debug)]
pub struct Roles {
    holders: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
}

impl Roles {
    /// Like [`role`](super::role).
    ///
    /// # Errors
    ///
    /// If the role is not declared.
    pub fn role<T: ?Sized>(&self, role: &str) -> Result<HasRoles<T>, ConfigError> {
        self.any_role([role])
    }

    /// Like [`any_role`](super::any_role).
    ///
    /// # Errors
    ///
    /// If a role is not declared, or the list is empty.
    pub fn any_role<'r, T: ?Sized>(
        &self,
        roles: impl IntoIterator<Item = &'r str>,
    ) -> Result<HasRoles<T>, ConfigError> {
        let mut any = BTreeSet::new();
        for role in roles {
            any.extend(self.holders_of(role)?.cloned());
        }
        if any.is_empty() {
            return Err(ConfigError::without_value("roles", "name one"));
        }
        Ok(HasRoles::new([any.into_iter().collect()]))
    }

    /// Like [`all_roles`](super::all_roles).
    ///
    /// # Errors
    ///
    /// If a role is not declared, or the list is empty.
    pub fn all_roles<'r, T: ?Sized>(
        &self,
        roles: impl IntoIterator<Item = &'r str>,
    ) -> Result<HasRoles<T>, ConfigError> {
        let mut all = Vec::new();
        for role in roles {
            all.push(self.holders_of(role)?.cloned().collect());
        }
        if all.is_empty() {
            return Err(ConfigError::without_value("roles", "name one"));
        }
        Ok(HasRoles::new(all))
    }

    fn holders_of(&self, role: &str) -> Result<impl Iterator<Item = &Box<str>>, ConfigError> {
        let holders = self.holders.get(role).ok_or_else(|| {
            let declared: Vec<_> = self.holders.keys().map(AsRef::as_ref).collect();
            ConfigError::new(
                SETTING,
                role,
                format!("it is not declared; use one of {}", declared.join(", ")),
            )
        })?;
        Ok(holders.iter())
    }
}

#[cfg(test)]
mod tests {
    use palisade_core::Principal;

    use super::*;
    use crate::Identity;

    fn staff() -> Roles {
        RoleHierarchy::new()
            .role("viewer")
            .role("admin")
            .includes(["editor", "auditor"])
            .role("editor")
            .includes(["viewer"])
            .role("auditor")
            .includes(["viewer"])
            .role("guest")
            .build()
            .unwrap()
    }

    #[test]
    fn role_includes_lower_roles_but_not_higher_ones() {
        for (has, passes) in [
            ("admin", &["admin", "editor", "auditor", "viewer"][..]),
            ("editor", &["editor", "viewer"]),
            ("auditor", &["auditor", "viewer"]),
            ("viewer", &["viewer"]),
            ("guest", &["guest"]),
            ("", &[]),
            ("Admin", &[]),
        ] {
            let caller = Identity::new((), Principal::new("ada").with_roles([has]));
            for wanted in ["admin", "editor", "auditor", "viewer", "guest"] {
                let rule = staff().role(wanted).unwrap();
                assert_eq!(caller.may(&rule, &()), passes.contains(&wanted), "{has}, {wanted}");
            }
            let all = staff().all_roles(["editor", "auditor"]).unwrap();
            assert_eq!(caller.may(&all, &()), has == "admin", "{has}");
            let any = staff().any_role(["editor", "guest"]).unwrap();
            assert_eq!(caller.may(&any, &()), ["admin", "editor", "guest"].contains(&has), "{has}");
        }
    }

    #[test]
    fn invalid_hierarchies_are_config_errors() {
        let new = RoleHierarchy::new;
        for (hierarchy, says) in [
            (new(), "declare one"),
            (new().role(""), "give it a name"),
            (new().role("a").role("a"), "declare it once"),
            (new().includes(["a"]).role("a"), "before `includes`"),
            (new().role("a").includes(["b"]), "`a` includes it"),
            (new().role("a").includes(["a"]), "through `a`"),
            (new().role("a").includes(["b"]).role("b").includes(["a"]), "through `b`"),
            (
                new()
                    .role("x")
                    .includes(["a"])
                    .role("a")
                    .includes(["b"])
                    .role("b")
                    .includes(["c"])
                    .role("c")
                    .includes(["a"]),
                "through `c`",
            ),
        ] {
            let error = hierarchy.build().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn undeclared_roles_are_config_errors() {
        let error = staff().role::<()>("admni").unwrap_err().to_string();
        assert!(error.contains("`admni`") && error.contains("viewer"), "{error}");
        assert!(staff().any_role::<()>(["admin", "admni"]).is_err());
        assert!(staff().all_roles::<()>(["admin", "admni"]).is_err());
        assert!(staff().any_role::<()>([]).is_err());
        assert!(staff().all_roles::<()>([]).is_err());
    }

    #[test]
    fn chain_of_200_roles_is_resolved() {
        let chain = (0..200).fold(RoleHierarchy::new(), |roles, number| {
            roles.role(format!("r{number}")).includes([format!("r{}", number + 1)])
        });
        let roles = chain.role("r200").build().unwrap();
        let caller = Identity::new((), Principal::new("ada").with_roles(["r0"]));
        assert!(caller.may(&roles.role("r200").unwrap(), &()));
    }
}
