//! The format of a stored response in Redis.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    entry::Stored,
    rules::{Nominated, Terms},
};

/// The first byte of a record. A record of another version counts as missing, and is replaced by the next response.
const VERSION: u8 = 1;

#[derive(Deserialize, Serialize)]
struct Encoded<'a> {
    status: u16,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a [u8])>,
    terms: Terms,
    nominated: EncodedNominated<'a>,
    tags: Vec<&'a str>,
    is_open: bool,
    body: &'a [u8],
}

type EncodedNominated<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

/// Encodes a response.
pub(super) fn encode(stored: &Stored) -> Vec<u8> {
    let headers = stored.headers.iter();
    let encoded = Encoded {
        status: stored.status.as_u16(),
        headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
        terms: stored.terms,
        nominated: nominated(&stored.nominated),
        tags: stored.tags.iter().map(AsRef::as_ref).collect(),
        is_open: stored.is_open,
        body: &stored.body,
    };
    // Encoding into memory does not fail.
    postcard::to_extend(&encoded, vec![VERSION]).unwrap_or_default()
}

/// Decodes a response. `None` if this version did not write it.
pub(super) fn decode(record: Vec<u8>) -> Option<Stored> {
    let record = Bytes::from(record);
    let (&VERSION, rest) = record.split_first()? else { return None };
    let (encoded, []) = postcard::take_from_bytes::<Encoded<'_>>(rest).ok()? else { return None };
    let mut headers = HeaderMap::with_capacity(encoded.headers.len().min(1024));
    for (name, value) in encoded.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(Stored {
        status: StatusCode::from_u16(encoded.status).ok()?,
        headers,
        body: record.slice_ref(encoded.body),
        terms: encoded.terms,
        nominated: owned(encoded.nominated)?,
        tags: encoded.tags.into_iter().map(Box::from).collect(),
        is_open: encoded.is_open,
    })
}

fn nominated(nominated: &Nominated) -> EncodedNominated<'_> {
    nominated.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
}

fn owned(nominated: EncodedNominated<'_>) -> Option<Nominated> {
    let owned = nominated.into_iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, value.map(Bytes::copy_from_slice)))
    });
    owned.collect()
}

/// Encodes the fields that a response depends on.
pub(super) fn encode_nominated(fields: &Nominated) -> Vec<u8> {
    postcard::to_extend(&nominated(fields), Vec::new()).unwrap_or_default()
}

/// Decodes the fields at the start of these bytes, and returns the bytes after them.
pub(super) fn decode_nominated(bytes: &[u8]) -> Option<(Nominated, &[u8])> {
    let (fields, rest) = postcard::take_from_bytes::<EncodedNominated<'_>>(bytes).ok()?;
    Some((owned(fields)?, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use http::header;

    use super::*;

    pub(in crate::store::redis) fn stored() -> Stored {
        let mut headers = HeaderMap::new();
        headers.append(header::AGE, HeaderValue::from_static("0"));
        headers.append(header::LINK, HeaderValue::from_static("<a>"));
        headers.append(header::LINK, HeaderValue::from_bytes(b"<\xff>").unwrap());
        let time = Duration::from_millis;
        Stored {
            status: StatusCode::NOT_FOUND,
            headers,
            body: Bytes::from_static(b"\0\xffbody"),
            terms: Terms {
                lifetime: time(1),
                initial_age: time(2),
                stored_at: time(3),
                always_validate: true,
                never_stale: false,
                stale_while_revalidate: time(4),
                stale_if_error: time(5),
            },
            nominated: vec![
                (header::ACCEPT, Some(Bytes::from_static(b"\xff"))),
                (header::COOKIE, None),
            ],
            tags: vec!["a".into(), "b c".into()],
            is_open: true,
        }
    }

    #[test]
    fn decodes_what_it_encoded() {
        let (expected, decoded) = (stored(), decode(encode(&stored())).unwrap());
        assert_eq!(format!("{decoded:?}"), format!("{expected:?}"));
        let mut bytes = encode_nominated(&expected.nominated);
        bytes.extend_from_slice(b"rest");
        let (nominated, rest) = decode_nominated(&bytes).unwrap();
        assert_eq!((nominated, rest), (expected.nominated, &b"rest"[..]));
    }

    #[test]
    fn rejects_records_that_are_cut_or_longer_or_of_another_version() {
        let encoded = encode(&stored());
        for length in 0..encoded.len() {
            assert!(decode(encoded[..length].to_vec()).is_none(), "{length} bytes");
        }
        assert!(decode([&encoded, &[0][..]].concat()).is_none());
        let mut other = encoded;
        other[0] += 1;
        assert!(decode(other).is_none());
    }
}
