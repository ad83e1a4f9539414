//! Rules about what a caller may do, as values that can be combined.
//!
//! ```
//! use palisade_auth::rules::{Rule, deny, role, scope, tenant_from_path};
//!
//! // members of the organisation in the path, who may write, and are not suspended
//! let rule = tenant_from_path("/orgs/{org_id}/reports/{id}", "org_id")?
//!     .and(role("editor").or(scope("reports:write")))
//!     .and(deny(role("suspended")));
//!
//! // a policy, and so a tower layer
//! let layer = rule.authorize().layer();
//! # Ok::<_, palisade_core::ConfigError>(())
//! ```
//!
//! A rule allows, denies, abstains or fails ([`Verdict`]). A request is allowed if at least one rule allows it and no [`deny`]
//! rule denies it. If all rules abstain, it is denied. A `deny` rule overrides all others, and denies if it fails. No
//! combination turns a failure into an admission, and no rule is evaluated without an authenticated caller.
//!
//! - On a route: [`Rule::authorize`], or `with_rule` of the `palisade` crate.
//! - For a resource that a handler has loaded: [`Identity::require`](crate::Identity::require).
//! - Roles that include others: [`RoleHierarchy`].
//! - Roles within an organisation: [`tenant_from_path`] and [`tenant()`], and then a role.
//!
//! A rule is evaluated on the request of its layer. The same rules apply to `HEAD` and `OPTIONS` as to `GET`, and no header
//! changes the method.

mod and_or;
mod authorize;
mod check;
mod deny;
mod has_roles;
mod has_scopes;
mod hidden;
mod hierarchy;
mod judge;
mod needs;
mod not;
mod owner;
mod path_template;
mod resource;
mod rule;
mod tenant;
mod verdict;

pub use and_or::{And, Or};
pub use authorize::Authorize;
pub use check::{Check, CheckResult, check, check_resource};
pub use deny::{Deny, deny};
pub use has_roles::{HasRoles, all_roles, any_role, role};
pub use has_scopes::{HasScopes, scope};
pub use hidden::Hidden;
pub use hierarchy::{RoleHierarchy, Roles};
pub use not::Not;
pub use owner::{Owner, owner};
pub use rule::{Predicate, Rule};
pub use tenant::{Tenant, TenantFromPath, tenant, tenant_from_path};
pub use verdict::{Denial, Verdict};
