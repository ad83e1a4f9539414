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
    /// False: its subjects may be equal to those of the service's own issuer.
    is_home: bool,
    /// The first of these that is present. Empty: `sub`.
    pub(crate) subject: Vec<Path>,
    /// Before the client, if that is the subject of tokens without one.
    pub(crate) client_prefix: Option<String>,
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
            is_home: true,
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
            is_home: false,
            subject: Vec::new(),
            client_prefix: None,
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
        if self.client_prefix.as_ref().is_some_and(String::is_empty) {
            return Err(ConfigError::new(
                "client_as_subject",
                "",
                "a client could have the subject of a user: choose a prefix, such as `client:`",
            ));
        }
        let mut members = Vec::new();
        let mut paths = |setting, paths: Vec<Path>, reserved: &[&str]| {
            let path = |path| claim_path(setting, path, reserved, &mut members);
            paths.into_iter().map(path).collect::<Result<Vec<_>, _>>()
        };
        let reserved = registered::NAMES;
        let no_roles = [&reserved[..], &["scope", "scp"]].concat();
        let no_subject = ["exp", "nbf", "iat", "iss", "aud", "jti", "cnf"];
        let subject = paths("subject_at", self.subject, &no_subject)?;
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
            is_home: self.is_home,
            subject: Subject {
                paths: subject,
                client_prefix: self.client_prefix.map(Into::into),
                is_optional: self.optional_subject,
            },
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
