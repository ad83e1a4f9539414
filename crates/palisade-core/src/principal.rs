use std::{fmt, sync::Arc};

/// Who is calling, as far as other policies need to know: an identity, and what it may do.
///
/// Whoever authenticates leaves it in the request's extensions; roles are checked and limits are counted by it.
/// It is cheap to clone.
///
/// ```
/// use palisade_core::Principal;
///
/// let ada = Principal::new("ada").issued_by("https://issuer.example").with_roles(["admin"]).with_tenants(["acme"]);
/// assert!(ada.has_role("admin"));
/// assert!(ada.is_member_of("acme"));
/// assert_eq!((ada.issuer(), ada.subject()), ("https://issuer.example", "ada"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Principal(Arc<Inner>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Inner {
    issuer: Box<str>,
    subject: Box<str>,
    roles: Box<[Box<str>]>,
    scopes: Box<[Box<str>]>,
    tenants: Box<[Box<str>]>,
}

impl Principal {
    /// The principal that its issuer calls `subject`.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner { subject: subject.into(), ..Inner::default() }))
    }

    /// Names who vouches for the subject. Two issuers may use the same subject for different people.
    #[must_use]
    pub fn issued_by(mut self, issuer: impl Into<Box<str>>) -> Self {
        Arc::make_mut(&mut self.0).issuer = issuer.into();
        self
    }

    /// Sets the roles.
    #[must_use]
    pub fn with_roles<R: Into<Box<str>>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        Arc::make_mut(&mut self.0).roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the scopes.
    #[must_use]
    pub fn with_scopes<R: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = R>) -> Self {
        Arc::make_mut(&mut self.0).scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the tenants: the organisations, accounts or projects that the caller is a member of.
    #[must_use]
    pub fn with_tenants<R: Into<Box<str>>>(mut self, tenants: impl IntoIterator<Item = R>) -> Self {
        Arc::make_mut(&mut self.0).tenants = tenants.into_iter().map(Into::into).collect();
        self
    }

    /// Who vouches for the subject; empty where only one issuer exists and none was named.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The issuer's name for the caller. Only together with the issuer does it identify anybody.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The roles, in the order in which they were given.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(AsRef::as_ref)
    }

    /// The scopes, in the order in which they were given.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(AsRef::as_ref)
    }

    /// The tenants, in the order in which they were given.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.0.tenants.iter().map(AsRef::as_ref)
    }

    /// True if `role` is among the roles, to the letter.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().any(|own| own == role)
    }

    /// True if `scope` is among the scopes, to the letter.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|own| own == scope)
    }

    /// True if `tenant` is among the tenants, to the letter.
    pub fn is_member_of(&self, tenant: &str) -> bool {
        self.tenants().any(|own| own == tenant)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("roles", &self.0.roles)
            .field("scopes", &self.0.scopes)
            .field("tenants", &self.0.tenants)
            .finish()
    }
}
