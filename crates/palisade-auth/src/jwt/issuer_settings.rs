use std::time::Duration;

use palisade_core::ConfigError;

use super::{
    claim_path::ClaimPath,
    claims::{Audience, Check, Conversion, Expectations, Grants, Profile, Subject},
    issuer_keys::IssuerKeys,
    keys::Keys,
    registered,
};

/// The settings of one issuer, as they are written.
pub(crate) struct IssuerSettings<C> {
    pub(crate) name: Option<String>,
    /// `None`: the issuer is asked about its tokens.
    pub(super) keys: Option<Keys>,
    pub(crate) audiences: Vec<String>,
    pub(crate) any_audience: bool,
    pub(crate) clients: Vec<String>,
    pub(super) profile: Profile,
    pub(crate) skew: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) subject: Option<Path>,
    pub(crate) optional_subject: bool,
    pub(crate) roles: Paths,
    pub(crate) scopes: Paths,
    pub(crate) tenants: Paths,
    pub(crate) roles_by_tenant: Vec<Path>,
    pub(crate) tenants_by_role: Vec<Path>,
    pub(crate) checks: Vec<Check<C>>,
    pub(crate) conversion: Option<Conversion<C>>,
}

type Path = Vec<String>;

/// Places in the claims: those of the default, until others are configured.
#[derive(Debug)]
pub(crate) enum Paths {
    Default(Vec<Path>),
    Configured(Vec<Path>),
}

impl Paths {
    fn default_of(names: &[&str]) -> Self {
        Self::Default(names.iter().map(|name| vec![(*name).to_owned()]).collect())
    }

    pub(crate) fn add<N: Into<String>>(&mut self, path: impl IntoIterator<Item = N>) {
        let path = path.into_iter().map(Into::into).collect();
        match self {
            Self::Configured(paths) => paths.push(path),
            Self::Default(_) => *self = Self::Configured(vec![path]),
        }
    }

    fn into_inner(self) -> Vec<Path> {
        match self {
            Self::Default(paths) | Self::Configured(paths) => paths,
        }
    }
}

/// The greatest clock skew. More would not be the difference of two clocks, but a second lifetime.
const MAX_SKEW: Duration = Duration::from_secs(3600);

impl<C> IssuerSettings<C> {
    /// The settings of an issuer that may grant roles, scopes and tenants by the usual claims.
    pub(super) fn granting(keys: Keys) -> Self {
        Self { keys: Some(keys), ..Self::granting_by_usual_claims() }
    }

    /// The settings of an issuer that is asked about its tokens.
    #[cfg(feature = "introspection")]
    pub(crate) fn introspected() -> Self {
        Self { profile: Profile::Introspected, ..Self::granting_by_usual_claims() }
    }

    fn granting_by_usual_claims() -> Self {
        Self {
            roles: Paths::default_of(&["roles"]),
            scopes: Paths::default_of(&["scope", "scp"]),
            tenants: Paths::default_of(&["tenants"]),
            ..Self::granting_nothing(None, None)
        }
    }

    /// The settings of an issuer whose tokens grant nothing until that is configured.
    pub(super) fn granting_nothing(name: Option<String>, keys: Option<Keys>) -> Self {
        Self {
            name,
            keys,
            audiences: Vec::new(),
            any_audience: false,
            clients: Vec::new(),
            profile: Profile::Plain,
            skew: Duration::from_secs(60),
            max_lifetime: None,
            max_age: None,
            subject: None,
            optional_subject: false,
            roles: Paths::default_of(&[]),
            scopes: Paths::default_of(&[]),
            tenants: Paths::default_of(&[]),
            roles_by_tenant: Vec::new(),
            tenants_by_role: Vec::new(),
            checks: Vec::new(),
            conversion: None,
        }
    }

    pub(super) fn build(self) -> Result<(IssuerKeys, Expectations<C>), ConfigError> {
        let keys = self.keys.clone();
        let expectations = self.build_expectations()?;
        let keys =
            keys.ok_or_else(|| ConfigError::without_value("keys", "set the issuer's keys"))?;
        Ok((keys.build()?, expectations))
    }

    pub(crate) fn build_expectations(self) -> Result<Expectations<C>, ConfigError> {
        let issuer = self.issuer()?;
        self.check_audience()?;
        if self.profile == Profile::AccessToken && issuer.is_none() {
            return Err(ConfigError::without_value(
                "issuer",
                "`.access_tokens_only()` requires one (RFC 9068, section 4): add `.issuer(\"…\")`",
            ));
        }
        if self.skew > MAX_SKEW {
            return Err(ConfigError::new(
                "skew",
                format_args!("{:?}", self.skew),
                "clocks differ by seconds: use at most an hour",
            ));
        }
        let mut members = Vec::new();
        let mut paths = |setting, paths: Vec<Path>, reserved: &[&str]| {
            let path = |path| claim_path(setting, path, reserved, &mut members);
            paths.into_iter().map(path).collect::<Result<Vec<_>, _>>()
        };
        let reserved = [&registered::NAMES[..], &["cnf"]].concat();
        let no_roles = [&reserved[..], &["scope", "scp"]].concat();
        let no_subject = ["exp", "nbf", "iat", "iss", "aud", "jti", "cnf"];
        let subject = paths("subject_at", self.subject.into_iter().collect(), &no_subject)?.pop();
        let grants = Grants {
            roles: paths("roles_at", self.roles.into_inner(), &no_roles)?,
            scopes: paths("scopes_at", self.scopes.into_inner(), &reserved)?,
            tenants: paths("tenants_at", self.tenants.into_inner(), &no_roles)?,
            roles_by_tenant: paths("roles_by_tenant_at", self.roles_by_tenant, &no_roles)?,
            tenants_by_role: paths("tenants_by_role_at", self.tenants_by_role, &no_roles)?,
            members,
        };
        Ok(Expectations {
            issuer,
            audience: if self.any_audience {
                Audience::Any
            } else {
                Audience::Listed { audiences: self.audiences, clients: self.clients }
            },
            profile: self.profile,
            skew: self.skew.as_secs_f64(),
            max_lifetime: self.max_lifetime.map(|time| time.as_secs_f64()),
            max_age: self.max_age.map(|time| time.as_secs_f64()),
            subject: Subject { path: subject, is_optional: self.optional_subject },
            grants,
            checks: self.checks,
            conversion: self.conversion,
        })
    }

    /// Returns the issuer that `iss` must name: the configured one, or the one whose metadata leads to the keys.
    fn issuer(&self) -> Result<Option<Box<str>>, ConfigError> {
        let discovered = self.keys.as_ref().and_then(Keys::discovered_issuer);
        let name = match (self.name.as_deref(), discovered) {
            (Some(name), Some(discovered)) if name != discovered => {
                let remedy = format!(
                    "the keys are those of `{discovered}`: leave `.issuer(…)` out, or use `Jwks::url`"
                );
                return Err(ConfigError::new("issuer", name, remedy));
            }
            (name, discovered) => name.or(discovered),
        };
        match name {
            Some("") => Err(ConfigError::new(
                "issuer",
                "",
                "the name is empty: write the `iss` of its tokens",
            )),
            name => Ok(name.map(Into::into)),
        }
    }

    fn check_audience(&self) -> Result<(), ConfigError> {
        let names = self.audiences.iter().map(|name| ("audience", name));
        let clients = self.clients.iter().map(|name| ("clients_without_audience", name));
        if let Some((setting, name)) = names.chain(clients).find(|(_, name)| name.is_empty()) {
            return Err(ConfigError::new(setting, name, "the name is empty: write it out"));
        }
        let is_listed = !self.audiences.is_empty() || !self.clients.is_empty();
        match (is_listed, self.any_audience) {
            (false, false) => Err(ConfigError::without_value(
                "audience",
                "name the audience that tokens must be issued for with `.audience(\"…\")`, or allow all by `.any_audience()`",
            )),
            (true, true) => Err(ConfigError::new(
                "any_audience",
                true,
                "it contradicts `.audience(…)` and `.clients_without_audience(…)`: remove it, or them",
            )),
            _ if self.profile == Profile::AccessToken && !self.clients.is_empty() => {
                Err(ConfigError::without_value(
                    "clients_without_audience",
                    "`.access_tokens_only()` requires `aud` (RFC 9068, section 2.2): remove one of the two",
                ))
            }
            _ => Ok(()),
        }
    }
}

fn claim_path(
    setting: &'static str,
    path: Path,
    reserved: &[&str],
    members: &mut Vec<String>,
) -> Result<ClaimPath, ConfigError> {
    let is_wrong = path.iter().any(String::is_empty)
        || path.first().is_none_or(|first| reserved.contains(&first.as_str()));
    if is_wrong {
        let remedy =
            "name a claim that has no other meaning, such as `[\"realm_access\", \"roles\"]`";
        return Err(ConfigError::new(setting, path.join("/"), remedy));
    }
    Ok(ClaimPath::new(path, members))
}

/// Writes the setters of an issuer for a type with the field `settings`, and for the type of the claims `C`.
macro_rules! issuer_setters {
    ($C:ident) => {
        /// Requires an audience: `aud` must contain this one, or another one that is added. May be called several times.
        #[must_use]
        pub fn audience(mut self, audience: impl Into<String>) -> Self {
            self.settings.audiences.push(audience.into());
            self
        }

        /// Accepts tokens for any audience. A token that was issued for another service is then accepted too.
        #[must_use]
        pub fn any_audience(mut self) -> Self {
            self.settings.any_audience = true;
            self
        }

        /// Accepts tokens without `aud` if they were issued to one of these clients: `client_id` and `azp`, as far as
        /// they are present, must be listed. For issuers whose access tokens have no audience, such as Amazon Cognito.
        /// A token with `aud` must contain a configured [`audience`](Self::audience) all the same.
        #[must_use]
        pub fn clients_without_audience<N: Into<String>>(
            mut self,
            clients: impl IntoIterator<Item = N>,
        ) -> Self {
            self.settings.clients.extend(clients.into_iter().map(Into::into));
            self
        }

        /// Sets by how much the issuer's clock and ours may differ. Default: 60 s. At most an hour.
        #[must_use]
        pub fn skew(mut self, skew: std::time::Duration) -> Self {
            self.settings.skew = skew;
            self
        }

        /// Rejects tokens that expire later than this from now. Default: no limit.
        #[must_use]
        pub fn max_lifetime(mut self, lifetime: std::time::Duration) -> Self {
            self.settings.max_lifetime = Some(lifetime);
            self
        }

        /// Rejects tokens that were issued longer ago than this, on each use. `iat` is then required. Default: no
        /// limit.
        #[must_use]
        pub fn max_age(mut self, age: std::time::Duration) -> Self {
            self.settings.max_age = Some(age);
            self
        }

        /// Reads the subject from this claim: a string or an integer. Default: `["sub"]`.
        ///
        /// Choose a claim that the issuer never lets a user choose, and never reassigns.
        #[must_use]
        pub fn subject_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
            self.settings.subject = Some(path.into_iter().map(Into::into).collect());
            self
        }

        /// Accepts tokens without a subject, as some issuers send for clients that act for no user, also with
        /// [`access_tokens_only`](crate::JwtBuilder::access_tokens_only). The [`Principal`](palisade_core::Principal)
        /// then has an empty subject: rules about owners reject it, and limits by principal count all such callers of
        /// the issuer together.
        #[must_use]
        pub fn optional_subject(mut self) -> Self {
            self.settings.optional_subject = true;
            self
        }

        /// Reads roles from this claim: a string, or a list of strings. Each name of the path is whole, so that a claim
        /// may contain dots and slashes. May be called several times: all roles that are found count.
        ///
        /// ```
        /// # use palisade_auth::{Jwt, JwtBuilder};
        /// # let builder = || -> JwtBuilder<()> { Jwt::hs256("a signing key of at least thirty-two bytes").audience("orders") };
        /// // Keycloak: the roles of the realm, and those of one client
        /// builder().roles_at(["realm_access", "roles"]).roles_at(["resource_access", "orders", "roles"]);
        /// builder().roles_at(["cognito:groups"]);
        /// builder().roles_at(["https://example.com/roles"]); // Auth0
        /// ```
        #[must_use]
        pub fn roles_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
            self.settings.roles.add(path);
            self
        }

        /// Reads scopes from this claim: a string of scopes separated by spaces, or a list. May be called several times.
        #[must_use]
        pub fn scopes_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
            self.settings.scopes.add(path);
            self
        }

        /// Reads the tenants that the caller is a member of from this claim: a string, or a list of strings. May be
        /// called several times.
        #[must_use]
        pub fn tenants_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
            self.settings.tenants.add(path);
            self
        }

        /// Reads roles within tenants from this claim: an object of roles by tenant, `{"acme": ["editor"]}`. See
        /// [`Principal::in_tenant`](palisade_core::Principal::in_tenant).
        #[must_use]
        pub fn roles_by_tenant_at<N: Into<String>>(
            mut self,
            path: impl IntoIterator<Item = N>,
        ) -> Self {
            self.settings.roles_by_tenant.push(path.into_iter().map(Into::into).collect());
            self
        }

        /// Reads roles within tenants from this claim: an object of tenants by role, `{"editor": ["acme"]}`, or
        /// `{"editor": {"acme": …}}` as Zitadel sends. See
        /// [`Principal::in_tenant`](palisade_core::Principal::in_tenant).
        #[must_use]
        pub fn tenants_by_role_at<N: Into<String>>(
            mut self,
            path: impl IntoIterator<Item = N>,
        ) -> Self {
            self.settings.tenants_by_role.push(path.into_iter().map(Into::into).collect());
            self
        }

        /// Adds a check of the claims, with an error of its own. It runs after all others, on each request. An error
        /// with status 401 and without a challenge gets one.
        ///
        /// ```
        /// # use palisade_auth::Jwt;
        /// use palisade_core::ApiError;
        /// # #[derive(serde::Deserialize)]
        /// # struct Claims { token_use: String }
        ///
        /// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
        ///     .clients_without_audience(["orders-app"])
        ///     .validate(|claims| match claims.token_use.as_str() {
        ///         "access" => Ok(()),
        ///         _ => Err(ApiError::unauthenticated().with_message("an access token is required")),
        ///     })
        ///     .build()?;
        /// # Ok::<_, palisade_core::ConfigError>(())
        /// ```
        #[must_use]
        pub fn validate<F, E>(mut self, check: F) -> Self
        where
            F: Fn(&$C) -> Result<(), E> + Send + Sync + 'static,
            E: Into<palisade_core::ApiError>,
        {
            let check = move |claims: &$C| check(claims).map_err(Into::into);
            self.settings.checks.push(std::sync::Arc::new(check));
            self
        }

        /// Maps the claims to a principal. The function gets the claims and the principal that the other settings make
        /// of them, and returns the one that counts. If that has no issuer, it gets the token's.
        ///
        /// ```
        /// # use palisade_auth::Jwt;
        /// # #[derive(serde::Deserialize)]
        /// # struct Claims { is_staff: bool }
        /// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
        ///     .audience("orders")
        ///     .map_principal(|claims, principal| {
        ///         principal.with_roles(claims.is_staff.then_some("staff"))
        ///     })
        ///     .build()?;
        /// # Ok::<_, palisade_core::ConfigError>(())
        /// ```
        #[must_use]
        pub fn map_principal<F>(mut self, convert: F) -> Self
        where
            F: Fn(&$C, palisade_core::Principal) -> palisade_core::Principal
                + Send
                + Sync
                + 'static,
        {
            self.settings.conversion = Some(std::sync::Arc::new(convert));
            self
        }
    };
}
pub(crate) use issuer_setters;

/// Writes the setter of the profile, for issuers of signed tokens.
macro_rules! profile_setter {
    () => {
        /// Accepts only access tokens of RFC 9068: the header's `typ` is `at+jwt`, and `iss`, `sub`, `aud`, `exp`,
        /// `iat`, `jti` and `client_id` are present. ID tokens are rejected. Requires an issuer with a name.
        #[must_use]
        pub fn access_tokens_only(mut self) -> Self {
            self.settings.profile = super::claims::Profile::AccessToken;
            self
        }
    };
}
pub(super) use profile_setter;
