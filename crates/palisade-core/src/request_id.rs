use std::fmt;

use http::HeaderValue;

/// The name of one request, in its response, in its errors and in the log.
///
/// The policy that gives it out leaves it in the request's extensions.
///
/// ```
/// use palisade_core::RequestId;
///
/// assert_eq!(RequestId::parse("req-42").unwrap().as_str(), "req-42");
/// assert!(RequestId::parse("two words").is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The longest id that is taken over from outside, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes an id over if it is harmless wherever it will be written: 1 to 128 letters, digits, `-`, `_` and `.`.
    pub fn parse(id: &str) -> Option<Self> {
        let harmless =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=Self::MAX_LEN).contains(&id.len()) && id.bytes().all(harmless);
        fits.then(|| HeaderValue::from_str(id).ok()).flatten().map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Nothing but ASCII gets past `parse`.
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header value; cloning that copies no bytes.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_or_a_header_is_not_taken_over() {
        for bad in ["", "a b", "a\r\nb", "a\u{e9}", "{}", &"x".repeat(129)] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
        }
        assert!(RequestId::parse(&"x".repeat(128)).is_some());
    }
}
