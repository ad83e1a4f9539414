use std::{fmt, sync::Arc};

use http::{HeaderMap, header, request};
use palisade_core::{ApiError, BoxError, BoxFuture, ConfigError, PolicyLayer, syntax::is_token};

use crate::{
    Attempt, Authenticate, CsrfCheck, Identity,
    authenticate::{Pending, policy_of},
    authorization::{Authorization, token68},
    cookies::CookieNamed,
    scheme::Scheme,
};

/// Finds sessions in a database, Redis or another service.
///
/// ```
/// use palisade_auth::{Identity, SessionStore};
/// use palisade_core::{BoxError, BoxFuture, Principal};
///
/// struct User { name: String }
/// struct Database;
///
/// impl Database {
///     /// `SELECT … WHERE token_sha256 = $1 AND expires_at > now()`: who reads the table cannot use what is in it.
///     async fn user_of(token: String) -> Result<Option<User>, std::io::Error> {
///         Ok(None)
///     }
/// }
///
/// impl SessionStore for Database {
///     type Claims = User;
///
///     fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<User>>, BoxError>> {
///         let user = Self::user_of(token.to_owned());
///         Box::pin(async move {
///             Ok(user.await?.map(|user| {
///                 let principal = Principal::new(user.name.as_str());
///                 Identity::new(user, principal)
///             }))
///         })
///     }
/// }
/// ```
pub trait SessionStore: Send + Sync + 'static {
    /// The claims of the session's caller.
    type Claims: Send + Sync + 'static;

    /// Returns the session with this token, or `None` if it does not exist or has expired.
    ///
    /// # Errors
    ///
    /// If the store fails. The request is rejected with 503.
    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<Self::Claims>>, BoxError>>;
}

impl<S: SessionStore> SessionStore for Arc<S> {
    type Claims = S::Claims;

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<S::Claims>>, BoxError>> {
        S::find(self, token)
    }
}

/// Authenticates by opaque tokens, which a [`SessionStore`] looks up.
///
/// The token is in a cookie (default: `__Host-session`), in `Authorization` with the scheme `Bearer` or [another
/// one](SessionsBuilder::scheme), or in either. A request with two tokens gets 400. An allowed request has an
/// `Identity<S::Claims>` and its [`Principal`](palisade_core::Principal) in its extensions. A token gets 401 if it is longer
/// than 256 bytes, has invalid characters or is not in the store. So does the cookie of an expired session, also with
/// [`optional`](crate::Authenticate::optional): invalid credentials are never anonymous.
///
/// # The cookie
///
/// Set it as `__Host-session=…; Path=/; Secure; HttpOnly; SameSite=Lax`. Browsers accept a cookie with this prefix only from
/// the same host and over TLS; a cookie with another name can be set by any subdomain. Use at least 128 random bits, and a new
/// token at each login.
///
/// A cookie enables the [`CsrfCheck`]: a request with an unsafe method is allowed only from a page of the own origin, and gets
/// 403 otherwise, before the store is asked. List other origins with [`csrf`](SessionsBuilder::csrf). Send `Cache-Control:
/// private` if there is a shared cache, because caches do not distinguish responses by cookies.
///
/// The challenge for a cookie is `Cookie realm="api"`. The scheme is not registered, but a 401 must name one (RFC 9110, section
/// 15.5.2), and browsers ignore it.
///
/// ```
/// use palisade_auth::{CsrfCheck, Sessions};
/// # use palisade_auth::{Identity, SessionStore};
/// # use palisade_core::{BoxError, BoxFuture};
/// # struct Database;
/// # impl SessionStore for Database {
/// #     type Claims = ();
/// #     fn find(&self, _: &str) -> BoxFuture<Result<Option<Identity<()>>, BoxError>> { Box::pin(async { Ok(None) }) }
/// # }
///
/// let auth = Sessions::builder(Database).build()?;
///
/// // the same for a page of another origin, and for apps that send the token themselves
/// let auth = Sessions::builder(Database)
///     .cookie("__Host-session")
///     .csrf(CsrfCheck::builder().trust_origin("https://app.example.com").build()?)
///     .bearer()
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct Sessions<S> {
    rules: Arc<Rules<S>>,
}

struct Rules<S> {
    store: S,
    cookie: Option<Cookie>,
    authorization: Option<Authorized>,
    max_token: usize,
}

/// `Authorization`, with this scheme.
struct Authorized {
    name: Box<str>,
    scheme: Scheme,
}

struct Cookie {
    name: Box<str>,
    csrf: CsrfCheck,
    scheme: Scheme,
}

impl<S: SessionStore> Sessions<S> {
    /// Sessions that are in `store`.
    pub fn builder(store: S) -> SessionsBuilder<S> {
        SessionsBuilder {
            store,
            cookie: None,
            csrf: None,
            authorization: None,
            max_token: 256,
            realm: "api".to_owned(),
        }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Verifies the token of a session that does not come with a request, such as one in the first message of a
    /// WebSocket.
    ///
    /// # Errors
    ///
    /// 401 if there is no such session; 503 if the store fails.
    pub async fn verify(&self, token: &str) -> Result<Identity<S::Claims>, ApiError> {
        self.verify_credential(token).outcome().await
    }

    fn verify_token(&self, token: &[u8], scheme: &Scheme) -> Attempt<S::Claims> {
        let Some(token) = token68(token).filter(|token| token.len() <= self.rules.max_token) else {
            return Attempt::Now(Err(refusal(scheme, "malformed")));
        };
        let session = self.rules.store.find(token);
        let scheme = scheme.clone();
        Attempt::Later(Pending::new(async move {
            match session.await {
                Ok(Some(identity)) => Ok(identity.authenticated_by("session")),
                Ok(None) => Err(refusal(&scheme, "unknown")),
                Err(error) => Err(ApiError::unavailable().with_source(error)),
            }
        }))
    }
}

/// The settings of [`Sessions`]. Made by [`Sessions::builder`].
#[derive(Debug)]
pub struct SessionsBuilder<S> {
    store: S,
    cookie: Option<String>,
    csrf: Option<CsrfCheck>,
    authorization: Option<String>,
    max_token: usize,
    realm: String,
}

impl<S: SessionStore> SessionsBuilder<S> {
    /// Takes the token from the cookie of this name. Without a call to this or to [`bearer`](Self::bearer) it is
    /// `__Host-session`.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Takes the token from `Authorization: Bearer`; with [`cookie`](Self::cookie), from either. A [`scheme`](Self::scheme)
    /// that is set takes the place of `Bearer`.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.authorization.get_or_insert_with(|| "Bearer".to_owned());
        self
    }

    /// Takes the token from `Authorization` with another scheme than `Bearer`, such as `Token`; with
    /// [`cookie`](Self::cookie), from either. The challenges name this scheme.
    #[must_use]
    pub fn scheme(mut self, name: impl Into<String>) -> Self {
        self.authorization = Some(name.into());
        self
    }

    /// Sets the check of requests with the cookie. Default: [`CsrfCheck::new`].
    #[must_use]
    pub fn csrf(mut self, check: CsrfCheck) -> Self {
        self.csrf = Some(check);
        self
    }

    /// Sets the maximum length of a token in bytes. Default: 256.
    #[must_use]
    pub fn max_token(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// Sets the realm of challenges. Default: `api`.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Returns an error for a cookie or a scheme that is not a valid name; for a CSRF check without a cookie; for a `max_token`
    /// of 0; for a realm that needs quoting.
    pub fn build(self) -> Result<Sessions<S>, ConfigError> {
        let name = match self.cookie {
            None if self.authorization.is_some() => None,
            name => Some(name.unwrap_or_else(|| "__Host-session".to_owned())),
        };
        if let Some(name) = name.as_deref().filter(|name| !is_token(name)) {
            return Err(ConfigError::new(
                "cookie",
                name.escape_debug(),
                "use letters, digits, `-` and `_`, as in `__Host-session`",
            ));
        }
        if name.is_none() && self.csrf.is_some() {
            return Err(ConfigError::without_value(
                "csrf",
                "it protects a cookie, and no cookie is set: add `.cookie(\"__Host-session\")`, or remove it",
            ));
        }
        if self.max_token == 0 {
            return Err(ConfigError::new(
                "max_token",
                0,
                "with 0 every request is rejected; use at least 1",
            ));
        }
        let cookie = name.map(|name| {
            let scheme = Scheme::new("Cookie", &self.realm, "")?;
            Ok(Cookie { name: name.into(), csrf: self.csrf.unwrap_or_default(), scheme })
        });
        let authorization = self.authorization.map(|name| {
            let scheme = Scheme::token(&name, &self.realm)?;
            Ok(Authorized { name: name.into(), scheme })
        });
        let rules = Rules {
            store: self.store,
            cookie: cookie.transpose()?,
            authorization: authorization.transpose()?,
            max_token: self.max_token,
        };
        Ok(Sessions { rules: Arc::new(rules) })
    }
}

impl<S: SessionStore> Authenticate for Sessions<S> {
    type Claims = S::Claims;

    fn authenticate(&self, request: &request::Parts) -> Attempt<S::Claims> {
        let (token, csrf, scheme) = match self.rules.token(&request.headers) {
            TokenSent::No => return Attempt::Absent(self.rules.missing()),
            TokenSent::Two(scheme) => return Attempt::Now(Err(scheme.reject_two())),
            TokenSent::InCookie(token, cookie) => (token, Some(&cookie.csrf), &cookie.scheme),
            TokenSent::InAuthorization(token, scheme) => (token, None, scheme),
        };
        if let Some(Err(error)) = csrf.map(|csrf| csrf.check(request)) {
            return Attempt::Now(Err(error));
        }
        self.verify_token(token, scheme)
    }

    fn verify_credential(&self, token: &str) -> Attempt<S::Claims> {
        match self.rules.any_scheme() {
            Some(scheme) => self.verify_token(token.as_bytes(), scheme),
            None => Attempt::Absent(self.invalid()),
        }
    }

    fn invalid(&self) -> ApiError {
        match self.rules.any_scheme() {
            Some(scheme) => scheme.invalid("the session is not valid"),
            None => ApiError::unauthenticated(),
        }
    }

    fn fields(&self) -> Vec<http::HeaderName> {
        let cookie = self.rules.cookie.as_ref().map(|_| header::COOKIE);
        let authorization = self.rules.authorization.as_ref().map(|_| header::AUTHORIZATION);
        cookie.into_iter().chain(authorization).collect()
    }
}

policy_of!([S] Sessions<S>);

fn refusal(scheme: &Scheme, fault: &'static str) -> ApiError {
    log_rejection!(fault, "a session was refused");
    scheme.invalid("the session is not valid")
}

/// The tokens of a request.
enum TokenSent<'a> {
    No,
    Two(&'a Scheme),
    InCookie(&'a [u8], &'a Cookie),
    InAuthorization(&'a [u8], &'a Scheme),
}

impl<S> Rules<S> {
    fn token<'a>(&'a self, headers: &'a HeaderMap) -> TokenSent<'a> {
        let in_cookie = match &self.cookie {
            None => TokenSent::No,
            Some(cookie) => match CookieNamed::read(headers, &cookie.name) {
                CookieNamed::Absent => TokenSent::No,
                CookieNamed::Two => TokenSent::Two(&cookie.scheme),
                CookieNamed::Value(token) => TokenSent::InCookie(token, cookie),
            },
        };
        let Some(Authorized { name, scheme }) = &self.authorization else { return in_cookie };
        match (in_cookie, Authorization::read(headers, name)) {
            (in_cookie, Authorization::Absent) => in_cookie,
            (TokenSent::No, Authorization::Credentials(token)) => {
                TokenSent::InAuthorization(token, scheme)
            }
            _ => TokenSent::Two(scheme),
        }
    }

    /// Returns the scheme of the first place where a token may be.
    fn any_scheme(&self) -> Option<&Scheme> {
        let cookie = self.cookie.as_ref().map(|cookie| &cookie.scheme);
        cookie.or(self.authorization.as_ref().map(|authorization| &authorization.scheme))
    }

    /// One challenge for each place where a token could be.
    fn missing(&self) -> ApiError {
        match (&self.cookie, &self.authorization) {
            (Some(cookie), Some(authorization)) => cookie
                .scheme
                .missing()
                .with_header(header::WWW_AUTHENTICATE, authorization.scheme.challenge().clone()),
            (Some(Cookie { scheme, .. }), None) | (None, Some(Authorized { scheme, .. })) => {
                scheme.missing()
            }
            (None, None) => ApiError::unauthenticated(),
        }
    }
}

impl<S> Clone for Sessions<S> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules) }
    }
}

impl<S> fmt::Debug for Sessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("cookie", &self.rules.cookie.as_ref().map(|cookie| &cookie.name))
            .field("authorization", &self.rules.authorization.as_ref().map(|it| &it.name))
            .finish_non_exhaustive()
    }
}
