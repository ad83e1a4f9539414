use std::borrow::Cow;

use http::{HeaderMap, request};
use palisade_core::{ConfigError, Secret};

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Presented, Scheme, id_field, required},
    sign::Headers,
    signature::{Signature, to_hex},
};

/// [GitHub](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries):
/// `X-Hub-Signature-256: sha256=757107ea…`.
///
/// The HMAC-SHA-256 of the body. `X-Hub-Signature`, of SHA-1, is sent beside it for old receivers and is ignored. GitHub
/// sends up to 25 MB; the default here is 1 MiB, so raise [`limit`](crate::WebhookBuilder::limit) where large pushes
/// matter.
///
/// There is no timestamp: a request that somebody has seen stays valid until the secret changes. The delivery's name,
/// `X-GitHub-Delivery`, is [`Verified::id`](crate::Verified::id). It is not signed, so it recognises what GitHub sends
/// twice and nothing else; [`Replays::by_content`](crate::Replays::by_content) also stops others for as long as it
/// remembers.
///
/// ```
/// use palisade_webhook::{GitHub, Webhook};
///
/// let layer = Webhook::github("It's a Secret to Everybody").limit(25 * 1024 * 1024).build()?;
///
/// // what GitHub sends
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

const SIGNATURE: &str = "x-hub-signature-256";
const DELIVERY: &str = "x-github-delivery";

impl GitHub {
    pub(crate) const SCHEME: Self = Self {};

    /// The header of a request with this body, as GitHub would send it.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::github`](crate::Webhook::github) refuses.
    pub fn sign(secret: impl Into<Secret>, body: &[u8]) -> Result<HeaderMap, ConfigError> {
        let tag = to_hex(&Self::SCHEME.key(&secret.into())?.tag_of(&vec![Cow::Borrowed(body)]));
        Ok(Headers::new().with(SIGNATURE, format!("sha256={tag}")).done())
    }
}

impl Scheme for GitHub {
    fn name(&self) -> &str {
        "github"
    }

    fn is_dated(&self) -> bool {
        false
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        Key::of_text(Algorithm::Sha256, secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault> {
        let hex = required(&head.headers, SIGNATURE)?.strip_prefix("sha256=");
        let signature = hex.and_then(Signature::hex).ok_or(Fault::Malformed(SIGNATURE))?;
        Ok(Presented::only(signature).named(id_field(&head.headers, DELIVERY)?))
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
