use std::{collections::BTreeSet, fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use http::Uri;
use palisade_core::{ConfigError, Principal, Secret, Step, syntax::LowerHex};
use sha2::Sha256;

use crate::{
    escape::Escaped,
    summary::{Summary, micros},
};

/// The target of the access log's events.
const TARGET: &str = "palisade::access";

/// Configures the access log: one `tracing` event for each request at level INFO, target `palisade::access`, at the end of its
/// response.
///
/// | field | |
/// | --- | --- |
/// | `request_id`, `trace_id`, `span_id` | the ids of the request |
/// | `method`, `path`, `route` | the request line; the route's template if the framework provides it, for gRPC the method |
/// | `status`, `grpc_status`, `code` | the status of the response, and the machine code of its error |
/// | `end` | `complete`, `aborted` (the client disconnected during the response), `cancelled` (before it), `failed` and `panicked` (without a response), `body_failed`, `body_panicked` |
/// | `duration_us`, `first_byte_us` | the time until the end, and until the head of the response |
/// | `bytes_in`, `bytes_out` | the bytes of the request body (declared or read) and of the response body (sent) |
/// | `client`, `peer` | [`ClientIp`](palisade_core::ClientIp), and the address of the peer |
/// | `principal` | the caller |
/// | `policies` | the decision and duration of each policy |
/// | `ratelimit` | the response's `RateLimit` field |
///
/// Unknown fields are omitted. Headers of the request are not logged, so neither are credentials and cookies. Query parameters
/// are logged only if they are [listed](Self::query_parameters). Values of clients are escaped, so that they cannot end a line,
/// and truncated.
///
/// `bytes_in` is the declared length, or what [`BodyPolicy`](palisade_core::BodyPolicy)s and body limits have read.
///
/// ```
/// use palisade_core::Secret;
/// use palisade_observe::{AccessLog, Observe};
///
/// let log = AccessLog::new()
///     .query_parameters(["page", "limit"])
///     .hash_principals(Secret::from("a key that stays the same, for the same hashes"))?;
/// let observe = Observe::new().access_log(log);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct AccessLog {
    parameters: Arc<BTreeSet<Box<str>>>,
    without_path: bool,
    principals: Option<Arc<Hmac<Sha256>>>,
}

impl AccessLog {
    /// Path without query, and principals by name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Logs these query parameters. Other parameters are replaced by `…`.
    #[must_use]
    pub fn query_parameters<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<Box<str>>>,
    {
        Arc::make_mut(&mut self.parameters).extend(names.into_iter().map(Into::into));
        self
    }

    /// Leaves the path out, where paths hold secrets (`/reset/{token}`): the route's template stays.
    #[must_use]
    pub fn without_path(mut self) -> Self {
        self.without_path = true;
        self
    }

    /// Logs a keyed hash of the caller (16 bytes of HMAC-SHA-256) instead of the name. The same caller has the same hash, and
    /// the caller cannot be found without the key.
    ///
    /// # Errors
    ///
    /// If the key has less than 16 bytes.
    pub fn hash_principals(mut self, key: impl Into<Secret>) -> Result<Self, ConfigError> {
        let key = key.into();
        if key.len() < 16 {
            return Err(ConfigError::without_value(
                "hash_principals",
                "use a key of at least 16 random bytes: with a key that can be guessed, names can be found by trying",
            ));
        }
        #[allow(clippy::disallowed_methods, reason = "it becomes the key of the hash")]
        let mac = Hmac::new_from_slice(key.expose());
        let too_long = |_| ConfigError::without_value("hash_principals", "use another key");
        self.principals = Some(Arc::new(mac.map_err(too_long)?));
        Ok(self)
    }

    /// The path as it is written.
    pub(crate) fn path<'a>(&'a self, uri: &'a Uri) -> Option<Path<'a>> {
        (!self.without_path).then_some(Path { uri, shown: &self.parameters })
    }

    /// The caller as it is written.
    pub(crate) fn principal(&self, principal: &Principal) -> String {
        let Some(mac) = &self.principals else {
            return Escaped(principal.subject()).to_string();
        };
        let mut mac = Hmac::clone(mac);
        mac.update(principal.issuer().as_bytes());
        // No issuer has one in it.
        mac.update(&[0]);
        mac.update(principal.subject().as_bytes());
        LowerHex(&mac.finalize().into_bytes()[..16]).to_string()
    }

    pub(crate) fn write(&self, summary: &Summary<'_>) {
        if !is_enabled() {
            return;
        }
        let principal = summary.principal.as_ref().map(|principal| self.principal(principal));
        tracing::info!(
            target: TARGET,
            request_id = summary.id.as_str(),
            trace_id = %summary.trace.trace_id(),
            span_id = %summary.trace.span_id(),
            method = %Escaped(summary.method.as_str()),
            path = self.path(summary.uri).map(display),
            route = summary.route.as_deref(),
            status = summary.status.map(|status| status.as_u16()),
            grpc_status = summary.grpc_status,
            code = summary.code,
            end = summary.end.name(),
            duration_us = micros(summary.duration),
            first_byte_us = summary.first_byte.map(micros),
            bytes_in = summary.bytes_in,
            bytes_out = summary.bytes_out,
            client = summary.client.map(display),
            peer = summary.peer.map(display),
            principal,
            policies = %Policies(&summary.steps),
            ratelimit = summary.rate_limit,
            "request"
        );
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("query_parameters", &self.parameters)
            .field("without_path", &self.without_path)
            .field("hashes_principals", &self.principals.is_some())
            .finish()
    }
}

/// Returns true if a subscriber is interested in the access log.
pub(crate) fn is_enabled() -> bool {
    tracing::event_enabled!(target: TARGET, tracing::Level::INFO)
}

/// A path with the listed parameters of its query.
pub(crate) struct Path<'a> {
    uri: &'a Uri,
    shown: &'a BTreeSet<Box<str>>,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.uri.path()).fmt(f)?;
        let Some(query) = self.uri.query() else { return Ok(()) };
        let mut separator = '?';
        let mut hides = false;
        for parameter in query.split('&') {
            let name = parameter.split('=').next().unwrap_or_default();
            if self.shown.contains(name) {
                write!(f, "{separator}{}", Escaped(parameter))?;
                separator = '&';
            } else {
                hides = true;
            }
        }
        if hides { write!(f, "{separator}…") } else { Ok(()) }
    }
}

/// `Cors=granted 3us, RateLimit=refused(RATE_LIMITED) 1us`.
struct Policies<'a>(&'a [Step]);

impl fmt::Display for Policies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{step} {}us", micros(step.took()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(log: &AccessLog, uri: &str) -> String {
        log.path(&uri.parse().unwrap()).map(|path| path.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_listed_query_parameters_are_logged() {
        let log = AccessLog::new();
        assert_eq!(path(&log, "/search"), "/search");
        assert_eq!(path(&log, "/search?access_token=s3cret&page=2"), "/search?…");
        let log = log.query_parameters(["page", "flag"]);
        assert_eq!(path(&log, "/search?access_token=s3cret&page=2&flag"), "/search?page=2&flag&…");
        assert_eq!(path(&log, "/search?page=2"), "/search?page=2");
        assert_eq!(
            path(&log, "/search?pag%65=2"),
            "/search?…",
            "a name in another guise is not listed"
        );
        assert_eq!(path(&log.without_path(), "/reset/s3cret?page=2"), "");
    }

    #[test]
    fn hashed_principal_depends_on_caller_and_key_only() {
        let hashing = |key: &str| AccessLog::new().hash_principals(key).unwrap();
        let log = hashing("a key of at least sixteen bytes");
        let ada = Principal::new("ada").issued_by("https://issuer.example");
        let hash = log.principal(&ada);
        assert_eq!(hash.len(), 32);
        assert_eq!(hash, log.principal(&ada.clone()));
        assert_ne!(hash, log.principal(&Principal::new("ada")));
        assert_ne!(hash, hashing("another key of sixteen bytes").principal(&ada));
        assert_eq!(AccessLog::new().principal(&Principal::new("a\r\nb")), "a\\r\\nb");
        let error = AccessLog::new().hash_principals("short").unwrap_err();
        assert_eq!(error.setting(), "hash_principals");
        assert!(!error.to_string().contains("short"), "a key is not printed");
    }
}
