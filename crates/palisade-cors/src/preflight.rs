use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};

use crate::{
    allowlist::{Allowlist, sole_value},
    policy::{ORIGIN, Rules},
    refusal::Refusal,
};
use palisade_core::vary_by;

/// True for a [CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request): all three marks of it.
/// Any other OPTIONS is a request like another, and the service's to answer.
#[inline]
pub(crate) fn is_preflight(request: &request::Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight: 204 with what is allowed, or 403 with nothing that a browser, or whoever probes the
/// configuration, could read.
#[cold]
pub(crate) fn answer(rules: &Rules, request: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    match allowed(rules, request) {
        Ok(headers) => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = headers;
        }
        Err(refusal) => {
            tracing::debug!(
                reason = %refusal,
                origin = ?request.get(header::ORIGIN),
                method = ?request.get(header::ACCESS_CONTROL_REQUEST_METHOD),
                headers = ?request.get(header::ACCESS_CONTROL_REQUEST_HEADERS),
                "CORS preflight refused"
            );
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
    }
    if rules.origins.varies() {
        vary_by(response.headers_mut(), &ORIGIN);
    }
    response
}

/// What the server says in a [CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch).
fn allowed(rules: &Rules, request: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let origin = allowed_origin(&rules.origins, request).ok_or(Refusal::Origin)?;
    let method = allowed_method(rules, request)?;
    let names = rules.request_headers.answer_to(request)?;

    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
    if let Some(names) = names {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    if rules.credentials {
        let allowed = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
    }
    if let Some(max_age) = &rules.max_age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
    }
    Ok(headers)
}

/// A preflight that does not come from exactly one origin is malformed, also where any origin will do.
fn allowed_origin(origins: &Allowlist, request: &HeaderMap) -> Option<HeaderValue> {
    sole_value(request, header::ORIGIN)?;
    origins.answer_to(request)
}

fn allowed_method(rules: &Rules, request: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let method = sole_value(request, header::ACCESS_CONTROL_REQUEST_METHOD)
        .ok_or(Refusal::RepeatedMethod)?;
    rules.methods.get(method).cloned().ok_or(Refusal::Method)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Cors;

    fn cors() -> Cors {
        Cors::allow_origins(["https://app.example.com", "https://admin.example.com"])
            .allow_methods([Method::DELETE, Method::from_bytes(b"patch").unwrap()])
            .allow_headers(["authorization", "content-type"])
            .allow_credentials(true)
            .max_age(Duration::from_secs(7200))
            .build()
            .unwrap()
    }

    type Fields = [(&'static str, &'static str)];

    fn head(method: &str, headers: &Fields) -> request::Parts {
        let mut request = http::Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const ORIGIN: (&str, &str) = ("origin", "https://app.example.com");
    const METHOD: (&str, &str) = ("access-control-request-method", "DELETE");
    const HEADERS: &str = "access-control-request-headers";

    #[test]
    fn a_preflight_has_all_three_marks() {
        let table: &[(&str, &Fields, bool)] = &[
            ("OPTIONS", &[ORIGIN, METHOD], true),
            ("OPTIONS", &[("origin", ""), ("access-control-request-method", "")], true),
            ("OPTIONS", &[], false),
            ("OPTIONS", &[ORIGIN], false),
            ("OPTIONS", &[METHOD], false),
            ("OPTIONS", &[ORIGIN, (HEADERS, "x-trace")], false),
            ("GET", &[ORIGIN, METHOD], false),
            ("POST", &[ORIGIN, METHOD], false),
            ("options", &[ORIGIN, METHOD], false),
        ];
        for (method, headers, expected) in table {
            assert_eq!(is_preflight(&head(method, headers)), *expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_listed_preflight_is_told_exactly_what_it_asked_for() {
        let request = head("OPTIONS", &[ORIGIN, METHOD, (HEADERS, "authorization,content-type")]);
        let response = answer(cors().rules(), &request.headers);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(response.body().is_empty());
        let mut sent: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        sent.sort_unstable();
        assert_eq!(
            sent,
            [
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-headers", "authorization,content-type"),
                ("access-control-allow-methods", "DELETE"),
                ("access-control-allow-origin", "https://app.example.com"),
                ("access-control-max-age", "7200"),
                ("vary", "Origin"),
            ]
        );
    }

    #[test]
    fn the_safelisted_methods_are_allowed_whatever_is_listed() {
        for method in ["GET", "HEAD", "POST", "DELETE", "patch"] {
            let request = head("OPTIONS", &[ORIGIN, (METHOD.0, method)]);
            let response = answer(cors().rules(), &request.headers);
            assert_eq!(response.headers()["access-control-allow-methods"], method);
            assert!(!response.headers().contains_key("access-control-allow-headers"));
        }
    }

    #[test]
    fn a_refused_preflight_gets_403_and_nothing_to_read() {
        let table: &[(&Fields, Refusal)] = &[
            (&[("origin", "https://evil.example"), METHOD], Refusal::Origin),
            (&[("origin", "null"), METHOD], Refusal::Origin),
            (&[("origin", ""), METHOD], Refusal::Origin),
            (&[ORIGIN, ORIGIN, METHOD], Refusal::Origin),
            (&[ORIGIN, METHOD, METHOD], Refusal::RepeatedMethod),
            (&[ORIGIN, (METHOD.0, "PUT")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "PATCH")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "delete")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "get")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "DELETE,GET")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "*")], Refusal::Method),
            (&[ORIGIN, (METHOD.0, "")], Refusal::Method),
            (&[ORIGIN, METHOD, (HEADERS, "x-other")], Refusal::Header),
            (&[ORIGIN, METHOD, (HEADERS, "content-type,,,,,    ,")], Refusal::Padding),
        ];
        for (headers, expected) in table {
            let request = head("OPTIONS", headers);
            let cors = cors();
            assert_eq!(allowed(cors.rules(), &request.headers), Err(*expected), "{headers:?}");
            let response = answer(cors.rules(), &request.headers);
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{headers:?}");
            assert!(response.body().is_empty());
            let sent: Vec<_> = response.headers().iter().collect();
            assert_eq!(sent, [(&header::VARY, &HeaderValue::from_static("Origin"))], "{headers:?}");
        }
    }

    #[test]
    fn any_origin_says_a_star_and_does_not_vary() {
        let cors = Cors::builder().any_origin().build().unwrap();
        let preflight = |headers: &Fields| answer(cors.rules(), &head("OPTIONS", headers).headers);

        let response = preflight(&[ORIGIN, (METHOD.0, "POST"), (HEADERS, "content-type")]);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        assert!(!response.headers().contains_key("vary"));

        let response = preflight(&[ORIGIN, METHOD]);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(response.headers().is_empty());

        assert_eq!(
            preflight(&[ORIGIN, ORIGIN, (METHOD.0, "POST")]).status(),
            StatusCode::FORBIDDEN
        );
    }
}
