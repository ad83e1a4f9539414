use bytes::Bytes;
use http::{Response, request};
use palisade_core::{ConfigError, Secret};

use crate::key::Key;
pub(crate) use crate::{
    fault::Fault,
    header_values::{id_field, is_id, required, sole},
    signature_headers::{Message, SignatureHeaders},
};

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
