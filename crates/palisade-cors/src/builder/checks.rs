use std::{sync::atomic::AtomicBool, time::Duration};

use foldhash::HashSet;
use http::{HeaderValue, Method, StatusCode};
use palisade_core::ConfigError;

use super::{AnyHeader, CorsBuilder};
use crate::{
    allowlist::{Allowlist, Listed},
    headers,
    lookup::Lookup,
    paths::{self, Paths},
    pattern::Pattern,
    request_headers::{ListedHeaders, RequestHeaders},
    rules::{Methods, Rules, SharedRules},
};

/// The methods that browsers allow without a preflight
/// ([Fetch, CORS-safelisted method](https://fetch.spec.whatwg.org/#cors-safelisted-method)).
const SAFELISTED_METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// A day: where Firefox caps it. Chromium caps it at two hours.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// The headers that gRPC-web clients send, and those that they read.
const GRPC_WEB_REQUEST: [&str; 4] = ["x-grpc-web", "content-type", "grpc-timeout", "x-user-agent"];
const GRPC_WEB_RESPONSE: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

impl CorsBuilder {
    pub(crate) fn rules(self) -> Result<Rules, ConfigError> {
        let origins = self.allowlist()?;
        self.modes_fit()?;
        Ok(Rules {
            vary_of_preflights: self.vary_of_preflights(&origins),
            origins,
            methods: self.methods()?,
            request_headers: self.request_headers()?,
            exposed: self.exposed()?,
            credentials: self.credentials,
            max_age: self.max_age.map(max_age).transpose()?,
            private_network: self.private_network,
            granted: ok_status(self.success_status)?,
            refused: refusal_status(self.refusal_status)?,
            strict: self.strict,
            debug: self.debug,
            keeps_service_headers: self.keeps_service_headers,
            paths: self.paths()?,
            warned_of_authorization: AtomicBool::new(false),
        })
    }

    /// Returns the rules of [`Cors::same_origin_only`](crate::Cors::same_origin_only), which are always valid.
    pub(crate) fn same_origin_only(self) -> Rules {
        Rules {
            origins: Allowlist::Empty,
            methods: Methods::Listed(HashSet::default()),
            request_headers: RequestHeaders::Listed(ListedHeaders::new([])),
            exposed: None,
            credentials: false,
            max_age: None,
            private_network: false,
            granted: self.success_status,
            refused: self.refusal_status,
            vary_of_preflights: None,
            strict: false,
            debug: false,
            keeps_service_headers: false,
            paths: Paths::default(),
            warned_of_authorization: AtomicBool::new(false),
        }
    }

    fn allowlist(&self) -> Result<Allowlist, ConfigError> {
        if self.any_origin {
            return self.any_origin_stands_alone().map(|()| Allowlist::Any);
        }
        if self.null && self.credentials {
            return Err(ConfigError::without_value(
                "insecure_allow_null",
                "remove it or allow_credentials(): any page can have the origin `null`, and would read what the user can",
            ));
        }
        if self.null && self.private_network {
            return Err(ConfigError::without_value(
                "insecure_allow_null",
                "remove it or allow_private_network(): any page of the internet can have the origin `null`, and would reach the private network",
            ));
        }
        let asks = !self.predicates.is_empty() || self.lookup.is_some();
        if self.origins.is_empty() && !self.null && !asks {
            return Err(ConfigError::without_value(
                "allow_origins",
                "the list is empty; name at least one origin, or call any_origin()",
            ));
        }
        let patterns: Vec<_> =
            self.origins.iter().map(|text| self.pattern(text)).collect::<Result<_, _>>()?;
        if self.static_origin {
            return self.only_one(&patterns, asks);
        }
        let null = self.null.then(|| Pattern::Exact(HeaderValue::from_static("null")));
        Ok(Allowlist::Listed(Listed::new(
            patterns.into_iter().chain(null),
            self.predicates.clone(),
            self.lookup()?,
            !self.trusts_its_origins() || self.forgeable_credentials,
        )))
    }

    fn lookup(&self) -> Result<Option<Lookup>, ConfigError> {
        let limits = self.lookup_limits.clone().unwrap_or_default();
        self.lookup.clone().map(|ask| Lookup::new(ask, limits)).transpose()
    }

    /// A listed origin gets something that no other page on the network should get.
    fn trusts_its_origins(&self) -> bool {
        self.credentials || self.private_network
    }

    fn any_origin_stands_alone(&self) -> Result<(), ConfigError> {
        if let Some(listed) = self.origins.first() {
            let remedy = "leave it out, or any_origin(), which includes it";
            return Err(ConfigError::new("allow_origin", listed, remedy));
        }
        let settings = [
            (
                self.credentials,
                "allow_credentials",
                "list the origins instead of any_origin(); no browser sends credentials to `*`",
            ),
            (
                self.private_network,
                "allow_private_network",
                "list the origins instead of any_origin(): any page of the internet would reach the private network",
            ),
            (self.strict, "strict", "remove it or any_origin(), which rejects no origin"),
            (self.static_origin, "static_origin", "leave it out; any_origin() does so"),
            (self.null, "insecure_allow_null", "leave it out; any_origin() includes `null`"),
            (
                !self.predicates.is_empty(),
                "allow_origin_if",
                "remove it or any_origin(), which needs no decision",
            ),
            (
                self.lookup.is_some(),
                "allow_origin_lookup",
                "remove it or any_origin(), which needs no decision",
            ),
        ];
        match settings.into_iter().find(|(is_set, ..)| *is_set) {
            Some((_, setting, remedy)) => Err(ConfigError::new(setting, true, remedy)),
            None => Ok(()),
        }
    }

    fn pattern(&self, text: &str) -> Result<Pattern, ConfigError> {
        let wrong = |remedy: String| ConfigError::new("allow_origin", text, remedy);
        let written = Pattern::read(text).map_err(wrong)?;
        if written.is_forgeable && self.trusts_its_origins() && !self.forgeable_credentials {
            let trust =
                if self.credentials { "allow_credentials()" } else { "allow_private_network()" };
            return Err(wrong(format!(
                "serve it over https, or remove {trust}: an attacker on the network can forge a page of an http origin",
            )));
        }
        if let Some(suffix) = &written.public_suffix {
            if self.trusts_its_origins() {
                return Err(wrong(format!(
                    "list each origin by its name: any person can register a name below `{suffix}`, and would read what the user can",
                )));
            }
            if !self.public_suffixes {
                return Err(wrong(format!(
                    "list each origin by its name, or a `*` one label further down: any person can register a name below `{suffix}` (insecure_allow_public_suffixes() allows all of them)",
                )));
            }
        }
        Ok(written.pattern)
    }

    fn only_one(&self, patterns: &[Pattern], asks: bool) -> Result<Allowlist, ConfigError> {
        let wrong = |remedy: &'static str| Err(ConfigError::without_value("static_origin", remedy));
        if self.credentials {
            return wrong(
                "remove it or allow_credentials(), which is sent to the matching origin only",
            );
        }
        if self.strict {
            return wrong("leave it out, or strict(), whose answer depends on the origin");
        }
        match patterns {
            [Pattern::Exact(origin)] if !asks && !self.null => Ok(Allowlist::Only(origin.clone())),
            _ => wrong("list exactly one origin, without a `*`; or leave it out"),
        }
    }

    fn methods(&self) -> Result<Methods, ConfigError> {
        if self.any_method {
            if self.credentials {
                return Err(ConfigError::new(
                    "any_method",
                    "*",
                    "list each method with allow_methods(); \
                     with credentials browsers read `*` as the name of a method",
                ));
            }
            if self.methods.is_some() {
                return Err(ConfigError::new(
                    "any_method",
                    "*",
                    "leave it out, or allow_methods(), which it includes",
                ));
            }
            return Ok(Methods::Any);
        }
        let listed = self.methods.as_deref().unwrap_or_default();
        let all = SAFELISTED_METHODS.iter().chain(listed).map(headers::method);
        Ok(Methods::Listed(all.collect::<Result<_, _>>()?))
    }

    fn request_headers(&self) -> Result<RequestHeaders, ConfigError> {
        let of_grpc = if self.grpc_web { &GRPC_WEB_REQUEST[..] } else { &[] };
        let names = self.request_headers.iter().map(String::as_str).chain(of_grpc.iter().copied());
        let listed: Vec<_> = names.map(headers::request_header).collect::<Result<_, _>>()?;
        let Some(any) = self.any_header else {
            return Ok(RequestHeaders::Listed(ListedHeaders::new(listed)));
        };
        let wrong = |remedy: &'static str| Err(ConfigError::new("allow_headers", "*", remedy));
        if self.credentials {
            return wrong(
                "list each header by its name; with credentials browsers read `*` as the name of a header",
            );
        }
        let authorization = listed.contains(&http::header::AUTHORIZATION);
        match (any, authorization) {
            (AnyHeader::Authorization, false) => wrong(
                "`*` does not cover Authorization; list it too, allow_headers([\"Authorization\"]), \
                 or leave it out with any_header_but_authorization()",
            ),
            (AnyHeader::ButAuthorization, true) => {
                wrong("Authorization is listed, and left out; take any_header(), or do not list it")
            }
            (_, authorization) => Ok(RequestHeaders::Any { authorization }),
        }
    }

    fn exposed(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let mut names = self.exposed.clone();
        if self.grpc_web {
            names.extend(GRPC_WEB_RESPONSE.map(str::to_owned));
        }
        headers::exposed(&names, self.credentials)
    }

    /// Returns the `Vary` of preflight responses.
    fn vary_of_preflights(&self, origins: &Allowlist) -> Option<HeaderValue> {
        let by_origin = matches!(origins, Allowlist::Listed(_) | Allowlist::Only(_));
        Some(HeaderValue::from_static(match (by_origin, self.preflights_in_caches) {
            (true, true) => "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            (true, false) => "Origin",
            (false, true) => "Access-Control-Request-Method, Access-Control-Request-Headers",
            (false, false) => return None,
        }))
    }

    fn paths(&self) -> Result<Paths<SharedRules>, ConfigError> {
        let mut paths: Vec<(Box<str>, SharedRules)> = Vec::with_capacity(self.paths.len());
        for (path, cors) in &self.paths {
            let wrong = |remedy: &'static str| Err(ConfigError::new("on_path", path, remedy));
            if !path.starts_with('/') {
                return wrong("begin it with a slash");
            }
            if path.ends_with('/') {
                return wrong("leave out the slash at the end; every path below is included");
            }
            if path.contains(['*', '{', '}', '?', '#']) {
                return wrong("write the beginning of the path only; there are no patterns in it");
            }
            if paths::is_ambiguous(path) {
                return wrong(
                    "write it as clients send it, without `%`, `//`, `.` and `..` segments",
                );
            }
            if paths.iter().any(|(other, _)| **other == **path) {
                return wrong("give it one configuration");
            }
            paths.push((path.as_str().into(), cors.rules.clone()));
        }
        Ok(Paths::new(paths))
    }

    fn modes_fit(&self) -> Result<(), ConfigError> {
        if self.lookup_limits.is_some() && self.lookup.is_none() {
            return Err(ConfigError::without_value(
                "lookup_limits",
                "remove it, or call allow_origin_lookup(): without a lookup it has no effect",
            ));
        }
        if self.forgeable_credentials && !self.trusts_its_origins() {
            return Err(ConfigError::without_value(
                "insecure_allow_credentials_over_http",
                "remove it: credentials are not allowed",
            ));
        }
        Ok(())
    }
}

fn max_age(age: Duration) -> Result<HeaderValue, ConfigError> {
    let wrong = |remedy: &'static str| Err(ConfigError::new("max_age", format!("{age:?}"), remedy));
    if age > MAX_AGE {
        return wrong("use at most 86400 seconds; browsers store nothing longer");
    }
    if age.subsec_nanos() > 0 {
        return wrong("use whole seconds; the header has no fractions");
    }
    Ok(HeaderValue::from(age.as_secs()))
}

fn ok_status(status: StatusCode) -> Result<StatusCode, ConfigError> {
    if status.is_success() {
        return Ok(status);
    }
    let remedy = "use 204 or 200; browsers reject statuses outside of 200 to 299";
    Err(ConfigError::new("success_status", status.as_u16(), remedy))
}

fn refusal_status(status: StatusCode) -> Result<StatusCode, ConfigError> {
    if matches!(status, StatusCode::FORBIDDEN | StatusCode::NO_CONTENT | StatusCode::OK) {
        return Ok(status);
    }
    let remedy = "use 403 or 204 (200 if a proxy does not know 204)";
    Err(ConfigError::new("refused_preflight_status", status.as_u16(), remedy))
}
