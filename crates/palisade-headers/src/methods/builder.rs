use std::sync::Arc;

use http::{HeaderValue, Method};
use palisade_core::ConfigError;

use super::{Methods, Offered, Table, path::Path, tree::Tree};

/// Makes a [`Methods`]. Every mistake in it is found by [`build`](MethodsBuilder::build).
///
/// ```
/// use http::Method;
/// use palisade_headers::Methods;
///
/// let methods = Methods::allow([Method::GET])
///     .at("/orders", [Method::GET, Method::POST])
///     .at("/files/{*path}", [Method::GET, Method::PUT])
///     .build()?;
///
/// let lower = Method::from_bytes(b"get").unwrap();
/// let error = Methods::allow([lower]).build().unwrap_err();
/// assert_eq!(error.to_string(), "allow `get` is not valid: write `GET`; methods are case-sensitive");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct MethodsBuilder {
    elsewhere: Option<Vec<Method>>,
    paths: Vec<(String, Vec<Method>)>,
}

/// The methods of RFC 9110, and PATCH (RFC 5789).
const STANDARD: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

impl MethodsBuilder {
    /// These methods wherever [`at`](Self::at) lists no others. Without it, that is 404.
    pub fn allow(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.elsewhere = Some(methods.into_iter().collect());
        self
    }

    /// These methods at this path, in the syntax of axum's routes: `{name}` is one segment, and `{*name}` at the end is
    /// all that follow. The first path that matches counts.
    ///
    /// OPTIONS is answered unless it is listed, and HEAD comes with GET.
    pub fn at(
        mut self,
        path: impl Into<String>,
        methods: impl IntoIterator<Item = Method>,
    ) -> Self {
        self.paths.push((path.into(), methods.into_iter().collect()));
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// If there is no method, one in lower case, or TRACE, which would echo cookies to scripts; if a path is not valid, or
    /// fully covered by an earlier one.
    pub fn build(self) -> Result<Methods, ConfigError> {
        let elsewhere = self.elsewhere.map(|methods| Offered::new("allow", methods)).transpose()?;
        let mut paths: Vec<Path> = Vec::with_capacity(self.paths.len());
        let mut offered = Vec::with_capacity(self.paths.len());
        for (text, methods) in self.paths {
            let path = Path::parse(&text)?;
            if paths.iter().any(|earlier| earlier.covers(&path)) {
                let remedy = "an earlier path matches all of it: list it before that one, or once";
                return Err(ConfigError::new("at", text, remedy));
            }
            paths.push(path);
            offered.push(Offered::new("at", methods)?);
        }
        let all = offered.iter().chain(&elsewhere);
        let all = all.flat_map(|offered| offered.methods.iter().cloned());
        let anywhere = Offered {
            // Only this policy has the methods of all paths.
            service_answers_options: false,
            ..Offered::new("at", all.filter(|method| method != Method::OPTIONS).collect())?
        };
        Ok(Methods(Arc::new(Table { paths: Tree::new(&paths), offered, elsewhere, anywhere })))
    }
}

impl Offered {
    fn new(setting: &'static str, listed: Vec<Method>) -> Result<Self, ConfigError> {
        if listed.is_empty() {
            return Err(ConfigError::without_value(setting, "list a method"));
        }
        let mut methods: Vec<Method> = Vec::with_capacity(listed.len() + 2);
        let service_answers_options = listed.contains(&Method::OPTIONS);
        for method in listed {
            let meant = STANDARD.iter().find(|standard| {
                **standard != method && standard.as_str().eq_ignore_ascii_case(method.as_str())
            });
            if let Some(meant) = meant {
                let remedy = format!("write `{meant}`; methods are case-sensitive");
                return Err(ConfigError::new(setting, method, remedy));
            }
            if method == Method::TRACE {
                let remedy = "leave it out; it echoes credentials (RFC 9110, section 9.3.8)";
                return Err(ConfigError::new(setting, method, remedy));
            }
            let with_head = method == Method::GET;
            methods.push(method);
            if with_head {
                methods.push(Method::HEAD);
            }
        }
        methods.push(Method::OPTIONS);
        let mut once: Vec<Method> = Vec::with_capacity(methods.len());
        for method in methods {
            if !once.contains(&method) {
                once.push(method);
            }
        }
        let allow = once.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let allow = HeaderValue::try_from(allow.as_str())
            .map_err(|_| ConfigError::new(setting, allow, "a method is a token (RFC 9110)"))?;
        Ok(Self { methods: once, service_answers_options, allow })
    }
}
