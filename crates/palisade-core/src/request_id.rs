use std::fmt;

use bytes::Bytes;
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
        if !is_harmless(id.as_bytes()) {
            return None;
        }
        HeaderValue::from_str(id).ok().map(Self)
    }

    /// Parses the id in a field. Shares its bytes.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use palisade_core::RequestId;
    ///
    /// let field = HeaderValue::from_static("req-42");
    /// assert_eq!(RequestId::from_field(&field).unwrap().as_str(), "req-42");
    /// ```
    pub fn from_field(field: &HeaderValue) -> Option<Self> {
        is_harmless(field.as_bytes()).then(|| Self(field.clone()))
    }

    /// Parses an id of shared bytes.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use palisade_core::RequestId;
    ///
    /// assert_eq!(RequestId::from_shared(Bytes::from_static(b"req-42")).unwrap().as_str(), "req-42");
    /// assert!(RequestId::from_shared(Bytes::from_static(b"two words")).is_none());
    /// ```
    pub fn from_shared(id: Bytes) -> Option<Self> {
        if !is_harmless(&id) {
            return None;
        }
        HeaderValue::from_maybe_shared(id).ok().map(Self)
    }

    /// Creates an id of bytes that the caller guarantees to be letters, digits, `-`, `_` and `.`, such as a new UUID.
    #[doc(hidden)]
    pub fn from_trusted(id: Bytes) -> Option<Self> {
        debug_assert!(is_harmless(&id), "{id:?}");
        HeaderValue::from_maybe_shared(id).ok().map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // `parse` accepts only ASCII.
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header value; cloning that copies no bytes.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }

    /// Returns the id as a header value.
    ///
    /// ```
    /// use palisade_core::RequestId;
    ///
    /// assert_eq!(RequestId::parse("req-42").unwrap().into_header_value(), "req-42");
    /// ```
    pub fn into_header_value(self) -> HeaderValue {
        self.0
    }
}

fn is_harmless(id: &[u8]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // All bytes are read, so that the compiler compares many at once.
    (1..=RequestId::MAX_LEN).contains(&id.len())
        && id.iter().fold(true, |all, byte| all & harmless(byte))
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
    fn rejects_ids_that_could_forge_a_log_line() {
        for bad in ["", "a b", "a\r\nb", "a\u{e9}", "{}", &"x".repeat(129)] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
            assert!(RequestId::from_shared(Bytes::from(bad.to_owned())).is_none(), "{bad:?}");
            if let Ok(field) = HeaderValue::from_bytes(bad.as_bytes()) {
                assert!(RequestId::from_field(&field).is_none(), "{bad:?}");
            }
        }
        assert!(RequestId::parse(&"x".repeat(128)).is_some());
    }
}
