use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header, request, response};
use palisade_core::{
    ApiError, ConfigError, Decision, Policy, PolicyLayer, requested_uri, syntax::is_token,
};
use serde_json::{Map, Value};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata of a service that OAuth clients discover by themselves (RFC 9728): which authorization servers issue tokens
/// for it, and with which scopes. MCP servers must have it.
///
/// The policy replies to `GET /.well-known/oauth-protected-resource`, followed by the path of the resource, and adds
/// `resource_metadata` (and `scope`, if [set](ProtectedResourceBuilder::challenge_scopes)) to the challenges of 401 and 403
/// responses, by any authentication. Place it outside of the authentication, around the whole application: on a
/// route of its own it does not see the requests for the metadata.
///
/// ```
/// use http::{Request, StatusCode, header};
/// use palisade_auth::{Jwt, ProtectedResource};
/// use palisade_core::{Policy, PolicyLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let auth = Jwt::<()>::hs256("a signing key of at least thirty-two bytes")
///     .audience("https://api.example.com/mcp")
///     .build()?;
/// let resource = ProtectedResource::builder("https://api.example.com/mcp")
///     .authorization_server("https://login.example.com")
///     .scopes(["tools:read", "tools:call"])
///     .build()?;
/// let service = PolicyLayer::new(resource.then(auth)).layer(service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// }));
///
/// let request = Request::get("/mcp").body(String::new())?;
/// let rejected = service.clone().oneshot(request).await?;
/// assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(
///     rejected.headers()[header::WWW_AUTHENTICATE],
///     "Bearer realm=\"api\", \
///      resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/mcp\""
/// );
/// let request = Request::get("/.well-known/oauth-protected-resource/mcp").body(String::new())?;
/// assert_eq!(service.oneshot(request).await?.status(), StatusCode::OK);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone)]
pub struct ProtectedResource(Arc<Settings>);

struct Settings {
    path: Box<str>,
    url: Box<str>,
    json: Bytes,
    /// The parameter of challenges, without a leading comma.
    parameter: Box<str>,
    scope: Option<Box<str>>,
    /// The schemes whose challenges get the parameters.
    schemes: Vec<String>,
}

/// The settings of a [`ProtectedResource`].
#[derive(Clone, Debug)]
pub struct ProtectedResourceBuilder {
    resource: String,
    servers: Vec<String>,
    scopes: Vec<String>,
    challenge_scopes: Vec<String>,
    schemes: Vec<String>,
    members: Map<String, Value>,
}

impl ProtectedResource {
    /// The resource with this identifier: the https URL at which clients reach it, with its path and without a fragment. It is
    /// also the audience of its tokens (RFC 8707). For tests and development http is allowed on loopback addresses.
    pub fn builder(resource: impl Into<String>) -> ProtectedResourceBuilder {
        ProtectedResourceBuilder {
            resource: resource.into(),
            servers: Vec::new(),
            scopes: Vec::new(),
            challenge_scopes: Vec::new(),
            schemes: vec!["Bearer".to_owned(), "DPoP".to_owned()],
            members: Map::new(),
        }
    }

    /// Returns the URL of the metadata.
    pub fn metadata_url(&self) -> &str {
        &self.0.url
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl ProtectedResourceBuilder {
    /// Adds an authorization server, by its issuer identifier. At least one is required.
    #[must_use]
    pub fn authorization_server(mut self, issuer: impl Into<String>) -> Self {
        self.servers.push(issuer.into());
        self
    }

    /// Adds scopes that clients may request (`scopes_supported`).
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Names these scopes in the challenges of 401 responses (RFC 6750, section 3), so that a client requests no more than
    /// it needs. Default: no scope. A challenge that names scopes itself, as those of
    /// [`rules::scope`](crate::rules::scope) do, keeps them.
    #[must_use]
    pub fn challenge_scopes<S: Into<String>>(
        mut self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.challenge_scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds the parameters to challenges of this scheme, beside `Bearer` and `DPoP`: for an authentication whose tokens come
    /// with another scheme, such as `token_in_authorization("Token")` of [`Jwt`](crate::Jwt::hs256).
    #[must_use]
    pub fn challenge_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.schemes.push(scheme.into());
        self
    }

    /// Sets another member of the metadata (RFC 9728, section 2), such as `resource_name` or
    /// `dpop_bound_access_tokens_required`.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If the resource or a server is not an https URL, or has a fragment; without an authorization server; for a scope
    /// that is not a scope-token (RFC 6749, section 3.3); for a scheme that is not a valid name; for a member that another setting sets.
    pub fn build(self) -> Result<ProtectedResource, ConfigError> {
        let resource = url("resource", &self.resource)?;
        for server in &self.servers {
            url("authorization_server", server)?;
        }
        if self.servers.is_empty() {
            let remedy =
                "name the issuer of the tokens with `.authorization_server(\"https://…\")`";
            return Err(ConfigError::without_value("authorization_server", remedy));
        }
        let is_scope_char = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        let is_scope = |scope: &str| !scope.is_empty() && scope.bytes().all(is_scope_char);
        let wrong = self.scopes.iter().chain(&self.challenge_scopes).find(|scope| !is_scope(scope));
        if let Some(scope) = wrong {
            let remedy = "a scope is printable ASCII without spaces, quotes and backslashes";
            return Err(ConfigError::new("scopes", scope.escape_debug(), remedy));
        }
        if let Some(scheme) = self.schemes.iter().find(|scheme| !is_token(scheme)) {
            let remedy = "name a scheme, such as `Token`";
            return Err(ConfigError::new("challenge_scheme", scheme.escape_debug(), remedy));
        }
        let mut json = Map::new();
        json.insert("resource".into(), self.resource.clone().into());
        json.insert("authorization_servers".into(), self.servers.into());
        if !self.scopes.is_empty() {
            json.insert("scopes_supported".into(), self.scopes.into());
        }
        json.insert("bearer_methods_supported".into(), vec!["header"].into());
        for (name, value) in self.members {
            if json.contains_key(&name) && name != "bearer_methods_supported" {
                let remedy = "it has a setting of its own";
                return Err(ConfigError::new("member", name.escape_debug(), remedy));
            }
            json.insert(name, value);
        }
        // RFC 9728, section 3.1: between the host and the path, without a slash at the end of an empty path.
        let path = resource.path().trim_end_matches('/');
        let query = resource.query().map(|query| format!("?{query}")).unwrap_or_default();
        let origin = &self.resource[..self.resource.len() - path_and_query(&self.resource).len()];
        let url: Box<str> = format!("{origin}{WELL_KNOWN}{path}{query}").into();
        let scope = self.challenge_scopes.join(" ");
        Ok(ProtectedResource(Arc::new(Settings {
            path: format!("{WELL_KNOWN}{path}").into(),
            parameter: format!("resource_metadata=\"{url}\"").into(),
            url,
            json: Value::from(json).to_string().into(),
            scope: (!scope.is_empty()).then(|| format!("scope=\"{scope}\"").into()),
            schemes: self.schemes,
        })))
    }
}

/// Returns the part of an absolute URL after the authority.
fn path_and_query(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    &url[end..]
}

fn url(setting: &'static str, text: &str) -> Result<Uri, ConfigError> {
    let wrong = || {
        let remedy = "use an absolute https URL without user and fragment";
        ConfigError::new(setting, text.escape_debug(), remedy)
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().unwrap_or_default();
    let is_loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let is_secure = match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback,
        _ => false,
    };
    // It stands in a quoted string of the challenge.
    let is_plain =
        !text.contains(['#', '"', '\\', '@']) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_secure && is_plain { Ok(uri) } else { Err(wrong()) }
}

impl Settings {
    fn reply(&self) -> Response<Bytes> {
        let mut response = Response::new(self.json.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        response
    }

    /// Returns a challenge with the parameters of this resource, or `None` if it is of another scheme.
    fn extend(&self, challenge: &HeaderValue, status: StatusCode) -> Option<HeaderValue> {
        let text = challenge.to_str().ok()?;
        let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
        let is_extended = self.schemes.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        if !is_extended || parameters.contains("resource_metadata=") {
            return None;
        }
        let mut all = vec![parameters.trim(), &self.parameter];
        all.extend(
            self.scope
                .as_deref()
                .filter(|_| status == StatusCode::UNAUTHORIZED && !parameters.contains("scope=\"")),
        );
        all.retain(|part| !part.is_empty());
        HeaderValue::try_from(format!("{scheme} {}", all.join(", "))).ok()
    }
}

impl Policy for ProtectedResource {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let settings = &*self.0;
        if requested_uri(request).path() != &*settings.path {
            return Decision::grant(());
        }
        match request.method {
            Method::GET | Method::HEAD => Decision::reply(settings.reply()),
            // The CORS policy answers preflights.
            Method::OPTIONS => Decision::grant(()),
            _ => Decision::refuse(ApiError::method_not_allowed([&Method::GET, &Method::HEAD])),
        }
    }

    fn finish(&self, (): (), response: &mut response::Parts) {
        if !matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return;
        }
        // An entry of the map needs room for one more field, which a full response does not have.
        let challenges =
            response.headers.iter_mut().filter(|(name, _)| **name == header::WWW_AUTHENTICATE);
        for (_, challenge) in challenges {
            if let Some(extended) = self.0.extend(challenge, response.status) {
                *challenge = extended;
            }
        }
    }
}

impl fmt::Debug for ProtectedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProtectedResource").field(&self.0.url).finish()
    }
}
