use http::{HeaderName, HeaderValue, Method};
use palisade_core::ConfigError;

/// [Fetch, forbidden request-header](https://fetch.spec.whatwg.org/#forbidden-request-header): no script can set them,
/// so no preflight asks for them.
const FORBIDDEN_IN_REQUESTS: &[&str] = &[
    "accept-charset",
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The first two are forbidden by Fetch. So are request headers with `access-control-`; listing response headers with this
/// prefix is a mistake.
const FORBIDDEN_PREFIXES: &[&str] = &["proxy-", "sec-", "access-control-"];

/// [Fetch, forbidden response-header name](https://fetch.spec.whatwg.org/#forbidden-response-header-name).
const FORBIDDEN_IN_RESPONSES: &[&str] = &["set-cookie", "set-cookie2"];

/// [Fetch, normalize a method](https://fetch.spec.whatwg.org/#concept-method-normalize): browsers send these in upper
/// case however the page writes them. They leave others alone, `patch` among them.
const NORMALISED: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];

/// [Fetch, forbidden method](https://fetch.spec.whatwg.org/#forbidden-method).
const FORBIDDEN_METHODS: &[&str] = &["CONNECT", "TRACE", "TRACK"];

/// A method that a preflight can ask for, as the header that allows it.
pub(crate) fn method(method: &Method) -> Result<HeaderValue, ConfigError> {
    let name = method.as_str();
    let wrong = |remedy: String| ConfigError::new("allow_methods", name, remedy);
    let among = |methods: &[&str]| methods.iter().any(|method| method.eq_ignore_ascii_case(name));
    if name == "*" {
        return Err(wrong("call any_method(), or list each method by its name".to_owned()));
    }
    if among(FORBIDDEN_METHODS) {
        return Err(wrong("remove it: browsers allow no page to send it".to_owned()));
    }
    if among(NORMALISED) && !NORMALISED.contains(&name) {
        let sent = name.to_ascii_uppercase();
        return Err(wrong(format!("write `{sent}`; methods are case-sensitive")));
    }
    HeaderValue::from_str(name).map_err(|_| wrong("a method is a token (RFC 9110)".to_owned()))
}

/// A header that a page may be allowed to send.
pub(crate) fn request_header(name: &str) -> Result<HeaderName, ConfigError> {
    let wrong = |remedy: &'static str| ConfigError::new("allow_headers", name, remedy);
    if name == "*" {
        return Err(wrong("call any_header(), or list each header by its name"));
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(NOT_A_TOKEN))?;
    let lower = parsed.as_str();
    if FORBIDDEN_IN_REQUESTS.contains(&lower)
        || FORBIDDEN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err(wrong("leave it out; the browser or the server sets it; pages cannot"));
    }
    Ok(parsed)
}

/// The list of headers that a page may read. An empty one is no header.
pub(crate) fn exposed(
    names: &[String],
    credentials: bool,
) -> Result<Option<HeaderValue>, ConfigError> {
    for name in names {
        exposed_header(name, credentials)?;
    }
    if names.is_empty() {
        return Ok(None);
    }
    let list = names.join(", ");
    HeaderValue::try_from(list.as_str())
        .map(Some)
        .map_err(|_| ConfigError::new("expose_headers", list, NOT_A_TOKEN))
}

fn exposed_header(name: &str, credentials: bool) -> Result<(), ConfigError> {
    let wrong = |remedy: &'static str| ConfigError::new("expose_headers", name, remedy);
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(NOT_A_TOKEN))?;
    if name == "*" && credentials {
        return Err(wrong(
            "list each header by its name; with credentials browsers read `*` as the name of a header",
        ));
    }
    if FORBIDDEN_IN_RESPONSES.contains(&parsed.as_str()) {
        return Err(wrong("remove it: browsers show it to no page"));
    }
    Ok(())
}

const NOT_A_TOKEN: &str =
    "a header name is a token (RFC 9110, section 5.6.2): one name, no white space, no colon";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_pages_cannot_send_are_config_errors() {
        for allowed in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "patch", "QUERY", "Custom"] {
            let parsed = Method::from_bytes(allowed.as_bytes()).unwrap();
            assert_eq!(method(&parsed).unwrap(), allowed);
        }
        for (refused, remedy) in [
            ("CONNECT", "no page"),
            ("TRACE", "no page"),
            ("TRACK", "no page"),
            ("track", "no page"),
            ("put", "write `PUT`"),
            ("Delete", "write `DELETE`"),
            ("*", "by its name"),
        ] {
            let error = method(&Method::from_bytes(refused.as_bytes()).unwrap()).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("allow_methods `{refused}` ")), "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }

    #[test]
    fn headers_that_pages_cannot_send_are_config_errors() {
        for allowed in ["content-type", "Authorization", "X-Requested-With", "user-agent", "secret"]
        {
            assert_eq!(request_header(allowed).unwrap().as_str(), allowed.to_ascii_lowercase());
        }
        for (refused, remedy) in [
            ("", "a token"),
            ("x trace", "a token"),
            ("x-trace:", "a token"),
            ("x-trace, x-other", "a token"),
            ("x-tracé", "a token"),
            ("*", "by its name"),
            ("Cookie", "pages cannot"),
            ("host", "pages cannot"),
            ("Origin", "pages cannot"),
            ("Sec-Fetch-Site", "pages cannot"),
            ("proxy-authorization", "pages cannot"),
            ("Access-Control-Request-Method", "pages cannot"),
            ("Access-Control-Allow-Origin", "pages cannot"),
        ] {
            let message = request_header(refused).unwrap_err().to_string();
            assert!(message.starts_with(&format!("allow_headers `{refused}` ")), "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }

    #[test]
    fn headers_that_pages_cannot_read_are_config_errors() {
        let list = |names: &[&str], credentials| {
            exposed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), credentials)
        };
        assert_eq!(list(&["ETag", "X-Total"], true).unwrap().unwrap(), "ETag, X-Total");
        assert_eq!(list(&["*"], false).unwrap().unwrap(), "*");
        assert_eq!(list(&[], true).unwrap(), None);
        for (refused, remedy) in
            [("*", "`*`"), ("Set-Cookie", "no page"), ("x y", "a token"), ("", "a token")]
        {
            let message = list(&["ETag", refused], true).unwrap_err().to_string();
            assert!(message.starts_with(&format!("expose_headers `{refused}` ")), "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }
}
