use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use palisade_core::ConfigError;
use sha2::{Digest, Sha256};

/// An entity tag: the version of a representation
/// ([RFC 9110, section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
///
/// A strong tag changes with each byte. A weak one (`W/"…"`) changes with the meaning, and is not accepted where bytes matter:
/// by `If-Match` and by ranges.
///
/// ```
/// use palisade_cache::EntityTag;
///
/// let tag = EntityTag::strong("rev-7")?;
/// assert_eq!(tag.to_string(), r#""rev-7""#);
/// assert!(tag.matches_strongly(&tag));
///
/// let weak = EntityTag::weak("rev-7")?;
/// assert_eq!(weak.to_string(), r#"W/"rev-7""#);
/// assert!(tag.matches_weakly(&weak) && !tag.matches_strongly(&weak));
///
/// assert_eq!(EntityTag::of_bytes(b"hello"), EntityTag::of_bytes(b"hello"));
/// assert!(EntityTag::strong("a \" quote").is_err());
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag {
    /// As it is on the wire.
    value: HeaderValue,
}

/// The bytes of a hash that are part of a tag: 128 bits, so that no client can find two contents with one tag.
const HASH_BYTES: usize = 16;

impl EntityTag {
    /// Returns the strong tag with this text, such as a revision or a hash.
    ///
    /// # Errors
    ///
    /// If the text contains quotes, spaces, or characters outside of printable ASCII.
    pub fn strong(text: &str) -> Result<Self, ConfigError> {
        Self::written(text, format!("\"{text}\""))
    }

    /// Returns the weak tag with this text.
    ///
    /// # Errors
    ///
    /// Those of [`strong`](Self::strong).
    pub fn weak(text: &str) -> Result<Self, ConfigError> {
        Self::written(text, format!("W/\"{text}\""))
    }

    fn written(text: &str, value: String) -> Result<Self, ConfigError> {
        let remedy = "use printable ASCII without spaces and quotes";
        let invalid = || ConfigError::new("entity tag", text.to_owned(), remedy);
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Err(invalid());
        }
        HeaderValue::try_from(value).map(|value| Self { value }).map_err(|_| invalid())
    }

    /// Returns the strong tag of these bytes: 128 bits of their SHA-256. It is the same on each machine.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(bytes, "\"")
    }

    /// Returns the weak tag of these bytes, for contents that a proxy may compress on its way.
    pub fn weak_of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(bytes, "W/\"")
    }

    fn of_hash(bytes: &[u8], quote: &str) -> Self {
        let hash = Sha256::digest(bytes);
        let mut text = String::with_capacity(quote.len() + 23);
        text.push_str(quote);
        URL_SAFE_NO_PAD.encode_string(&hash[..HASH_BYTES], &mut text);
        text.push('"');
        let value = HeaderValue::try_from(text).expect("base64 is a valid header value");
        Self { value }
    }

    /// Returns the tag in a field value, or `None` if the value is not an entity tag.
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        let (tag, rest) = split_first(value.as_bytes())?;
        rest.is_empty().then_some(())?;
        HeaderValue::from_bytes(tag).ok().map(|value| Self { value })
    }

    /// Returns the field value.
    pub fn to_header(&self) -> HeaderValue {
        self.value.clone()
    }

    /// Returns true if the tag is weak.
    pub fn is_weak(&self) -> bool {
        self.value.as_bytes().starts_with(b"W/")
    }

    /// Compares by RFC 9110, section 8.8.3.2: both tags are strong and the same.
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.is_weak() && self.value == other.value
    }

    /// Compares by RFC 9110, section 8.8.3.2: the tags are the same, apart from weakness.
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque() == other.opaque()
    }

    fn opaque(&self) -> &[u8] {
        let value = self.value.as_bytes();
        value.strip_prefix(b"W/").unwrap_or(value)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.value.as_bytes()))
    }
}

/// Splits a list of tags into the first tag and the text after it.
pub(super) fn split_first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let opaque = text.strip_prefix(b"W/").unwrap_or(text).strip_prefix(b"\"")?;
    let length = opaque.iter().position(|byte| *byte == b'"')?;
    let is_etagc = |byte: &u8| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80;
    if !opaque[..length].iter().all(is_etagc) {
        return None;
    }
    Some(text.split_at(text.len() - opaque.len() + length + 1))
}
