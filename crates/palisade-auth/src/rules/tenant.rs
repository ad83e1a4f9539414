use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use http::request;
use palisade_core::{ConfigError, Principal};

use super::{Denial, Rule, Verdict, path_template::PathTemplate};

/// Holds for members of the tenant in the request's path. Roles combined by [`and`](Rule::and) must be roles in this tenant.
///
/// `template` is the path of the route in axum's syntax, and `parameter` the name of its tenant segment. A tower layer does not
/// see the match of the router, so the rule parses the path itself, and more strictly than routers: a path that does not match
/// exactly is denied. That includes another case, additional or missing slashes, empty segments, `.` and `..`, and ambiguous
/// characters such as an encoded slash. The parameter is percent-decoded once, as in axum, and compared exactly.
///
/// The path is that of the layer's request: under axum's `nest`, without the prefix of the nest.
///
/// ```
/// use http::Request;
/// use palisade_auth::rules::{Rule, role, tenant_from_path};
/// use palisade_core::{Decision, Policy, Principal};
///
/// let rule = tenant_from_path("/orgs/{org_id}/items/{id}", "org_id")?.and(role("editor")).authorize();
///
/// let passes = |path: &str| {
///     let mut request = Request::get(path).body(()).unwrap();
///     let ada = Principal::new("ada").with_tenant_roles("acme", ["editor"]).with_tenant_roles("globex", ["viewer"]);
///     request.extensions_mut().insert(ada);
///     matches!(rule.decide(&request.into_parts().0), Decision::Now(Ok(())))
/// };
/// assert!(passes("/orgs/acme/items/7"));
/// assert!(!passes("/orgs/globex/items/7"));
/// assert!(!passes("/orgs/acme/items/7/"));
/// assert!(!passes("/orgs/globex/..%2Facme/items/7"));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// # Errors
///
/// If the template does not begin with a slash, does not contain the parameter exactly once as a whole segment, or has a
/// segment that no path can match.
pub fn tenant_from_path(template: &str, parameter: &str) -> Result<TenantFromPath, ConfigError> {
    Ok(TenantFromPath {
        path: Arc::new(PathTemplate::parse(template, parameter)?),
        name: format!("tenant {template}").into(),
        misfit: format!("the path does not fit {template}").into(),
        stranger: format!("not a member of the tenant {{{parameter}}}").into(),
    })
}

/// See [`tenant_from_path`].
#[derive(Clone)]
pub struct TenantFromPath {
    path: Arc<PathTemplate>,
    name: Arc<str>,
    misfit: Arc<str>,
    stranger: Arc<str>,
}

impl Rule for TenantFromPath {
    type About = request::Parts;

    fn decide(&self, caller: &Principal, request: &request::Parts) -> Verdict {
        let Some(tenant) = self.path.value_in(request.uri.path()) else {
            return Verdict::Deny(Denial::new(Arc::clone(&self.misfit)));
        };
        Verdict::holds_if(caller.is_member_of(&tenant), || Denial::new(Arc::clone(&self.stranger)))
    }

    fn tenant<'a>(&self, caller: &Principal, request: &'a request::Parts) -> Option<Cow<'a, str>> {
        self.path.value_in(request.uri.path()).filter(|tenant| caller.is_member_of(tenant))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for TenantFromPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}

/// Holds for members of the tenant that a resource belongs to, for [`Identity::require`](crate::Identity::require).
/// Roles that it is combined with by [`and`](Rule::and) are those that the caller has in this tenant. A resource whose
/// tenant is empty belongs to no tenant.
///
/// ```
/// use palisade_auth::{Identity, rules::{Rule, role, tenant}};
/// use palisade_core::Principal;
///
/// struct Report { org: String }
///
/// let rule = tenant(|report: &Report| report.org.as_str()).and(role("editor"));
/// let ada = Identity::new((), Principal::new("ada").with_tenant_roles("acme", ["editor"]).with_tenants(["acme", "globex"]));
/// assert!(ada.may(&rule, &Report { org: "acme".into() }));
/// assert!(!ada.may(&rule, &Report { org: "globex".into() }));
/// ```
pub fn tenant<T, F>(tenant_of: F) -> Tenant<T, F>
where
    T: ?Sized,
    F: Fn(&T) -> &str,
{
    Tenant { tenant_of, stranger: "not a member of the tenant".into(), about: PhantomData }
}

/// See [`tenant`].
pub struct Tenant<T: ?Sized, F> {
    tenant_of: F,
    stranger: Arc<str>,
    about: PhantomData<fn(&T)>,
}

impl<T, F> Rule for Tenant<T, F>
where
    T: ?Sized + 'static,
    F: Fn(&T) -> &str + Send + Sync + 'static,
{
    type About = T;

    fn decide(&self, caller: &Principal, resource: &T) -> Verdict {
        let is_member = self.tenant(caller, resource).is_some();
        Verdict::holds_if(is_member, || Denial::new(Arc::clone(&self.stranger)))
    }

    fn tenant<'a>(&self, caller: &Principal, resource: &'a T) -> Option<Cow<'a, str>> {
        let tenant = (self.tenant_of)(resource);
        (!tenant.is_empty() && caller.is_member_of(tenant)).then_some(Cow::Borrowed(tenant))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tenant")
    }
}

impl<T: ?Sized, F: Clone> Clone for Tenant<T, F> {
    fn clone(&self) -> Self {
        Self {
            tenant_of: self.tenant_of.clone(),
            stranger: Arc::clone(&self.stranger),
            about: PhantomData,
        }
    }
}

impl<T: ?Sized, F> fmt::Debug for Tenant<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tenant")
    }
}
