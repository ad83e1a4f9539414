use http::{HeaderMap, header};

/// What the `Authorization` field holds (RFC 9110, section 11.6.2; RFC 6750, section 2.1).
#[derive(Debug, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum Bearer<'a> {
    /// No field, or one of another scheme, which is never looked at as a token.
    Absent,
    /// Two fields or more: not even the first one wins.
    TwoTokens,
    /// The scheme is right and what follows is no token.
    Malformed,
    Token(&'a str),
}

#[allow(dead_code)]
impl<'a> Bearer<'a> {
    /// Reads the field, and checks the form of the token.
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        match Raw::read(headers) {
            Raw::Absent => Self::Absent,
            Raw::TwoTokens => Self::TwoTokens,
            Raw::Token(bytes) => match std::str::from_utf8(bytes) {
                Ok(token) if is_b64token(token) => Self::Token(token),
                _ => Self::Malformed,
            },
        }
    }
}

/// What the field holds, with a token whose form is still to be checked: one that is compared with tokens that were
/// good before needs no other check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    Absent,
    TwoTokens,
    Token(&'a [u8]),
}

impl<'a> Raw<'a> {
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Self::Absent };
        if fields.next().is_some() {
            return Self::TwoTokens;
        }
        match field.as_bytes().split_at_checked("Bearer".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"Bearer") => match rest {
                [] => Self::Token(rest),
                [b' ', ..] => Self::Token(rest.trim_ascii_start()),
                _ => Self::Absent,
            },
            _ => Self::Absent,
        }
    }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
#[allow(dead_code)]
pub(crate) fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    // Without a way out in the middle the compiler checks many bytes at once.
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+');
    !token.is_empty() && token.bytes().fold(true, |all, byte| all & fits(byte))
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
    fn only_the_bearer_scheme_holds_a_token() {
        #[rustfmt::skip]
        let table = [
            ("Bearer a.b.c", Bearer::Token("a.b.c")),
            ("bearer a.b.c", Bearer::Token("a.b.c")),
            ("BEARER  a-._~+/9==", Bearer::Token("a-._~+/9==")),
            // Hono took the token of any scheme (CVE-2026-47673).
            ("Basic a.b.c", Bearer::Absent),
            ("Foo a.b.c", Bearer::Absent),
            ("a.b.c", Bearer::Absent),
            ("Bearera.b.c", Bearer::Absent),
            ("BearerToken a", Bearer::Absent),
            ("", Bearer::Absent),
            ("Bearer", Bearer::Malformed),
            ("Bearer ", Bearer::Malformed),
            ("Bearer =", Bearer::Malformed),
            ("Bearer a b", Bearer::Malformed),
            ("Bearer a,b", Bearer::Malformed),
            ("Bearer a=b", Bearer::Malformed),
            ("Bearer \u{e9}", Bearer::Malformed),
        ];
        for (field, expected) in table {
            assert_eq!(Bearer::read(&fields(&[field])), expected, "{field:?}");
        }
        assert_eq!(Bearer::read(&HeaderMap::new()), Bearer::Absent);
    }

    #[test]
    fn two_fields_are_two_tokens_even_if_they_are_equal() {
        assert_eq!(Bearer::read(&fields(&["Bearer a", "Bearer a"])), Bearer::TwoTokens);
        assert_eq!(Bearer::read(&fields(&["Bearer a", "Basic b"])), Bearer::TwoTokens);
    }
}
