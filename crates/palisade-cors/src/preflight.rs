use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    allowlist::sole_value,
    refusal::{REFUSED, Refusal},
    rules::{Methods, Rules},
};

/// Chromium asked so before a page of the internet reached into a private network. It is replaced by a prompt of the
/// browser, and left for the versions that still ask.
static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Origin, methods, headers, credentials, age and `Vary`.
const USUAL_HEADERS: usize = 6;

/// A preflight, whose origin has been judged. No answer to it has a body.
pub(crate) struct Preflight<'a> {
    request: &'a HeaderMap,
}

impl<'a> Preflight<'a> {
    pub(crate) fn new(request: &'a HeaderMap) -> Self {
        Self { request }
    }

    /// Returns the response to a preflight of a listed origin: 204 with the allowed methods and headers, or a rejection if it
    /// asks for others.
    pub(crate) fn answered(&self, rules: &Rules, origin: HeaderValue) -> Response<Bytes> {
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if rules.credentials {
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        match self.grants(rules, &mut headers) {
            Ok(()) => respond(rules, rules.granted, headers),
            Err(refusal) => {
                rules.log("preflight", refusal, self.request);
                if !rules.debug {
                    return respond(rules, rules.refused, HeaderMap::new());
                }
                // With an ok status and the allowed values the browser's console names the method or header that is missing,
                // instead of a failed preflight.
                headers.insert(REFUSED.clone(), HeaderValue::from_static(refusal.as_str()));
                respond(rules, rules.granted, headers)
            }
        }
    }

    /// Returns a 403 without CORS headers, which reveals nothing of the configuration.
    pub(crate) fn refused(&self, rules: &Rules, refusal: Refusal) -> Response<Bytes> {
        rules.log("preflight", refusal, self.request);
        let mut headers = HeaderMap::new();
        if rules.debug {
            headers.insert(REFUSED.clone(), HeaderValue::from_static(refusal.as_str()));
        }
        respond(rules, rules.refused, headers)
    }

    /// Writes the headers of a [CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch), up to the first
    /// value that is not allowed.
    fn grants(&self, rules: &Rules, headers: &mut HeaderMap) -> Result<(), Refusal> {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.method(&rules.methods)?);
        if let Some(names) = rules.request_headers.answer_to(self.request)? {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if let Some(max_age) = &rules.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        let asked = self.request.get(&REQUEST_PRIVATE_NETWORK);
        if rules.private_network && asked.is_some_and(|value| value == "true") {
            headers.insert(ALLOW_PRIVATE_NETWORK.clone(), HeaderValue::from_static("true"));
        }
        Ok(())
    }

    fn method(&self, methods: &Methods) -> Result<HeaderValue, Refusal> {
        let method = sole_value(self.request, header::ACCESS_CONTROL_REQUEST_METHOD)
            .ok_or(Refusal::RepeatedMethod)?;
        match methods {
            Methods::Any => Ok(HeaderValue::from_static("*")),
            Methods::Listed(listed) => listed.get(method).cloned().ok_or(Refusal::Method),
        }
    }
}

fn respond(rules: &Rules, status: StatusCode, mut headers: HeaderMap) -> Response<Bytes> {
    if let Some(vary) = &rules.vary_of_preflights {
        headers.insert(header::VARY, vary.clone());
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, request};
    use palisade_core::{Decision, Halt, Policy, is_preflight};

    use super::*;
    use crate::{Cors, CorsBuilder};

    fn builder() -> CorsBuilder {
        Cors::allow_origins(["https://app.example.com", "https://admin.example.com"])
            .allow_methods([Method::DELETE, Method::from_bytes(b"patch").unwrap()])
            .allow_headers(["authorization", "content-type"])
            .allow_credentials(true)
            .max_age(Duration::from_secs(7200))
    }

    fn cors() -> Cors {
        builder().build().unwrap()
    }

    fn answer(cors: &Cors, headers: &Fields) -> Response<Bytes> {
        match cors.decide(&head("OPTIONS", headers)) {
            Decision::Now(Err(Halt::Reply(reply))) => *reply,
            decision => panic!("a preflight is answered, and not {decision:?}"),
        }
    }

    fn pairs(response: &Response<Bytes>) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        pairs.sort_unstable();
        pairs
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
    fn preflight_requires_options_origin_and_requested_method() {
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
    fn preflight_is_answered_with_exactly_the_requested_values() {
        let response = answer(&cors(), &[ORIGIN, METHOD, (HEADERS, "authorization,content-type")]);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(response.body().is_empty());
        assert_eq!(
            pairs(&response),
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
    fn safelisted_methods_are_always_allowed() {
        for method in ["GET", "HEAD", "POST", "DELETE", "patch"] {
            let response = answer(&cors(), &[ORIGIN, (METHOD.0, method)]);
            assert_eq!(response.headers()["access-control-allow-methods"], method);
            assert!(!response.headers().contains_key("access-control-allow-headers"));
        }
    }

    /// Each, and why.
    const REFUSED_ONES: &[(&Fields, Refusal)] = &[
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

    #[test]
    fn rejected_preflight_has_no_cors_headers_or_body() {
        for status in [StatusCode::FORBIDDEN, StatusCode::NO_CONTENT] {
            let cors = builder().refused_preflight_status(status).build().unwrap();
            for (headers, _) in REFUSED_ONES {
                let response = answer(&cors, headers);
                assert_eq!(response.status(), status, "{headers:?}");
                assert!(response.body().is_empty());
                assert_eq!(pairs(&response), [("vary", "Origin")], "{headers:?}");
            }
        }
    }

    #[test]
    fn debug_mode_gives_the_reason_and_allows_no_more_origins() {
        let cors = builder().debug(true).build().unwrap();
        for (headers, refusal) in REFUSED_ONES {
            let response = answer(&cors, headers);
            assert_eq!(response.headers()["x-cors-refused"], refusal.as_str(), "{headers:?}");
            let allows = |name: &str| response.headers().contains_key(name);
            if *refusal == Refusal::Origin {
                assert_eq!(response.status(), StatusCode::FORBIDDEN);
                assert!(!allows("access-control-allow-origin"), "{headers:?}");
            } else {
                // The headers that a browser needs to name the method or header, and to reject the request.
                assert_eq!(response.status(), StatusCode::NO_CONTENT);
                assert!(allows("access-control-allow-origin"), "{headers:?}");
                let asks_for_headers = matches!(refusal, Refusal::Header | Refusal::Padding);
                assert_eq!(allows("access-control-allow-methods"), asks_for_headers, "{headers:?}");
                assert!(!allows("access-control-allow-headers"), "{headers:?}");
            }
            assert!(!allows("access-control-max-age"), "{headers:?}");
        }
        assert!(!answer(&cors, &[ORIGIN, METHOD]).headers().contains_key("x-cors-refused"));
    }

    #[test]
    fn any_origin_preflight_gets_a_star_without_vary() {
        let cors = Cors::builder().any_origin().build().unwrap();

        let response = answer(&cors, &[ORIGIN, (METHOD.0, "POST"), (HEADERS, "content-type")]);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(
            pairs(&response),
            [
                ("access-control-allow-headers", "content-type"),
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-origin", "*"),
            ]
        );

        for refused in [&[ORIGIN, METHOD] as &Fields, &[ORIGIN, ORIGIN, (METHOD.0, "POST")]] {
            let response = answer(&cors, refused);
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert!(response.headers().is_empty());
        }
    }

    #[test]
    fn any_method_and_header_are_answered_with_stars() {
        let cors = Cors::builder().any_origin().any_method().any_header_but_authorization();
        let cors = cors.build().unwrap();
        let response = answer(&cors, &[ORIGIN, (METHOD.0, "PURGE"), (HEADERS, "x-a,x-b")]);
        assert_eq!(
            pairs(&response),
            [
                ("access-control-allow-headers", "*"),
                ("access-control-allow-methods", "*"),
                ("access-control-allow-origin", "*"),
            ]
        );
        let response = answer(&cors, &[ORIGIN, METHOD, (HEADERS, "authorization")]);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);

        let cors = Cors::builder().any_origin().any_header().allow_headers(["authorization"]);
        let response = answer(
            &cors.build().unwrap(),
            &[ORIGIN, (METHOD.0, "GET"), (HEADERS, "authorization")],
        );
        assert_eq!(response.headers()["access-control-allow-headers"], "*,authorization");
    }

    #[test]
    fn success_status_of_a_preflight_can_be_200() {
        let cors = builder().success_status(StatusCode::OK).build().unwrap();
        assert_eq!(answer(&cors, &[ORIGIN, METHOD]).status(), StatusCode::OK);
        assert_eq!(answer(&cors, &[ORIGIN, (METHOD.0, "PUT")]).status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn private_network_header_requires_the_setting_and_the_request() {
        const ASKS: (&str, &str) = ("access-control-request-private-network", "true");
        const ALLOWS: &str = "access-control-allow-private-network";
        let opens = builder().allow_private_network(true).build().unwrap();
        assert_eq!(answer(&opens, &[ORIGIN, METHOD, ASKS]).headers()[ALLOWS], "true");
        let not_asked: &[&Fields] = &[&[ORIGIN, METHOD], &[ORIGIN, METHOD, (ASKS.0, "false")]];
        for fields in not_asked {
            assert!(!answer(&opens, fields).headers().contains_key(ALLOWS));
        }
        assert!(!answer(&cors(), &[ORIGIN, METHOD, ASKS]).headers().contains_key(ALLOWS));
        let evil = [("origin", "https://evil.example"), METHOD, ASKS];
        assert!(!answer(&opens, &evil).headers().contains_key(ALLOWS));
    }

    #[test]
    fn cached_preflights_vary_by_their_request_headers() {
        let both = "Access-Control-Request-Method, Access-Control-Request-Headers";
        let cors = builder().vary_preflights(true).build().unwrap();
        for fields in [&[ORIGIN, METHOD] as &Fields, &[("origin", "https://evil.example"), METHOD]]
        {
            assert_eq!(answer(&cors, fields).headers()["vary"], format!("Origin, {both}"));
        }
        let any = Cors::builder().any_origin().vary_preflights(true).build().unwrap();
        assert_eq!(answer(&any, &[ORIGIN, (METHOD.0, "GET")]).headers()["vary"], both);
    }

    #[test]
    fn grpc_web_request_headers_are_allowed() {
        let cors = Cors::allow_origins([ORIGIN.1]).allow_headers(["authorization"]).grpc_web();
        let asked = "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent";
        let response =
            answer(&cors.build().unwrap(), &[ORIGIN, (METHOD.0, "POST"), (HEADERS, asked)]);
        assert_eq!(response.headers()["access-control-allow-headers"], asked);
    }

    #[test]
    fn constant_headers_still_reject_unlisted_preflights() {
        let cors = Cors::allow_origins([ORIGIN.1]).static_origin().build().unwrap();
        let response = answer(&cors, &[ORIGIN, (METHOD.0, "POST")]);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], ORIGIN.1);
        let response = answer(&cors, &[("origin", "https://evil.example"), (METHOD.0, "POST")]);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(pairs(&response), [("vary", "Origin")]);
    }

    #[test]
    fn same_origin_only_rejects_every_preflight() {
        let response = answer(&Cors::same_origin_only(), &[ORIGIN, (METHOD.0, "GET")]);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(response.headers().is_empty());
    }
}
