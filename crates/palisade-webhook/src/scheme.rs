use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, request};
use palisade_core::{ApiError, ConfigError, Secret};

use crate::{key::Key, signature::Signature, timestamp::Timestamp};

/// How a vendor signs: what differs between them, and nothing else.
pub(crate) trait Scheme: Send + Sync + 'static {
    /// Its name, in [`Verified`](crate::Verified), in challenges and in the keys of a replay store.
    fn name(&self) -> &str;

    /// True if what is signed says when.
    fn is_dated(&self) -> bool;

    /// A settled secret as the key that it is.
    fn key(&self, secret: &Secret) -> Result<Key, ConfigError>;

    /// What the head says, without a look at the body or at a key.
    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault>;

    /// What the sender has signed. More than one, where vendors write the same thing in two ways.
    fn messages<'r>(
        &'r self,
        presented: &Presented<'r>,
        head: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault>;

    /// The sender's own name for the delivery, where only the body tells it. The body is verified by then.
    fn id_in_body(&self, body: &[u8]) -> Option<String> {
        let _ = body;
        None
    }

    /// What is answered in place of the handler. The body is verified by then.
    fn reply(&self, body: &[u8]) -> Option<Response<Bytes>> {
        let _ = body;
        None
    }
}

/// What a request claims about itself.
#[derive(Debug)]
pub(crate) struct Presented<'r> {
    pub(crate) signatures: Vec<Signature>,
    pub(crate) timestamp: Option<Timestamp<'r>>,
    pub(crate) id: Option<&'r str>,
    /// The end of its life, where a sender sets one.
    pub(crate) expires: Option<Timestamp<'r>>,
    /// Which key it says it was, where a sender says so. No other is tried then.
    pub(crate) key_id: Option<&'r str>,
}

impl<'r> Presented<'r> {
    pub(crate) fn of(signatures: Vec<Signature>) -> Self {
        Self { signatures, timestamp: None, id: None, expires: None, key_id: None }
    }

    /// One signature, and nothing else.
    pub(crate) fn only(signature: Signature) -> Self {
        Self::of(vec![signature])
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

/// What was signed, in pieces that follow each other, so that a body is not copied to put something in front of it.
pub(crate) type Message<'r> = Vec<Cow<'r, [u8]>>;

/// Why a request is refused. The log says it, and the client does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A header that the scheme needs is not there, or there is no signature of a version that is known.
    Missing(&'static str),
    /// A header, or what is signed of the request, breaks the scheme's grammar.
    Malformed(&'static str),
    /// The timestamp is too far from now, in either direction.
    Stale,
    /// No secret of ours made any of the signatures.
    Mismatch,
}

impl Fault {
    pub(crate) fn into_error(self, scheme: &str) -> ApiError {
        tracing::debug!(target: "palisade::webhook", scheme, fault = ?self, "a webhook was refused");
        if let Self::Malformed(_) = self {
            return ApiError::bad_request().with_message("the webhook's signature is malformed");
        }
        // One answer for all: whoever guesses does not learn how far they came. RFC 9110, section 15.5.2 wants a
        // challenge; there is no registered scheme for webhooks.
        let challenge = HeaderValue::from_str(&format!("Webhook realm=\"{scheme}\""))
            .unwrap_or(HeaderValue::from_static("Webhook"));
        ApiError::unauthenticated()
            .with_message("the webhook's signature is not valid")
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

/// The longest value of a header that is looked at. Ten signatures of 64 bytes are 1,000.
const LONGEST_VALUE: usize = 4096;

/// The longest name of a delivery. They are UUIDs and the like.
pub(crate) const LONGEST_ID: usize = 256;

/// The value of a header that is there once, of visible ASCII and spaces.
pub(crate) fn field<'r>(
    headers: &'r HeaderMap,
    name: &'static str,
) -> Result<Option<&'r str>, Fault> {
    sole(headers.get_all(name).iter()).map_err(|()| Fault::Malformed(name))
}

/// The same for a header that nothing works without.
pub(crate) fn required<'r>(headers: &'r HeaderMap, name: &'static str) -> Result<&'r str, Fault> {
    field(headers, name)?.ok_or(Fault::Missing(name))
}

/// What a header says the delivery is called.
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
    // Two signatures, of which one layer checks the first and another believes the second.
    if values.next().is_some() || value.len() > LONGEST_VALUE {
        return Err(());
    }
    value.to_str().map(Some).map_err(|_| ())
}

/// Visible ASCII, and not much of it: an id becomes the key of a store.
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
