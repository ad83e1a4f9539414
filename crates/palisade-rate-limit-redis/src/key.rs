//! The names of the keys.

use palisade_redis::key_part;

/// Names keys `prefix:limit:{digest}`, such as `palisade:api:{00112233445566778899aabbccddeeff}`.
///
/// The braces are a hash tag: the counts of a client and the marks of its refunds live on one slot of a cluster.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    /// With a prefix that is a part of a key already.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn name(&self, limit: &str, digest: &[u8; 16]) -> String {
        let digest = u128::from_be_bytes(*digest);
        format!("{}:{}:{{{digest:032x}}}", self.prefix, key_part(limit))
    }

    /// The message to other machines that a key was changed: the digest, and the name of the limit.
    pub(crate) fn message(&self, limit: &str, digest: &[u8; 16]) -> String {
        format!("{:032x}{limit}", u128::from_be_bytes(*digest))
    }
}

/// Reads a message about a key of this limit.
pub(crate) fn changed(message: &[u8], limit: &str) -> Option<[u8; 16]> {
    let (digest, name) = std::str::from_utf8(message).ok()?.split_at_checked(32)?;
    let digest = u128::from_str_radix(digest, 16).ok()?;
    (name == limit).then_some(digest.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: &str, limit: &str) -> String {
        Keys::new(&key_part(prefix)).name(limit, &[0xab; 16])
    }

    #[test]
    fn redis_key_contains_the_name_of_its_limit() {
        let key = key("palisade", "per user");
        assert_eq!(key, "palisade:per%20user:{abababababababababababababababab}");
    }

    #[test]
    fn separators_in_names_are_escaped() {
        let keys = [key("a", "b:c"), key("a:b", "c"), key("a", "b%3Ac"), key("a", "{b}")];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{key}");
        }
    }

    #[test]
    fn hash_tag_of_a_key_is_the_digest() {
        let key = key("{x}", "{y}");
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        assert_eq!(tag.map(|(tag, _)| tag), Some("ab".repeat(16).as_str()), "{key}");
    }

    #[test]
    fn message_applies_to_its_limit_only() {
        let message = Keys::new("a").message("äpi", &[0xab; 16]);
        assert_eq!(changed(message.as_bytes(), "äpi"), Some([0xab; 16]));
        assert_eq!(changed(message.as_bytes(), "pi"), None);
        assert_eq!(changed(b"\xff", "api"), None);
        assert_eq!(changed(b"short", "api"), None);
    }
}
