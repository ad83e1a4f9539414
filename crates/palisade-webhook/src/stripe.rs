use std::time::Duration;

use http::HeaderMap;
use palisade_core::{ConfigError, Secret};

use crate::{HmacScheme, hmac_scheme::Vendor};

/// [Stripe](https://docs.stripe.com/webhooks#verify-manually): `Stripe-Signature: t=1614265330,v1=5257a869…`.
///
/// `v1` is the HMAC-SHA-256 of the timestamp, a dot and the body. The key is the endpoint's signing secret, the whole
/// text with its `whsec_`; while a secret is rolled there is one `v1` for each. Schemes other than `v1` are ignored: the
/// `v0` of test events proves nothing, and accepting it would be a downgrade.
///
/// [`Verified::id`](crate::Verified::id) is the `id` of the event, which is the same for each attempt to deliver it.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{Stripe, Webhook};
///
/// let layer = Webhook::stripe("whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s").build()?;
///
/// // a request of Stripe
/// let now = Duration::from_secs(1_614_265_330);
/// let headers = Stripe::sign("whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s", now, br#"{"id":"evt_1"}"#)?;
/// assert!(headers["stripe-signature"].to_str()?.starts_with("t=1614265330,v1="));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stripe {}

impl Stripe {
    pub(crate) fn scheme() -> HmacScheme {
        HmacScheme::new("stripe", "stripe-signature")
            .pairs(',', "t", "v1")
            .signs("{timestamp}.{body}")
            .id_in_json("id")
            .with_vendor(Vendor { check_secret: is_no_api_key, ..Vendor::default() })
    }

    /// Returns the headers that Stripe would send with this body at this time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::stripe`](crate::Webhook::stripe) refuses.
    pub fn sign(
        secret: impl Into<Secret>,
        timestamp: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        Self::scheme().sign(secret, "", timestamp, body)
    }
}

#[allow(clippy::disallowed_methods, reason = "looks at the public prefix only")]
fn is_no_api_key(secret: &Secret) -> Result<(), ConfigError> {
    if [&b"sk_"[..], b"rk_", b"pk_"].iter().any(|prefix| secret.expose().starts_with(prefix)) {
        return Err(ConfigError::without_value(
            "secret",
            "this is an API key: use the signing secret of the endpoint, which begins with `whsec_`",
        ));
    }
    Ok(())
}
