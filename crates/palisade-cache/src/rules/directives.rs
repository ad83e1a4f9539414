use http::{HeaderMap, HeaderName, header};

/// The directives of `Cache-Control` ([RFC 9111, section 5.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2)), in a
/// request or in a response. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    /// `no-cache` without a list of fields.
    pub(crate) no_cache: bool,
    /// `no-cache="a, b"` (section 5.2.2.4).
    pub(crate) no_cache_fields: Vec<HeaderName>,
    /// With or without a list of fields: a list does not tell which part of the content is private, so the whole response is.
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    /// Without a value, any staleness is accepted.
    pub(crate) max_stale: Option<u64>,
}

/// RFC 9111, section 1.2.2: greater numbers of seconds count as this one.
const LONGEST: u64 = 1 << 31;

impl Directives {
    /// Reads all lines of `Cache-Control`.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            for element in Elements(line.as_bytes()) {
                let (name, value) = named(element);
                directives.add(name, value);
            }
        }
        directives
    }

    /// Returns true if a response says what shared caches may do, in words that only concern them.
    pub(crate) fn is_for_shared_caches(&self) -> bool {
        self.public || self.s_maxage.is_some()
    }

    /// Returns true if a stored response must never be served stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }

    /// Adds a directive. Names ignore case; unknown directives are ignored (section 5.2.3).
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            self.max_age = Some(shortest(self.max_age, value));
        } else if is("s-maxage") {
            self.s_maxage = Some(shortest(self.s_maxage, value));
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = Some(shortest(self.stale_while_revalidate, value));
        } else if is("stale-if-error") {
            self.stale_if_error = Some(shortest(self.stale_if_error, value));
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            match value.and_then(field_names) {
                Some(fields) => self.no_cache_fields.extend(fields),
                None => self.no_cache = true,
            }
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("min-fresh") {
            self.min_fresh = value.and_then(seconds);
        } else if is("max-stale") {
            self.max_stale = value.map_or(Some(LONGEST), seconds);
        }
    }
}

/// Section 4.2.1: the most restrictive of several values holds, and a value that is not a number counts as 0, so that the
/// response is stale.
fn shortest(before: Option<u64>, value: Option<&[u8]>) -> u64 {
    let value = value.and_then(seconds).unwrap_or(0);
    before.map_or(value, |before| before.min(value))
}

/// Section 1.2.2: digits. Numbers that are too great for 32 bits are as great as possible.
pub(super) fn seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    Some(number.min(LONGEST))
}

/// The names of fields in the value of `no-cache`. `None` if one of them is not a name: the directive then applies to the
/// whole response.
fn field_names(value: &[u8]) -> Option<Vec<HeaderName>> {
    let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names = names.filter(|name| !name.is_empty());
    let names: Option<Vec<HeaderName>> =
        names.map(|name| HeaderName::from_bytes(name).ok()).collect();
    names.filter(|names| !names.is_empty())
}

/// Splits an element into its name and its value, without the quotes of a quoted value.
fn named(element: &[u8]) -> (&[u8], Option<&[u8]>) {
    match element.iter().position(|byte| *byte == b'=') {
        None => (element, None),
        Some(at) => {
            let value = &element[at + 1..];
            let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            (&element[..at], Some(unquoted.unwrap_or(value)))
        }
    }
}

/// The elements of a list, separated by commas outside of quotes.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let (mut quoted, mut escaped) = (false, false);
            let end = self.0.iter().position(|byte| {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b',' if !quoted => return true,
                    _ => {}
                }
                false
            });
            let (element, rest) = match end {
                Some(end) => (&self.0[..end], &self.0[end + 1..]),
                None => (self.0, &self.0[self.0.len()..]),
            };
            self.0 = rest;
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}
