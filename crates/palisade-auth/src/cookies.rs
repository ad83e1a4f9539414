use http::{HeaderMap, header};

/// What the `Cookie` fields hold under one name.
///
/// These few lines and not the `cookie` crate, for three reasons. Its parser takes a string, and one cookie with a
/// byte beyond ASCII, from a script of somebody else on the page, would hide ours. It trims more than RFC 6265 has, so a
/// name that no browser protects becomes one that it does: whoever may set `"\u{2000}__Host-session"` must not set
/// `__Host-session`. And it does not say that a name came twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CookieNamed<'a> {
    Absent,
    /// Two cookies of this name or more, even if they are equal: another path or a parent domain set one of them, and
    /// the order does not say who (RFC 6265, section 4.2.2).
    Two,
    Value(&'a [u8]),
}

impl<'a> CookieNamed<'a> {
    /// Looks through all fields: HTTP/2 may split one into several (RFC 9113, section 8.2.3).
    ///
    /// `cookie-string = cookie-pair *( ";" SP cookie-pair )` (RFC 6265, section 4.2.1). A pair that is none is not ours
    /// and is passed over. There are no quoted strings: a `;` ends a cookie wherever it stands, and a `"` is part of
    /// the value, so no cookie can swallow the next one.
    pub(crate) fn read(headers: &'a HeaderMap, name: &str) -> Self {
        let fields = headers.get_all(header::COOKIE).iter();
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| value_of(pair, name.as_bytes()));
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Value(value),
            (Some(_), Some(_)) => Self::Two,
        }
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    pair[blanks..].strip_prefix(name)?.strip_prefix(b"=")
}

/// A cookie can have this name: `token` (RFC 6265, section 4.1.1; RFC 9110, section 5.6.2).
pub(crate) fn is_cookie_name(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(values: &[&[u8]]) -> HeaderMap {
        let fields =
            values.iter().map(|value| (header::COOKIE, HeaderValue::from_bytes(value).unwrap()));
        HeaderMap::from_iter(fields)
    }

    #[test]
    fn a_cookie_is_found_by_its_exact_name_and_nothing_else() {
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
    fn two_of_a_name_are_ambiguous_in_one_field_and_in_two() {
        for values in [&[&b"sid=a; sid=b"[..]][..], &[b"sid=a; sid=a"], &[b"sid=a", b"b=1; sid=b"]]
        {
            assert_eq!(CookieNamed::read(&fields(values), "sid"), CookieNamed::Two);
        }
        let crumbs = fields(&[b"a=1", b"sid=abc", b"b=2"]);
        assert_eq!(CookieNamed::read(&crumbs, "sid"), CookieNamed::Value(b"abc"));
    }

    #[test]
    fn a_name_is_a_token() {
        for name in ["sid", "__Host-session", "a.b", "$x"] {
            assert!(is_cookie_name(name), "{name}");
        }
        for name in ["", "a b", "a=b", "a;b", "a\"", "a,b", "caf\u{e9}", "a\n", "a/b"] {
            assert!(!is_cookie_name(name), "{name:?}");
        }
    }
}
