use std::fmt;

use super::{
    issuer_setters::{issuer_setters, profile_setter},
    issuer_settings::IssuerSettings,
    keys::Keys,
};

/// An additional issuer of tokens, with settings of its own; see [`JwtBuilder::other_issuer`].
///
/// Its tokens authenticate, and grant nothing else by themselves: roles, scopes and tenants count only from the claims
/// that are named here. A partner who writes `"roles": ["admin"]` into a token is no admin. Its callers are
/// [foreign](palisade_core::Principal::is_foreign): they do not own what a caller of the first issuer with the same subject
/// owns.
///
/// ```
/// use palisade_auth::{Algorithm, Issuer, Jwt, Keys};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
/// let shared = Keys::secret(Algorithm::Hs256, "another signing key of at least thirty-two bytes");
/// let partner = Issuer::new("https://partner.example", shared)
///     .audience("orders")
///     .scopes_at(["scope"])
///     .map_principal(|_, principal| principal.with_roles(["partner"]));
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
///     .issuer("https://login.example.com")
///     .audience("orders")
///     .other_issuer(partner)
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// [`JwtBuilder::other_issuer`]: crate::JwtBuilder::other_issuer
pub struct Issuer<C> {
    pub(super) settings: IssuerSettings<C>,
}

impl<C> Issuer<C> {
    /// Returns an issuer whose tokens name it in `iss`, character for character, and are signed by one of its keys.
    pub fn new(name: impl Into<String>, keys: Keys) -> Self {
        Self { settings: IssuerSettings::granting_nothing(Some(name.into()), Some(keys)) }
    }

    /// Returns an issuer whose keys are found by discovery, with [`Jwks::issuer`](crate::Jwks::issuer). It has the name
    /// that is given there.
    #[cfg(feature = "jwks")]
    pub fn discovered(jwks: &crate::Jwks) -> Self {
        Self { settings: IssuerSettings::granting_nothing(None, Some(Keys::published(jwks))) }
    }

    issuer_setters!(C);

    profile_setter!();
}

impl<C> fmt::Debug for Issuer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

impl<C> fmt::Debug for IssuerSettings<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .field("keys", &self.keys)
            .field("audiences", &self.audiences)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
