//! Characters and encodings that more than one crate reads or writes. For the crates of Palisade only.

use std::fmt::{self, Write};

/// Returns true for a byte of a `token` (RFC 9110, section 5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns true for a `token` (RFC 9110, section 5.6.2): at least one byte, without spaces and separators.
pub fn is_token(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Returns true for an unreserved character of a URL, which regular clients do not encode (RFC 3986, section 2.3).
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A byte of percent-encoded text (RFC 3986, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PercentByte {
    Plain(u8),
    Encoded(u8),
    /// A `%` without two hexadecimal digits after it.
    Invalid,
}

/// Decodes percent-encoded text, byte by byte: callers differ in what they do with an invalid `%`.
pub fn percent_decode(text: &[u8]) -> impl Iterator<Item = PercentByte> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (PercentByte::Encoded(high << 4 | low), after),
                _ => (PercentByte::Invalid, &rest[1..]),
            },
            [b'%', after @ ..] => (PercentByte::Invalid, after),
            [byte, after @ ..] => (PercentByte::Plain(*byte), after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

/// A segment of a route in axum's syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteSegment<'r> {
    /// Empty for the slash at the end of a route.
    Literal(&'r str),
    /// `{name}`.
    Parameter(&'r str),
    /// `{*name}`, the last one.
    Rest(&'r str),
}

/// Returns the segments of a route such as `/orders/{id}` or `/files/{*rest}`.
///
/// # Errors
///
/// The remedy, if the route is not valid or no path of a request could match it.
pub fn parse_route(route: &str) -> Result<Vec<RouteSegment<'_>>, &'static str> {
    let mut segments = route.strip_prefix('/').ok_or("begin with a slash")?.split('/').peekable();
    let mut parsed = Vec::new();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let parameter = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        parsed.push(match parameter.map(|name| (name.strip_prefix('*'), name)) {
            Some((Some(_), _)) if !is_last => return Err("nothing can follow a `{*…}`"),
            Some((rest, name)) => match rest.unwrap_or(name) {
                name if name.is_empty() || name.contains(['{', '}', '*']) => {
                    return Err("write a parameter as `{name}`, or `{*name}` at the end");
                }
                name if rest.is_some() => RouteSegment::Rest(name),
                name => RouteSegment::Parameter(name),
            },
            None if segment.contains(['{', '}', '?', '#', '%']) => {
                return Err(
                    "a parameter is a whole segment, and a path has no query and no percent-encoding",
                );
            }
            // A slash at the end is a path of its own.
            None if segment.is_empty() && !is_last => return Err("leave out the empty segment"),
            None if matches!(segment, "." | "..") => return Err("leave out the dots"),
            None => RouteSegment::Literal(segment),
        });
    }
    Ok(parsed)
}

/// Encodes all bytes of `text` for which `is_plain` is false as `%` and two upper-case digits.
pub fn percent_encode(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        // A byte outside of ASCII is a part of a character.
        if byte.is_ascii() && is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Decodes hexadecimal digits of either case. Returns `None` unless they fill `bytes` exactly.
pub fn decode_hex(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(())
}

/// Decodes lower-case hexadecimal digits only, for values that must have one spelling.
pub fn decode_lower_hex(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    decode_hex(digits, bytes).filter(|()| !digits.iter().any(u8::is_ascii_uppercase))
}

/// Bytes as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct LowerHex<'a>(pub &'a [u8]);

impl LowerHex<'_> {
    /// Writes the digits into `digits`, which has two bytes for each byte.
    pub fn encode_into(self, digits: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (byte, [high, low]) in self.0.iter().zip(digits.as_chunks_mut::<2>().0) {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 15)];
        }
    }
}

impl fmt::Display for LowerHex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 32 bytes are a SHA-256 hash, the longest value that is written on the path of a request.
        for bytes in self.0.chunks(32) {
            let mut digits = [0; 64];
            Self(bytes).encode_into(&mut digits);
            f.write_str(std::str::from_utf8(&digits[..2 * bytes.len()]).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Text in an HTML page: between tags, or in an attribute between quotes.
#[derive(Clone, Copy, Debug)]
pub struct HtmlText<'a>(pub &'a str);

impl fmt::Display for HtmlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;"),
                '<' => f.write_str("&lt;"),
                '>' => f.write_str("&gt;"),
                '"' => f.write_str("&quot;"),
                '\'' => f.write_str("&#39;"),
                other => f.write_char(other),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_has_no_separators() {
        assert!(is_token("x-Request_Id.1~"));
        for wrong in ["", "a b", "a\"", "a/b", "a:b", "(a)", "a,b", "a;b", "é", "a\0", "a\u{7f}"] {
            assert!(!is_token(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn percent_decode_reports_each_invalid_percent_sign() {
        use PercentByte::{Encoded, Invalid, Plain};
        let decoded = |text: &str| percent_decode(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(decoded("a%2fb"), [Plain(b'a'), Encoded(b'/'), Plain(b'b')]);
        assert_eq!(decoded("%2F%00"), [Encoded(b'/'), Encoded(0)]);
        assert_eq!(decoded("%%41"), [Invalid, Encoded(b'A')]);
        assert_eq!(decoded("%zz"), [Invalid, Plain(b'z'), Plain(b'z')]);
        assert_eq!(decoded("%+1"), [Invalid, Plain(b'+'), Plain(b'1')]);
        assert_eq!(decoded("%4"), [Invalid, Plain(b'4')]);
        assert_eq!(decoded("%"), [Invalid]);
    }

    #[test]
    fn decode_hex_fills_the_bytes_exactly() {
        let read = |text: &str| {
            let mut bytes = [0; 3];
            decode_hex(text.as_bytes(), &mut bytes).map(|()| bytes)
        };
        assert_eq!(read("00ff1A"), Some([0, 255, 26]));
        for wrong in ["", "0", "00ff1", "00ff1a00", "00ff1g", "00ff+1", "0x00ff", " 0ff1a"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let mut byte = [0];
        assert_eq!(decode_lower_hex(b"fF", &mut byte), None);
        assert_eq!(decode_lower_hex(b"ff", &mut byte), Some(()));
    }

    #[test]
    fn html_text_contains_no_markup() {
        assert_eq!(
            HtmlText("<script>alert('x')</script>\" onload=\"&").to_string(),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;&amp;"
        );
    }

    proptest! {
        #[test]
        fn hex_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut read = vec![0; bytes.len()];
            decode_lower_hex(LowerHex(&bytes).to_string().as_bytes(), &mut read).unwrap();
            prop_assert_eq!(read, bytes);
        }

        #[test]
        fn percent_encoding_round_trips(text in any::<String>()) {
            let encoded = percent_encode(&text, is_unreserved);
            let decoded: Vec<u8> = percent_decode(encoded.as_bytes())
                .map(|byte| match byte {
                    PercentByte::Plain(byte) => { assert!(is_unreserved(byte)); byte }
                    PercentByte::Encoded(byte) => byte,
                    PercentByte::Invalid => panic!("an invalid `%`"),
                })
                .collect();
            prop_assert_eq!(decoded, text.as_bytes());
        }
    }
}
