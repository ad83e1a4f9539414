use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, request};
use palisade_core::{ApiError, ConfigError, Secret};

use crate::{key::Key, signature::Signature, timestamp::Timestamp};

/// The parts of a signature scheme that differ between vendors.
pub(crate) trait Scheme: Send + Sync + 'static {
    /// Its name, in [`Verified`](crate::Verified), in challenges and in the keys of a replay store.
    fn name(&self) -> &str;

    /// Returns whether the scheme signs a timestamp.
    fn is_dated(&self) -> bool;

    /// Converts a configured secret into a key.
    fn key(&self, secret: &Secret) -> Result<Key, ConfigError>;

    /// Reads the signature headers, without the body or a key.
    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault>;

    /// Returns the signed message. Several, if vendors write the same content in two ways.
    fn messages<'r>(
        &'r self,
        presented: &SignatureHeaders<'r>,
        head: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault>;

    /// Returns the id of the delivery, if it is in the body. Called after verification.
    fn id_in_body(&self, body: &[u8]) -> Option<String> {
        let _ = body;
        None
    }

    /// Returns a response that replaces the handler's. Called after verification.
    fn reply(&self, body: &[u8]) -> Option<Response<Bytes>> {
        let _ = body;
        None
    }
}

/// The signature headers of a request, before verification.
#[derive(Debug)]
pub(crate) struct SignatureHeaders<'r> {
    pub(crate) signatures: Vec<Signature>,
    pub(crate) timestamp: Option<Timestamp<'r>>,
    pub(crate) id: Option<&'r str>,
    /// The expiry, if the sender sets one.
    pub(crate) expires: Option<Timestamp<'r>>,
    /// The id of the key, if the sender sets one. No other key is tried then.
    pub(crate) key_id: Option<&'r str>,
}

impl<'r> SignatureHeaders<'r> {
    pub(crate) fn from_signatures(signatures: Vec<Signature>) -> Self {
        Self { signatures, timestamp: None, id: None, expires: None, key_id: None }
    }

    /// Creates a value with signatures only.
    pub(crate) fn only(signature: Signature) -> Self {
        Self::from_signatures(vec![signature])
    }

    pub(crate) fn at(mut self, timestamp: Timestamp<'r>) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    pub(crate) fn named(mut self, id: Option<&'r str>) -> Self {
        self.id = id;
        self
    }
}

/// The signed message in consecutive pieces, so that a body is not copied to put a timestamp in front of it.
pub(crate) type Message<'r> = Vec<Cow<'r, [u8]>>;

/// The reason of a rejection. It is logged, and not sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A required header is missing, or no signature has a known version.
    Missing(&'static str),
    /// A header or a signed part of the request is malformed.
    Malformed(&'static str),
    /// The timestamp is too far in the past or in the future.
    Stale,
    /// None of the configured secrets made any of the signatures.
    Mismatch,
}

impl Fault {
    pub(crate) fn into_error(self, scheme: &str) -> ApiError {
        tracing::debug!(target: "palisade::webhook", scheme, fault = ?self, "a webhook was refused");
        if let Self::Malformed(_) = self {
            return ApiError::bad_request().with_message("the webhook's signature is malformed");
        }
        // One response for all reasons, so that an attacker learns nothing. RFC 9110, section 15.5.2 requires a challenge;
        // there is no registered scheme for webhooks.
        let challenge = HeaderValue::from_str(&format!("Webhook realm=\"{scheme}\""))
            .unwrap_or(HeaderValue::from_static("Webhook"));
        ApiError::unauthenticated()
            .with_message("the webhook's signature is not valid")
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

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
    fn a_field_is_there_once_and_is_short_and_ascii() {
        assert_eq!(field(&headers(&[]), "etag"), Ok(None));
        assert_eq!(required(&headers(&[]), "etag"), Err(Fault::Missing("etag")));
        assert_eq!(field(&headers(&[b"a b"]), "etag"), Ok(Some("a b")));
        assert_eq!(field(&headers(&[&[b'a'; 4096]]), "etag").unwrap().map(str::len), Some(4096));
        for wrong in [&[&b"a"[..], b"a"][..], &[b"\xc3\xa9"], &[b"\xff"], &[&[b'a'; 4097]]] {
            assert_eq!(field(&headers(wrong), "etag"), Err(Fault::Malformed("etag")));
        }
    }

    #[test]
    fn an_id_is_a_short_word() {
        assert_eq!(id_field(&headers(&[b"msg_1"]), "etag"), Ok(Some("msg_1")));
        for wrong in [&b""[..], b"a b", b"a\tb", &[b'a'; 257]] {
            assert_eq!(id_field(&headers(&[wrong]), "etag"), Err(Fault::Malformed("etag")));
        }
    }
}
