use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use palisade_core::Origin;

use crate::{lookup::Lookup, pattern::Pattern, predicate::Predicate, subdomains::Subdomains};

/// Which origins may read responses.
#[derive(Debug)]
pub(crate) enum Allowlist {
    /// Every origin, without credentials.
    Any,
    /// No origin but the service's own, which browsers do not ask about.
    Nobody,
    /// This one, which everybody is told.
    Only(HeaderValue),
    /// These. The answer depends on who asks.
    Listed(Listed),
}

/// Listed origins, the predicates and the lookup.
///
/// Each step costs what the length of an origin costs, however many are listed, and nothing but a listed origin is
/// ever equal to one: exact origins are compared as bytes and by hash, hosts label by label.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    exact: HashSet<HeaderValue>,
    any_port: HashSet<Box<str>>,
    subdomains: Subdomains,
    predicates: Vec<Predicate>,
    lookup: Option<Lookup>,
    /// Predicates and the lookup are not asked about an origin that anybody on the network can forge.
    asks_about_forgeable: bool,
}

/// What an allowlist says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no origin, and so nobody to refuse.
    NoOrigin,
    /// The `Access-Control-Allow-Origin` that the response owes.
    Allowed(HeaderValue),
    Refused,
    /// The lookup has to be asked.
    Unknown,
}

impl Allowlist {
    #[inline]
    pub(crate) fn judge(&self, request: &HeaderMap) -> Verdict {
        match self {
            Self::Any => Verdict::Allowed(HeaderValue::from_static("*")),
            Self::Only(origin) => Verdict::Allowed(origin.clone()),
            Self::Nobody if request.contains_key(header::ORIGIN) => Verdict::Refused,
            Self::Nobody => Verdict::NoOrigin,
            Self::Listed(listed) => {
                let mut origins = request.get_all(header::ORIGIN).into_iter();
                match (origins.next(), origins.next()) {
                    (None, _) => Verdict::NoOrigin,
                    (Some(origin), None) => listed.judge(origin),
                    (Some(_), Some(_)) => Verdict::Refused,
                }
            }
        }
    }

    /// True if the answer depends on the request's `Origin`, which caches must then know.
    #[inline]
    pub(crate) fn varies(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// Returns the lookup, which is asked about an unknown origin.
    pub(crate) fn lookup(&self) -> Option<&Lookup> {
        match self {
            Self::Listed(listed) => listed.lookup.as_ref(),
            Self::Any | Self::Nobody | Self::Only(_) => None,
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
    fn judge(&self, sent: &HeaderValue) -> Verdict {
        if sent.len() > Origin::MAX_BYTES {
            return Verdict::Refused;
        }
        if let Some(origin) = self.exact.get(sent) {
            return Verdict::Allowed(origin.clone());
        }
        if self.is_exact() { Verdict::Refused } else { self.judge_by_parts(sent) }
    }

    fn is_exact(&self) -> bool {
        self.any_port.is_empty()
            && self.subdomains.is_empty()
            && self.predicates.is_empty()
            && self.lookup.is_none()
    }

    /// `null`, and any other value that is not one origin, is refused before a predicate sees it.
    fn judge_by_parts(&self, sent: &HeaderValue) -> Verdict {
        let Some(origin) = Origin::from_header(sent) else { return Verdict::Refused };
        if self.any_port.contains(origin.without_port()) || self.subdomains.contain(&origin) {
            return Verdict::Allowed(sent.clone());
        }
        if origin.is_forgeable() && !self.asks_about_forgeable {
            return Verdict::Refused;
        }
        if self.predicates.iter().any(|predicate| predicate.allows(&origin)) {
            return Verdict::Allowed(sent.clone());
        }
        match self.lookup.as_ref().map(|lookup| lookup.remembered(&origin)) {
            Some(Some(true)) => Verdict::Allowed(sent.clone()),
            Some(None) => Verdict::Unknown,
            Some(Some(false)) | None => Verdict::Refused,
        }
    }
}

/// The value of a field that may come once only. A second one means that somebody on the way disagrees about which
/// counts, and then neither does.
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
            Verdict::Allowed(answer) => {
                assert_eq!([answer.to_str().unwrap()], sent, "an origin is answered with itself");
                true
            }
            Verdict::NoOrigin | Verdict::Refused | Verdict::Unknown => false,
        }
    }

    #[test]
    fn a_listed_origin_is_answered_with_itself_and_no_other_is() {
        let origins = Allowlist::Listed(listed(&["https://foo.com", "https://bar.com"]));
        assert!(allowed(&origins, &["https://foo.com"]));
        assert!(allowed(&origins, &["https://bar.com"]));
        // GHSA-vhxv-fg4m-p2w8: a matcher that joined the listed origins from their ends let this one in
        for refused in
            ["https://barfoo.com", "https://foo.com/", "https://FOO.com", "null", "*", ""]
        {
            assert!(!allowed(&origins, &[refused]), "{refused}");
        }
    }

    #[test]
    fn the_joined_ends_of_listed_hosts_are_not_listed() {
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
    fn every_port_of_a_host_is_its_default_port_too_and_no_other_host() {
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
    fn origins_of_other_schemes_are_listed_exactly() {
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
    fn a_predicate_sees_origins_of_other_schemes_and_never_null() {
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
    fn two_origin_fields_are_no_origin() {
        let origins = Allowlist::Listed(listed(&["https://foo.com", "https://*.foo.com"]));
        assert_eq!(origins.judge(&request(&[])), Verdict::NoOrigin);
        for sent in [
            &["https://foo.com", "https://foo.com"] as &[_],
            &["https://foo.com", "https://evil.example"],
            &["https://foo.com, https://foo.com"],
            &["https://a.foo.com https://a.foo.com"],
        ] {
            assert_eq!(origins.judge(&request(sent)), Verdict::Refused, "{sent:?}");
        }
    }

    #[test]
    fn any_origin_is_answered_with_a_star_and_never_with_itself() {
        let star = Verdict::Allowed(HeaderValue::from_static("*"));
        assert_eq!(Allowlist::Any.judge(&request(&["https://foo.com"])), star);
        assert_eq!(Allowlist::Any.judge(&request(&[])), star);
        assert!(!Allowlist::Any.varies());
    }

    #[test]
    fn a_predicate_sees_origins_only() {
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
