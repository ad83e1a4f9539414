use foldhash::{HashMap, HashSet};
use palisade_core::Origin;

use crate::pattern::{Port, is_of_the_web};

/// The hosts whose subdomains are allowed.
///
/// A tree of labels, from the last to the first, so that the time of a lookup depends on the length of the origin only, and
/// each label is compared as a whole.
#[derive(Debug, Default)]
pub(crate) struct Subdomains {
    root: Label,
}

#[derive(Debug, Default)]
struct Label {
    below: HashMap<Box<str>, Label>,
    /// The allowed schemes and ports of subdomains. True is https.
    admits: HashSet<(bool, Port)>,
}

impl Subdomains {
    pub(crate) fn insert(&mut self, host: &str, https: bool, port: Port) {
        let mut label = &mut self.root;
        for name in host.rsplit('.') {
            label = label.below.entry(name.into()).or_default();
        }
        label.admits.insert((https, port));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.below.is_empty()
    }

    /// The host is one or more labels longer than a listed one.
    pub(crate) fn contain(&self, origin: &Origin<'_>) -> bool {
        if !is_of_the_web(origin) {
            return false;
        }
        let mut label = &self.root;
        for name in origin.host().rsplit('.') {
            // There is one more label in front of this one, or we were not here.
            if label.admit(origin) {
                return true;
            }
            let Some(below) = label.below.get(name) else { return false };
            label = below;
        }
        false
    }
}

impl Label {
    fn admit(&self, origin: &Origin<'_>) -> bool {
        let admits = |port| self.admits.contains(&(origin.is_https(), port));
        !self.admits.is_empty() && (admits(Port::Is(origin.port())) || admits(Port::Any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_hosts_below_a_listed_host_only() {
        let mut subdomains = Subdomains::default();
        subdomains.insert("example.com", true, Port::Is(None));
        subdomains.insert("any.example.net", true, Port::Any);
        subdomains.insert("localhost", false, Port::Is(Some(3000)));
        #[rustfmt::skip]
        let table = [
            ("https://a.example.com", true),
            ("https://b.a.example.com", true),
            ("https://com.example.com", true),
            ("https://example.com.example.com", true),
            ("https://example.com", false),
            ("https://evilexample.com", false),
            ("https://a.evilexample.com", false),
            ("https://example.com.evil.net", false),
            ("https://a.example.com.evil.net", false),
            ("https://a.example.co", false),
            ("https://a.example.comm", false),
            ("https://com", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("https://a.any.example.net", true),
            ("https://a.any.example.net:8443", true),
            ("http://a.any.example.net:8443", false),
            ("https://any.example.net:8443", false),
            ("https://a.example.net", false),
            ("http://app.localhost:3000", true),
            ("http://app.localhost", false),
            ("http://localhost:3000", false),
            ("app://app.localhost:3000", false),
            ("app://a.any.example.net", false),
            ("https://[2001:db8::1]", false),
            ("https://192.0.2.1", false),
        ];
        for (origin, expected) in table {
            let contained = subdomains.contain(&Origin::parse(origin).unwrap());
            assert_eq!(contained, expected, "{origin}");
        }
    }
}
