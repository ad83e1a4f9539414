use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use palisade_core::Origin;

use crate::{lookup::Lookup, pattern::Pattern, predicate::Predicate, subdomains::Subdomains};

/// The origins that may read responses.
#[derive(Debug)]
pub(crate) enum Allowlist {
    /// Every origin, without credentials.
    Any,
    /// Only the service's own origin, for which browsers do not use CORS.
    Empty,
    /// A single origin, which is sent in all responses.
    Only(HeaderValue),
    /// These. The answer depends on who asks.
    Listed(Listed),
}

/// Listed origins, the predicates and the lookup.
///
/// The time of a lookup depends on the length of the origin, and not on the number of listed ones: exact origins are found by
/// hash and compared as bytes, hosts are compared label by label.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    exact: HashSet<HeaderValue>,
    any_port: HashSet<Box<str>>,
    subdomains: Subdomains,
    predicates: Vec<Predicate>,
    lookup: Option<Lookup>,
    /// Predicates and the lookup are not called for origins over plain http, which can be forged on the network.
    asks_about_forgeable: bool,
}

/// The result of checking a request's origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OriginCheck {
    /// The request has no origin.
    NoOrigin,
    /// The `Access-Control-Allow-Origin` that the response owes.
    Allowed(HeaderValue),
    Refused,
    /// The lookup has to be asked.
    Unknown,
}

impl Allowlist {
    #[inline]
    pub(crate) fn judge(&self, request: &HeaderMap) -> OriginCheck {
        match self {
            Self::Any => OriginCheck::Allowed(HeaderValue::from_static("*")),
            Self::Only(origin) => OriginCheck::Allowed(origin.clone()),
            Self::Empty if request.contains_key(header::ORIGIN) => OriginCheck::Refused,
            Self::Empty => OriginCheck::NoOrigin,
            Self::Listed(listed) => {
                let mut origins = request.get_all(header::ORIGIN).into_iter();
                match (origins.next(), origins.next()) {
                    (None, _) => OriginCheck::NoOrigin,
                    (Some(origin), None) => listed.judge(origin),
                    (Some(_), Some(_)) => OriginCheck::Refused,
                }
            }
        }
    }

    /// Returns true if responses depend on the request's `Origin`, so that they need `Vary`.
    #[inline]
    pub(crate) fn varies(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// Returns the lookup for unknown origins.
    pub(crate) fn lookup(&self) -> Option<&Lookup> {
        match self {
            Self::Listed(listed) => listed.lookup.as_ref(),
            Self::Any | Self::Empty | Self::Only(_) => None,
        }
    }
}

impl Listed {
    pub(crate) fn new(
        patterns: impl IntoIterator<Item = Pattern>,
        predicates: Vec<Predicate>,
        lookup: Option<Lookup>,
        asks_about_forgeable: bool,
    ) -> Self {
        let mut listed = Self { predicates, lookup, asks_about_forgeable, ..Self::default() };
        for pattern in patterns {
            match pattern {
                Pattern::Exact(origin) => {
                    listed.exact.insert(origin);
                }
                Pattern::AnyPort(host) => {
                    listed.any_port.insert(host);
                }
                Pattern::Subdomains { of, https, port } => {
                    listed.subdomains.insert(&of, https, port);
                }
            }
        }
        listed
    }

    #[inline]
    fn judge(&self, sent: &HeaderValue) -> OriginCheck {
        if sent.len() > Origin::MAX_BYTES {
            return OriginCheck::Refused;
        }
        if self.exact.contains(sent) {
            // Of equal bytes those of the request: all threads count the references of the listed ones.
            return OriginCheck::Allowed(sent.clone());
        }
        if self.is_exact() { OriginCheck::Refused } else { self.judge_by_parts(sent) }
    }

    fn is_exact(&self) -> bool {
        self.any_port.is_empty()
            && self.subdomains.is_empty()
            && self.predicates.is_empty()
            && self.lookup.is_none()
    }

    /// `null`, and any other value that is not one origin, is refused before a predicate sees it.
    fn judge_by_parts(&self, sent: &HeaderValue) -> OriginCheck {
        let Some(origin) = Origin::from_header(sent) else { return OriginCheck::Refused };
        if self.any_port.contains(origin.without_port()) || self.subdomains.contain(&origin) {
            return OriginCheck::Allowed(sent.clone());
        }
        if origin.is_forgeable() && !self.asks_about_forgeable {
            return OriginCheck::Refused;
        }
        if self.predicates.iter().any(|predicate| predicate.allows(&origin)) {
            return OriginCheck::Allowed(sent.clone());
        }
        match self.lookup.as_ref().map(|lookup| lookup.remembered(&origin)) {
            Some(Some(true)) => OriginCheck::Allowed(sent.clone()),
            Some(None) => OriginCheck::Unknown,
            Some(Some(false)) | None => OriginCheck::Refused,
        }
    }
}

/// Returns the value of a field that must be unique. `None` if there are several, because it is ambiguous which one counts.
#[inline]
pub(crate) fn sole_value(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origins: &[&str]) -> HeaderMap {
        let value = |origin: &&str| (header::ORIGIN, origin.parse().unwrap());
        origins.iter().map(value).collect()
    }

    fn listed(patterns: &[&str]) -> Listed {
        let patterns = patterns.iter().map(|text| Pattern::read(text).unwrap().pattern);
        Listed::new(patterns, Vec::new(), None, true)
    }

    fn allowed(origins: &Allowlist, sent: &[&str]) -> bool {
        match origins.judge(&request(sent)) {
            OriginCheck::Allowed(answer) => {
                assert_eq!([answer.to_str().unwrap()], sent, "an origin is answered with itself");
                true
            }
            OriginCheck::NoOrigin | OriginCheck::Refused | OriginCheck::Unknown => false,
        }
    }

    #[test]
    fn listed_origin_is_echoed_and_others_are_rejected() {
        let origins = Allowlist::Listed(listed(&["https://foo.com", "https://bar.com"]));
        assert!(allowed(&origins, &["https://foo.com"]));
        assert!(allowed(&origins, &["https://bar.com"]));
        // A matcher that merged the suffixes of listed origins allowed this one (GHSA-vhxv-fg4m-p2w8).
        for refused in
            ["https://barfoo.com", "https://foo.com/", "https://FOO.com", "null", "*", ""]
        {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
    }

    #[test]
    fn concatenated_suffixes_of_listed_hosts_are_rejected() {
        // the same, for patterns
        let patterns = ["https://*.foo.com", "https://*.bar.com", "http://localhost:*"];
        let origins = Allowlist::Listed(listed(&patterns));
        for refused in [
            "https://barfoo.com",
            "https://a.barfoo.com",
            "https://bar.foo.com.bar.com.net",
            "http://localhostfoo.com",
            "http://localhost.foo.com",
        ] {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
        for listed in ["https://bar.foo.com", "https://foo.com.bar.com", "http://localhost:1"] {
            assert!(allowed(&origins, &[listed]), "{listed}");
        }
    }

    #[test]
    fn any_port_pattern_includes_the_default_port() {
        let origins = Allowlist::Listed(listed(&["http://localhost:*", "http://[::1]:*"]));
        for listed in ["http://localhost", "http://localhost:3000", "http://[::1]:65535"] {
            assert!(allowed(&origins, &[listed]), "{listed}");
        }
        for refused in [
            "https://localhost:3000",
            "http://localhost:80",
            "http://localhost:0",
            "http://localhost:03000",
            "http://localhost:65536",
            "http://localhost:",
            "http://localhost:*",
            "http://localhost:3000.evil.example",
            "http://localhost.evil.example:3000",
            "http://127.0.0.1:3000",
            "http://[::2]:3000",
        ] {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
    }

    #[test]
    fn origins_of_other_schemes_match_exactly() {
        let patterns =
            ["tauri://localhost", "app://Example.com", "http://localhost:*", "http://*.a.example"];
        let origins = Allowlist::Listed(listed(&patterns));
        assert!(allowed(&origins, &["tauri://localhost"]));
        assert!(allowed(&origins, &["app://Example.com"]));
        for refused in [
            "tauri://localhost:1",
            "tauri://localhost.",
            "tauri://localhos",
            "tauri://a.localhost",
            "Tauri://localhost",
            "tauri://LOCALHOST",
            "tauris://localhost",
            "app://example.com",
            "app://localhost:3000",
            "app://b.a.example",
            "tauri:localhost",
            "null",
        ] {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
    }

    #[test]
    fn predicate_receives_other_schemes_but_never_null() {
        for credentials in [false, true] {
            let predicate = Predicate::new(|origin| {
                assert!(origin.as_str() != "null");
                origin.scheme() == "moz-extension"
            });
            let listed = Listed::new([], vec![predicate], None, !credentials);
            let origins = Allowlist::Listed(listed);
            assert!(allowed(&origins, &["moz-extension://53b1d2e0-0f39-4f7c-8f4c-0c0a2f0b0f0a"]));
            for refused in ["null", "moz-extension://", "moz-extension://a/b", "https://a.example"]
            {
                assert!(!allowed(&origins, &[refused]), "{refused}");
            }
        }
    }

    #[test]
    fn two_origin_fields_are_rejected() {
        let origins = Allowlist::Listed(listed(&["https://foo.com", "https://*.foo.com"]));
        assert_eq!(origins.judge(&request(&[])), OriginCheck::NoOrigin);
        for sent in [
            &["https://foo.com", "https://foo.com"] as &[_],
            &["https://foo.com", "https://evil.example"],
            &["https://foo.com, https://foo.com"],
            &["https://a.foo.com https://a.foo.com"],
        ] {
            assert_eq!(origins.judge(&request(sent)), OriginCheck::Refused, "{sent:?}");
        }
    }

    #[test]
    fn any_origin_is_answered_with_a_star() {
        let star = OriginCheck::Allowed(HeaderValue::from_static("*"));
        assert_eq!(Allowlist::Any.judge(&request(&["https://foo.com"])), star);
        assert_eq!(Allowlist::Any.judge(&request(&[])), star);
        assert!(!Allowlist::Any.varies());
    }

    #[test]
    fn predicate_receives_unlisted_origins_only() {
        let predicate = Predicate::new(|origin| {
            assert_ne!(origin.as_str(), "https://listed.example", "it is not asked about those");
            origin.host() == "asked.example"
        });
        let exact = [Pattern::read("https://listed.example").unwrap().pattern];
        let listed = Listed::new(exact, vec![predicate], None, false);
        let origins = Allowlist::Listed(listed);
        assert!(allowed(&origins, &["https://listed.example"]));
        assert!(allowed(&origins, &["https://asked.example"]));
        assert!(allowed(&origins, &["https://asked.example:8443"]));
        for refused in
            ["https://other.example", "http://asked.example", "https://Asked.example", "null"]
        {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
    }
}
