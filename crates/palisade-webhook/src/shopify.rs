use std::time::Duration;

use http::HeaderMap;
use palisade_core::{ConfigError, Secret};

use crate::{Encoding, HmacScheme};

/// [Shopify](https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify):
/// `X-Shopify-Hmac-SHA256: XWmrwMey6OsLMeiZKwP4FppHH3cmAiiJJAweH5Jo4bM=`.
///
/// The HMAC-SHA-256 of the body in base64. The key is the app's client secret, as text.
///
/// There is no signed timestamp (`X-Shopify-Triggered-At` is not signed). `X-Shopify-Webhook-Id`, which Shopify repeats
/// in retries, is [`Verified::id`](crate::Verified::id); it is not signed either, see
/// [`Replays::by_content`](crate::Replays::by_content).
///
/// ```
/// use palisade_webhook::{Shopify, Webhook};
///
/// let layer = Webhook::shopify("1f2e3d4c5b6a79880123456789abcdef").build()?;
///
/// // a request of Shopify
/// let headers = Shopify::sign("1f2e3d4c5b6a79880123456789abcdef", br#"{"id":820982911946154508}"#)?;
/// assert_eq!(headers["x-shopify-hmac-sha256"].len(), 44);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shopify {}

impl Shopify {
    pub(crate) fn scheme() -> HmacScheme {
        HmacScheme::new("shopify", "x-shopify-hmac-sha256")
            .encoding(Encoding::Base64)
            .signs("{body}")
            .without_timestamp()
            .id_header("x-shopify-webhook-id")
    }

    /// Returns the header that Shopify would send with this body.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::shopify`](crate::Webhook::shopify) refuses.
    pub fn sign(secret: impl Into<Secret>, body: &[u8]) -> Result<HeaderMap, ConfigError> {
        Self::scheme().sign(secret, "", Duration::ZERO, body)
    }
}
