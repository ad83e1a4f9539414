use std::borrow::Cow;

use http::{HeaderMap, request};
use palisade_core::{ConfigError, Secret};

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Presented, Scheme, id_field, required},
    sign::Headers,
    signature::{Signature, to_base64},
};

/// [Shopify](https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify):
/// `X-Shopify-Hmac-SHA256: XWmrwMey6OsLMeiZKwP4FppHH3cmAiiJJAweH5Jo4bM=`.
///
/// The HMAC-SHA-256 of the body in base64. The key is the app's client secret, as text.
///
/// There is no signed timestamp (`X-Shopify-Triggered-At` is not signed). `X-Shopify-Webhook-Id`, which Shopify repeats
/// when it tries again, is [`Verified::id`](crate::Verified::id); it is not signed either, see
/// [`Replays::by_content`](crate::Replays::by_content).
///
/// ```
/// use palisade_webhook::{Shopify, Webhook};
///
/// let layer = Webhook::shopify("1f2e3d4c5b6a79880123456789abcdef").build()?;
///
/// // what Shopify sends
/// let headers = Shopify::sign("1f2e3d4c5b6a79880123456789abcdef", br#"{"id":820982911946154508}"#)?;
/// assert_eq!(headers["x-shopify-hmac-sha256"].len(), 44);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shopify {}

const SIGNATURE: &str = "x-shopify-hmac-sha256";
const WEBHOOK_ID: &str = "x-shopify-webhook-id";

impl Shopify {
    pub(crate) const SCHEME: Self = Self {};

    /// The header of a request with this body, as Shopify would send it.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::shopify`](crate::Webhook::shopify) refuses.
    pub fn sign(secret: impl Into<Secret>, body: &[u8]) -> Result<HeaderMap, ConfigError> {
        let tag = Self::SCHEME.key(&secret.into())?.tag_of(&vec![Cow::Borrowed(body)]);
        Ok(Headers::new().with(SIGNATURE, to_base64(&tag)).done())
    }
}

impl Scheme for Shopify {
    fn name(&self) -> &str {
        "shopify"
    }

    fn is_dated(&self) -> bool {
        false
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        Key::of_text(Algorithm::Sha256, secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault> {
        let signature = Signature::base64(required(&head.headers, SIGNATURE)?)
            .ok_or(Fault::Malformed(SIGNATURE))?;
        Ok(Presented::only(signature).named(id_field(&head.headers, WEBHOOK_ID)?))
    }

    fn messages<'r>(
        &'r self,
        _: &Presented<'r>,
        _: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        Ok(vec![vec![Cow::Borrowed(body)]])
    }
}
