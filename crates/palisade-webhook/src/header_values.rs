//! Headers of a delivery: present at most once, short and ASCII.

use http::{HeaderMap, HeaderValue};

use crate::fault::Fault;

/// The maximum length of a header value. Ten signatures of 64 bytes take 1,000.
const LONGEST_VALUE: usize = 4096;

/// The maximum length of a delivery's id. Most are UUIDs.
pub(crate) const LONGEST_ID: usize = 256;

/// Returns the value of a header that occurs at most once, of visible ASCII and spaces.
pub(crate) fn field<'r>(
    headers: &'r HeaderMap,
    name: &'static str,
) -> Result<Option<&'r str>, Fault> {
    sole(headers.get_all(name).iter()).map_err(|()| Fault::Malformed(name))
}

/// Returns the value of a required header.
pub(crate) fn required<'r>(headers: &'r HeaderMap, name: &'static str) -> Result<&'r str, Fault> {
    field(headers, name)?.ok_or(Fault::Missing(name))
}

/// Reads the id of the delivery from a header.
pub(crate) fn id_field<'r>(
    headers: &'r HeaderMap,
    name: &'static str,
) -> Result<Option<&'r str>, Fault> {
    match field(headers, name)? {
        Some(id) if !is_id(id) => Err(Fault::Malformed(name)),
        id => Ok(id),
    }
}

pub(crate) fn sole<'r>(
    mut values: impl Iterator<Item = &'r HeaderValue>,
) -> Result<Option<&'r str>, ()> {
    let Some(value) = values.next() else { return Ok(None) };
    // With two headers, one layer could verify the first and another one trust the second.
    if values.next().is_some() || value.len() > LONGEST_VALUE {
        return Err(());
    }
    value.to_str().map(Some).map_err(|_| ())
}

/// Returns whether an id is short visible ASCII, because it becomes the key of a store.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let value = |value: &&[u8]| HeaderValue::from_bytes(value).unwrap();
        let values = values.iter().map(|bytes| (header::ETAG, value(bytes)));
        values.fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    #[test]
    fn field_must_be_single_short_and_ascii() {
        assert_eq!(field(&headers(&[]), "etag"), Ok(None));
        assert_eq!(required(&headers(&[]), "etag"), Err(Fault::Missing("etag")));
        assert_eq!(field(&headers(&[b"a b"]), "etag"), Ok(Some("a b")));
        assert_eq!(field(&headers(&[&[b'a'; 4096]]), "etag").unwrap().map(str::len), Some(4096));
        for wrong in [&[&b"a"[..], b"a"][..], &[b"\xc3\xa9"], &[b"\xff"], &[&[b'a'; 4097]]] {
            assert_eq!(field(&headers(wrong), "etag"), Err(Fault::Malformed("etag")));
        }
    }

    #[test]
    fn id_must_be_short_and_without_spaces() {
        assert_eq!(id_field(&headers(&[b"msg_1"]), "etag"), Ok(Some("msg_1")));
        for wrong in [&b""[..], b"a b", b"a\tb", &[b'a'; 257]] {
            assert_eq!(id_field(&headers(&[wrong]), "etag"), Err(Fault::Malformed("etag")));
        }
    }
}
