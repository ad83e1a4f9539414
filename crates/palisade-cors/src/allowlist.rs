use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Which origins may read responses.
#[derive(Debug)]
pub(crate) enum Allowlist {
    /// Every origin, without credentials.
    Any,
    /// These, serialised as browsers send them. Origins are compared as bytes and by hash, so that an origin costs
    /// what its length costs, however many are listed, and nothing but a listed origin is ever equal to one.
    Listed(HashSet<HeaderValue>),
}

impl Allowlist {
    /// The `Access-Control-Allow-Origin` that the response to this request owes, if any.
    #[inline]
    pub(crate) fn answer_to(&self, request: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => origins.get(sole_value(request, header::ORIGIN)?).cloned(),
        }
    }

    /// True if the answer depends on the request's `Origin`, which caches must then know.
    #[inline]
    pub(crate) fn varies(&self) -> bool {
        matches!(self, Self::Listed(_))
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

    fn listed(origins: &[&'static str]) -> Allowlist {
        Allowlist::Listed(origins.iter().map(|origin| HeaderValue::from_static(origin)).collect())
    }

    #[test]
    fn a_listed_origin_is_answered_with_itself_and_no_other_is() {
        let origins = listed(&["https://foo.com", "https://bar.com"]);
        let answer = |sent: &[&str]| origins.answer_to(&request(sent));

        assert_eq!(answer(&["https://foo.com"]).unwrap(), "https://foo.com");
        assert_eq!(answer(&["https://bar.com"]).unwrap(), "https://bar.com");
        // GHSA-vhxv-fg4m-p2w8: a matcher that joined the listed origins from their ends let this one in
        for refused in
            ["https://barfoo.com", "https://foo.com/", "https://FOO.com", "null", "*", ""]
        {
            assert_eq!(answer(&[refused]), None, "{refused}");
        }
    }

    #[test]
    fn two_origin_fields_are_no_origin() {
        let origins = listed(&["https://foo.com"]);
        assert_eq!(origins.answer_to(&request(&[])), None);
        assert_eq!(origins.answer_to(&request(&["https://foo.com", "https://foo.com"])), None);
        assert_eq!(origins.answer_to(&request(&["https://foo.com", "https://evil.example"])), None);
        assert_eq!(origins.answer_to(&request(&["https://foo.com, https://foo.com"])), None);
    }

    #[test]
    fn any_origin_is_answered_with_a_star_and_never_with_itself() {
        assert_eq!(Allowlist::Any.answer_to(&request(&["https://foo.com"])).unwrap(), "*");
        assert_eq!(Allowlist::Any.answer_to(&request(&[])).unwrap(), "*");
        assert!(!Allowlist::Any.varies());
    }
}
