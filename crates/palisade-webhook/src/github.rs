use std::time::Duration;

use http::HeaderMap;
use palisade_core::{ConfigError, Secret};

use crate::HmacScheme;

/// [GitHub](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries):
/// `X-Hub-Signature-256: sha256=757107ea…`.
///
/// The HMAC-SHA-256 of the body. `X-Hub-Signature`, of SHA-1, is for old receivers and is ignored. GitHub
/// sends up to 25 MB; the default here is 1 MiB, so raise [`limit`](crate::WebhookBuilder::limit) for large pushes.
///
/// There is no timestamp: a captured request stays valid until the secret changes. [`Verified::id`](crate::Verified::id) is
/// `X-GitHub-Delivery`, which is not signed: it identifies retries of GitHub, but an attacker can change it.
/// [`Replays::by_content`](crate::Replays::by_content) also rejects such repetitions, for as long as it stores them.
///
/// ```
/// use palisade_webhook::{GitHub, Webhook};
///
/// let layer = Webhook::github("It's a Secret to Everybody").limit(25 * 1024 * 1024).build()?;
///
/// // a request of GitHub
/// let headers = GitHub::sign("It's a Secret to Everybody", b"Hello, World!")?;
/// assert_eq!(
///     headers["x-hub-signature-256"],
///     "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GitHub {}

impl GitHub {
    pub(crate) fn scheme() -> HmacScheme {
        HmacScheme::new("github", "x-hub-signature-256")
            .prefix("sha256=")
            .signs("{body}")
            .without_timestamp()
            .id_header("x-github-delivery")
    }

    /// Returns the header that GitHub would send with this body.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::github`](crate::Webhook::github) refuses.
    pub fn sign(secret: impl Into<Secret>, body: &[u8]) -> Result<HeaderMap, ConfigError> {
        Self::scheme().sign(secret, "", Duration::ZERO, body)
    }
}
