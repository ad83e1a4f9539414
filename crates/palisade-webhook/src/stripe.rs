use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, request};
use palisade_core::{ConfigError, Secret};
use serde::Deserialize;

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Presented, Scheme, is_id, required},
    sign::{Headers, unix_seconds},
    signature::{MOST, Signature, to_hex},
    timestamp::Timestamp,
};

/// [Stripe](https://docs.stripe.com/webhooks#verify-manually): `Stripe-Signature: t=1614265330,v1=5257a869…`.
///
/// `v1` is the HMAC-SHA-256 of the timestamp, a dot and the body. The key is the endpoint's signing secret, the whole
/// text with its `whsec_`; while a secret is rolled there is one `v1` for each. Schemes other than `v1` are ignored: the
/// `v0` of test events proves nothing, and believing it would be a downgrade.
///
/// [`Verified::id`](crate::Verified::id) is the `id` of the event, which is the same for each attempt to deliver it.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{Stripe, Webhook};
///
/// let layer = Webhook::stripe("whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s").build()?;
///
/// // what Stripe sends
/// let now = Duration::from_secs(1_614_265_330);
/// let headers = Stripe::sign("whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s", now, br#"{"id":"evt_1"}"#)?;
/// assert!(headers["stripe-signature"].to_str()?.starts_with("t=1614265330,v1="));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stripe {}

const SIGNATURE: &str = "stripe-signature";

impl Stripe {
    pub(crate) const SCHEME: Self = Self {};

    /// The headers of a request with this body, as Stripe would send it at this time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::stripe`](crate::Webhook::stripe) refuses.
    pub fn sign(
        secret: impl Into<Secret>,
        timestamp: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        let timestamp = unix_seconds(timestamp);
        let tag = to_hex(&Self::SCHEME.key(&secret.into())?.tag_of(&message(&timestamp, body)));
        Ok(Headers::new().with(SIGNATURE, format!("t={timestamp},v1={tag}")).done())
    }
}

fn message<'r>(timestamp: &'r str, body: &'r [u8]) -> Message<'r> {
    [timestamp.as_bytes(), b".", body].map(Cow::Borrowed).into()
}

impl Scheme for Stripe {
    fn name(&self) -> &str {
        "stripe"
    }

    fn is_dated(&self) -> bool {
        true
    }

    #[allow(clippy::disallowed_methods, reason = "looks at the public prefix only")]
    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        if [&b"sk_"[..], b"rk_", b"pk_"].iter().any(|prefix| secret.expose().starts_with(prefix)) {
            return Err(ConfigError::without_value(
                "secret",
                "this is an API key: use the signing secret of the endpoint, which begins with `whsec_`",
            ));
        }
        Key::of_text(Algorithm::Sha256, secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault> {
        let malformed = Fault::Malformed(SIGNATURE);
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for item in required(&head.headers, SIGNATURE)?.split(',') {
            match item.split_once('=').ok_or(malformed)? {
                ("t", _) if timestamp.is_some() => return Err(malformed),
                ("t", text) => timestamp = Some(Timestamp::in_seconds(text, SIGNATURE)?),
                ("v1", _) if signatures.len() == MOST => return Err(malformed),
                ("v1", hex) => signatures.push(Signature::hex(hex).ok_or(malformed)?),
                (other, _) if is_scheme(other) => {}
                _ => return Err(malformed),
            }
        }
        if signatures.is_empty() {
            return Err(Fault::Missing("v1"));
        }
        Ok(Presented::of(signatures).at(timestamp.ok_or(malformed)?))
    }

    fn messages<'r>(
        &'r self,
        presented: &Presented<'r>,
        _: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        Ok(vec![message(presented.timestamp.map_or("", |timestamp| timestamp.text), body)])
    }

    fn id_in_body(&self, body: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Event {
            id: String,
        }
        let event: Event = serde_json::from_slice(body).ok()?;
        is_id(&event.id).then_some(event.id)
    }
}

fn is_scheme(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
