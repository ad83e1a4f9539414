use http::{HeaderMap, header};

/// The content of the `Authorization` field for one scheme (RFC 9110, section 11.6.2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Authorization<'a> {
    /// The field is absent or has another scheme, whose credentials are not read.
    Absent,
    /// Several fields of any scheme. The field is not a list, so it is ambiguous which one counts.
    Two,
    /// The part after the scheme, which may be empty.
    Credentials(&'a [u8]),
}

impl<'a> Authorization<'a> {
    pub(crate) fn read(headers: &'a HeaderMap, scheme: &str) -> Self {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Self::Absent };
        if fields.next().is_some() {
            return Self::Two;
        }
        match field.as_bytes().split_at_checked(scheme.len()) {
            // Most clients write the scheme as it is registered, and equality takes a quarter of the time.
            Some((name, rest))
                if (name == scheme.as_bytes() || name.eq_ignore_ascii_case(scheme.as_bytes()))
                    && matches!(rest.first(), None | Some(b' ')) =>
            {
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                Self::Credentials(&rest[spaces..])
            }
            _ => Self::Absent,
        }
    }
}

/// `token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 9110, section 11.2): what bearer
/// tokens are made of, and what a cookie can hold without quoting.
pub(crate) fn token68(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let token = text.trim_end_matches('=');
    // Without a way out in the middle the compiler checks many bytes at once.
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+');
    let is_token = token.bytes().fold(true, |all, byte| all & fits(byte));
    (is_token && !token.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        let fields = values.iter().map(|value| {
            (header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        HeaderMap::from_iter(fields)
    }

    #[test]
    fn reads_credentials_of_its_own_scheme_only() {
        let some = |text: &'static str| Authorization::Credentials(text.as_bytes());
        #[rustfmt::skip]
        let table = [
            ("ApiKey a.b", some("a.b")),
            ("apikey a.b", some("a.b")),
            ("APIKEY   a b", some("a b")),
            ("ApiKey", some("")),
            ("ApiKey ", some("")),
            // Hono took the token of any scheme (CVE-2026-47673).
            ("Bearer a.b", Authorization::Absent),
            ("ApiKeys a.b", Authorization::Absent),
            ("ApiKey\ta.b", Authorization::Absent),
            ("ApiKe", Authorization::Absent),
            ("a.b", Authorization::Absent),
            ("", Authorization::Absent),
        ];
        for (field, expected) in table {
            assert_eq!(Authorization::read(&fields(&[field]), "ApiKey"), expected, "{field:?}");
        }
        assert_eq!(Authorization::read(&HeaderMap::new(), "ApiKey"), Authorization::Absent);
    }

    #[test]
    fn two_equal_authorization_fields_are_ambiguous() {
        for values in [["ApiKey a", "ApiKey a"], ["ApiKey a", "Basic b"], ["Basic b", "Basic c"]] {
            assert_eq!(Authorization::read(&fields(&values), "ApiKey"), Authorization::Two);
        }
    }

    #[test]
    fn token68_accepts_its_alphabet_only() {
        for good in ["a", "a-._~+/9==", "0"] {
            assert_eq!(token68(good.as_bytes()), Some(good));
        }
        for bad in ["", "=", "a b", "a,b", "a=b", "\"a\"", "a%20", "\u{e9}"] {
            assert_eq!(token68(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(token68(&[b'a', 0xff]), None);
    }
}
