use http::{HeaderMap, HeaderName, HeaderValue, header};
use palisade_core::remove_header;

use super::directives::Directives;

/// Fields that concern a connection, and not the response (RFC 9110, section 7.6.1), or the proxy that wrote them (RFC 9111,
/// section 3.1).
const OF_A_CONNECTION: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that are made for one request. Layers outside of the cache write them on each response.
const OF_A_REQUEST: [&str; 9] = [
    "cache-status",
    "idempotent-replayed",
    "request-id",
    "retry-after",
    "server-timing",
    "traceparent",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-request-id",
];

/// Fields by which a browser protects a page. They depend on the request: on its origin, its scheme, a nonce.
const OF_SECURITY: [&str; 17] = [
    "content-security-policy",
    "content-security-policy-report-only",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "origin-agent-cluster",
    "permissions-policy",
    "referrer-policy",
    "reporting-endpoints",
    "strict-transport-security",
    "timing-allow-origin",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-download-options",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-xss-protection",
];

/// Fields of CORS and of rate limits.
const PREFIXES: [&str; 4] = ["access-control-", "ratelimit", "x-ratelimit-", "x-rate-limit-"];

/// Removes the fields that a cache does not store
/// ([RFC 9111, section 3.1](https://www.rfc-editor.org/rfc/rfc9111#section-3.1)), except those that the user keeps.
pub(crate) fn remove_unstorable(
    headers: &mut HeaderMap,
    directives: &Directives,
    kept: &[HeaderName],
) {
    let mut unstorable: Vec<HeaderName> = connection_options(headers).collect();
    unstorable.extend(directives.no_cache_fields.iter().cloned());
    unstorable.extend(headers.keys().filter(|name| is_unstorable(name, kept)).cloned());
    for name in &unstorable {
        remove_header(headers, name);
    }
}

/// Returns a security field that would not be stored. A page that depends on it needs it on each response.
pub(crate) fn stripped_security_field<'a>(
    headers: &'a HeaderMap,
    kept: &[HeaderName],
) -> Option<&'a HeaderName> {
    headers
        .keys()
        .find(|name| OF_SECURITY.binary_search(&name.as_str()).is_ok() && !kept.contains(name))
}

fn is_unstorable(name: &HeaderName, kept: &[HeaderName]) -> bool {
    let text = name.as_str();
    if OF_A_CONNECTION.binary_search(&text).is_ok() || *name == header::SET_COOKIE {
        return true;
    }
    let is_listed =
        OF_A_REQUEST.binary_search(&text).is_ok() || OF_SECURITY.binary_search(&text).is_ok();
    let is_listed = is_listed || PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    is_listed && !kept.contains(name)
}

/// The fields that `Connection` lists.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let lines = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}
