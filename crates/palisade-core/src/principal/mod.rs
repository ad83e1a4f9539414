mod names;

use std::{collections::HashMap, fmt};

use names::{Names, Tenant, Writer};

/// The caller of a request: an identity with its roles, scopes and tenants.
///
/// Authentication inserts it into the request's extensions. Roles are checked and limits are counted by it. It is cheap to
/// clone. On axum it is an extractor (feature `axum`), which works behind every authentication, also behind
/// [`any_of`](crate::any_of) with schemes of different claims: `async fn handler(caller: Principal)`, or
/// `Option<Principal>` with optional authentication.
///
/// Two principals are equal if they name the same caller with the same rights; how the caller authenticated does not
/// matter.
///
/// ```
/// use palisade_core::Principal;
///
/// let ada = Principal::new("ada").issued_by("https://issuer.example").with_roles(["admin"]).with_tenants(["acme"]);
/// assert!(ada.has_role("admin"));
/// assert!(ada.is_member_of("acme"));
/// assert_eq!((ada.issuer(), ada.subject()), ("https://issuer.example", "ada"));
///
/// // a role in one tenant is not a role in another
/// let grace = Principal::new("grace").with_tenant_roles("acme", ["editor"]).with_tenant_roles("globex", ["viewer"]);
/// assert!(grace.in_tenant("acme").unwrap().has_role("editor"));
/// assert!(!grace.in_tenant("globex").unwrap().has_role("editor"));
/// assert!(!grace.has_role("editor"));
/// ```
#[derive(Clone)]
pub struct Principal {
    names: Names,
    /// The position of the tenant that the caller acts in.
    tenant: Option<usize>,
    method: &'static str,
    foreign: bool,
}

impl Principal {
    /// Returns the principal that its issuer calls `subject`.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self::with_names(Writer::new("", &subject.into()).roles(NONE).scopes(NONE).finish())
    }

    /// Returns the principal with these names: one allocation, where each of the other methods that set names makes one.
    /// A tenant comes with the roles that the caller has in it only, and is named once.
    ///
    /// ```
    /// use palisade_core::Principal;
    ///
    /// let ada = Principal::from_names(
    ///     "https://issuer.example",
    ///     "ada",
    ///     ["member"],
    ///     ["orders:read"],
    ///     [("acme", &["editor"][..])],
    /// );
    /// assert!(ada.has_role("member") && ada.has_scope("orders:read"));
    /// assert!(ada.in_tenant("acme").unwrap().has_role("editor"));
    /// ```
    pub fn from_names<'a, T>(
        issuer: &str,
        subject: &str,
        roles: impl IntoIterator<Item = &'a str>,
        scopes: impl IntoIterator<Item = &'a str>,
        tenants: impl IntoIterator<Item = (&'a str, T)>,
    ) -> Self
    where
        T: IntoIterator<Item: AsRef<str>>,
    {
        let mut writer = Writer::new(issuer, subject).roles(roles).scopes(scopes);
        for (tenant, roles) in tenants {
            writer.tenant(tenant, roles);
        }
        Self::with_names(writer.finish())
    }

    fn with_names(names: Names) -> Self {
        Self { names, tenant: None, method: "", foreign: false }
    }

    /// Sets the method by which the caller authenticated. The schemes of `palisade-auth` set `jwt`, `api_key`, `session` and
    /// `basic`.
    ///
    /// ```
    /// use palisade_core::Principal;
    ///
    /// assert_eq!(Principal::new("ada").authenticated_by("mtls").method(), "mtls");
    /// ```
    #[must_use]
    pub fn authenticated_by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// Returns the method by which the caller authenticated. Empty if the authentication did not set one.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Sets the issuer. Two issuers may use the same subject for different people.
    #[must_use]
    pub fn issued_by(mut self, issuer: impl Into<Box<str>>) -> Self {
        let writer = Writer::new(&issuer.into(), self.subject());
        self.names = self.tenants_after(writer.roles(self.names.roles()).scopes(self.scopes()));
        self
    }

    /// Marks the caller as one of another issuer than the service's own. The subject may then be that of another caller
    /// too, and a rule that compares subjects alone must not hold. Authentication marks callers of additional issuers.
    ///
    /// ```
    /// use palisade_core::Principal;
    ///
    /// let partner = Principal::new("42").issued_by("https://partner.example").as_foreign();
    /// assert!(partner.is_foreign());
    /// assert!(!Principal::new("42").is_foreign());
    /// ```
    #[must_use]
    pub fn as_foreign(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// Returns true if the caller is one of another issuer than the service's own.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Sets the roles that the caller has everywhere: in each tenant, and outside of all.
    #[must_use]
    pub fn with_roles<R: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        let roles: Vec<Box<str>> = roles.into_iter().map(Into::into).collect();
        let writer = Writer::new(self.issuer(), self.subject()).roles(&roles);
        self.names = self.tenants_after(writer.scopes(self.scopes()));
        self
    }

    /// Sets the scopes.
    #[must_use]
    pub fn with_scopes<R: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = R>) -> Self {
        let scopes: Vec<Box<str>> = scopes.into_iter().map(Into::into).collect();
        let writer = Writer::new(self.issuer(), self.subject()).roles(self.names.roles());
        self.names = self.tenants_after(writer.scopes(&scopes));
        self
    }

    /// Sets the tenants: the organisations, accounts or projects that the caller is a member of. Roles in a tenant that
    /// is not listed are removed.
    #[must_use]
    pub fn with_tenants<R: Into<Box<str>>>(self, tenants: impl IntoIterator<Item = R>) -> Self {
        let before: HashMap<&str, Tenant<'_>> =
            self.names.tenants().map(|tenant| (tenant.name, tenant)).collect();
        let mut writer = self.all_but_tenants();
        for name in tenants.into_iter().map(Into::into) {
            let before = before.get(&*name).into_iter();
            writer.tenant(&name, before.flat_map(Tenant::roles));
        }
        Self { names: writer.finish(), tenant: None, ..self }
    }

    /// Sets the roles that the caller has in one tenant only, and makes the caller a member of it.
    #[must_use]
    pub fn with_tenant_roles<R: Into<Box<str>>>(
        mut self,
        tenant: impl Into<Box<str>>,
        roles: impl IntoIterator<Item = R>,
    ) -> Self {
        let (name, roles) = (tenant.into(), roles.into_iter().map(Into::into));
        let roles: Vec<Box<str>> = roles.collect();
        let mut writer = self.all_but_tenants();
        for tenant in self.names.tenants() {
            if *tenant.name == *name {
                writer.tenant(&name, &roles);
            } else {
                writer.tenant(tenant.name, tenant.roles());
            }
        }
        if !self.is_member_of(&name) {
            writer.tenant(&name, &roles);
        }
        self.names = writer.finish();
        self
    }

    /// Returns this principal as it acts in `tenant`: its roles are then those that it has everywhere and those that it
    /// has in this tenant. Returns `None` if it is not a member.
    pub fn in_tenant(&self, tenant: &str) -> Option<Self> {
        let position = self.tenants().position(|member| member == tenant)?;
        Some(Self { tenant: Some(position), ..self.clone() })
    }

    /// Returns the issuer; empty if there is only one and it has no name.
    pub fn issuer(&self) -> &str {
        self.names.issuer()
    }

    /// Returns the issuer's name for the caller. Only the issuer and the subject together identify a caller.
    pub fn subject(&self) -> &str {
        self.names.subject()
    }

    /// Returns the roles that the caller has everywhere, then those in the [tenant](Self::tenant) that it acts in, each
    /// in the order in which they were given.
    #[inline]
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let here = self.acting_in().into_iter().flat_map(|tenant| tenant.roles());
        self.names.roles().chain(here)
    }

    /// Returns the scopes, in the order in which they were given.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.names.scopes()
    }

    /// Returns the tenants that the caller is a member of, in the order in which they were given.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.names.tenants().map(|tenant| tenant.name)
    }

    /// Returns the tenant that the caller acts in, if a rule about a tenant has selected one.
    pub fn tenant(&self) -> Option<&str> {
        self.acting_in().map(|tenant| tenant.name)
    }

    /// Returns true if `role` is among the [roles](Self::roles), character for character.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().any(|own| own == role)
    }

    /// Returns true if `scope` is among the scopes, character for character.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|own| own == scope)
    }

    /// Returns true if `tenant` is among the tenants, character for character.
    pub fn is_member_of(&self, tenant: &str) -> bool {
        self.tenants().any(|own| own == tenant)
    }

    /// Returns an equal principal that shares no memory with this one. Clones of it on one thread then write no memory
    /// that clones of the other write on another thread.
    #[must_use]
    pub fn to_unshared(&self) -> Self {
        Self { names: self.names.to_unshared(), ..*self }
    }

    #[inline]
    fn acting_in(&self) -> Option<Tenant<'_>> {
        let position = self.tenant?;
        self.names.tenants().nth(position)
    }

    fn all_but_tenants(&self) -> Writer {
        Writer::new(self.issuer(), self.subject()).roles(self.names.roles()).scopes(self.scopes())
    }

    /// Completes names with the tenants of this principal.
    fn tenants_after(&self, mut writer: Writer) -> Names {
        for tenant in self.names.tenants() {
            writer.tenant(tenant.name, tenant.roles());
        }
        writer.finish()
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.tenant == other.tenant
    }
}

impl Eq for Principal {}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("roles", &self.names.roles().collect::<Vec<_>>())
            .field("scopes", &self.scopes().collect::<Vec<_>>())
            .field("tenants", &self.names.tenants().collect::<Vec<_>>())
            .field("tenant", &self.tenant())
            .field("method", &self.method)
            .field("foreign", &self.foreign)
            .finish()
    }
}

/// An empty list of names.
const NONE: [&str; 0] = [];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_in_a_tenant_count_in_that_tenant_only() {
        let ada = Principal::new("ada")
            .with_roles(["member"])
            .with_tenant_roles("acme", ["admin"])
            .with_tenants(["acme", "globex"]);
        assert!(ada.has_role("member") && !ada.has_role("admin"));
        assert_eq!(ada.tenants().collect::<Vec<_>>(), ["acme", "globex"]);

        let at_acme = ada.in_tenant("acme").unwrap();
        assert_eq!(at_acme.tenant(), Some("acme"));
        assert_eq!(at_acme.roles().collect::<Vec<_>>(), ["member", "admin"]);

        let at_globex = at_acme.in_tenant("globex").unwrap();
        assert_eq!(at_globex.roles().collect::<Vec<_>>(), ["member"]);
        assert_eq!(at_globex.in_tenant("Acme"), None);
        assert_eq!((ada.tenant(), ada.in_tenant("")), (None, None));
    }

    #[test]
    fn removed_tenants_lose_their_roles() {
        let ada = Principal::new("ada").with_tenant_roles("acme", ["admin"]);
        let at_acme = ada.in_tenant("acme").unwrap();
        let moved = at_acme.with_tenants(["globex"]);
        assert_eq!(moved.tenant(), None);
        assert!(!moved.is_member_of("acme") && !moved.has_role("admin"));
        let back = moved.with_tenants(["acme"]).in_tenant("acme").unwrap();
        assert!(!back.has_role("admin"));
    }

    #[test]
    fn later_roles_in_a_tenant_replace_earlier_ones() {
        let ada = Principal::new("ada")
            .with_tenant_roles("acme", ["admin"])
            .with_tenant_roles("acme", ["viewer"])
            .in_tenant("acme")
            .unwrap();
        assert_eq!(ada.roles().collect::<Vec<_>>(), ["viewer"]);
        assert_eq!(ada.tenants().count(), 1);
    }
}
