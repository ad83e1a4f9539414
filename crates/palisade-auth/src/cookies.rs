use http::HeaderMap;
use palisade_core::cookies;

/// The cookies with one name in the `Cookie` fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CookieNamed<'a> {
    Absent,
    /// Two cookies of this name or more, even if they are equal: another path or a parent domain set one of them, and
    /// the order does not say who (RFC 6265, section 4.2.2).
    Two,
    Value(&'a [u8]),
}

impl<'a> CookieNamed<'a> {
    pub(crate) fn read(headers: &'a HeaderMap, name: &str) -> Self {
        let mut values = cookies(headers).filter(|(other, _)| *other == name.as_bytes());
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some((_, value)), None) => Self::Value(value),
            (Some(_), Some(_)) => Self::Two,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn fields(values: &[&[u8]]) -> HeaderMap {
        let fields =
            values.iter().map(|value| (header::COOKIE, HeaderValue::from_bytes(value).unwrap()));
        HeaderMap::from_iter(fields)
    }

    #[test]
    fn finds_cookie_by_exact_name_only() {
        let value = |text: &'static str| CookieNamed::Value(text.as_bytes());
        #[rustfmt::skip]
        let table: &[(&[u8], CookieNamed<'_>)] = &[
            (b"sid=abc", value("abc")),
            (b"a=1; sid=abc; b=2", value("abc")),
            (b"a=1;sid=abc", value("abc")),
            (b"sid=", value("")),
            (b"sid=a=b==", value("a=b==")),
            (b"sid=\"abc\"", value("\"abc\"")),
            (b"\xe9=\xff; sid=abc", value("abc")),
            (b";;; =; sid=abc;", value("abc")),
            // a quote does not reach over the next cookie
            (b"a=\"1; sid=abc; b=2\"", value("abc")),
            (b"", CookieNamed::Absent),
            (b"sid", CookieNamed::Absent),
            (b"SID=abc", CookieNamed::Absent),
            (b"sid =abc", CookieNamed::Absent),
            (b"xsid=abc; sidx=abc; a=sid=abc", CookieNamed::Absent),
            (b"=sid=abc", CookieNamed::Absent),
            (b"\xe2\x80\x80sid=abc", CookieNamed::Absent),
            (b"\xa0sid=abc", CookieNamed::Absent),
            (b"$Version=1, sid=abc", CookieNamed::Absent),
        ];
        for (field, expected) in table {
            let text = String::from_utf8_lossy(field);
            assert_eq!(CookieNamed::read(&fields(&[field]), "sid"), *expected, "{text:?}");
        }
        assert_eq!(CookieNamed::read(&HeaderMap::new(), "sid"), CookieNamed::Absent);
    }

    #[test]
    fn two_cookies_with_one_name_are_ambiguous() {
        for values in [&[&b"sid=a; sid=b"[..]][..], &[b"sid=a; sid=a"], &[b"sid=a", b"b=1; sid=b"]]
        {
            assert_eq!(CookieNamed::read(&fields(values), "sid"), CookieNamed::Two);
        }
        let crumbs = fields(&[b"a=1", b"sid=abc", b"b=2"]);
        assert_eq!(CookieNamed::read(&crumbs, "sid"), CookieNamed::Value(b"abc"));
    }
}
