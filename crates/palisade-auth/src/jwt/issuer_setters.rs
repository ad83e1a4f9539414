//! The setters that all builders of issuers share.

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

        /// Reads the subject from this claim: a string or an integer. Default: `["sub"]`. May be called several times: the
        /// first claim that is present counts.
        ///
        /// Choose claims that the issuer never lets a user choose, and never reassigns. With several claims, a value of one
        /// must never be a value of another one: they are compared as if they came from one claim. To take the client of
        /// tokens without a user, use [`client_as_subject`](Self::client_as_subject), which keeps the two apart.
        #[must_use]
        pub fn subject_at<N: Into<String>>(mut self, path: impl IntoIterator<Item = N>) -> Self {
            self.settings.subject.push(path.into_iter().map(Into::into).collect());
            self
        }

        /// Makes the client the subject of tokens that have no subject, as Duende and Keycloak from version 25 on send them
        /// for clients that act for no user: this prefix, and `client_id` or else `azp`.
        ///
        /// The prefix keeps clients apart from users: a client with the id `7` is not the user with the subject `7`. A token
        /// whose subject begins with the prefix is rejected. Tokens of users must have a subject: those of all users of one
        /// client would get the same one otherwise.
        ///
        /// ```
        /// # use palisade_auth::{Jwt, testing::sign_hs256};
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// # let secret = "a signing key of at least thirty-two bytes";
        /// # let claims = serde_json::json!({ "client_id": "billing", "aud": "orders", "exp": 4_102_444_800_u64 });
        /// # let token = sign_hs256(secret, &claims);
        /// let auth = Jwt::<()>::hs256(secret).audience("orders").client_as_subject("client:").build()?;
        /// assert_eq!(auth.verify(&token).await?.principal().subject(), "client:billing");
        /// # Ok(()) }
        /// ```
        #[must_use]
        pub fn client_as_subject(mut self, prefix: impl Into<String>) -> Self {
            self.settings.client_prefix = Some(prefix.into());
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
