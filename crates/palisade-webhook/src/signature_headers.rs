use std::borrow::Cow;

use crate::{signature::Signature, timestamp::Timestamp};

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
