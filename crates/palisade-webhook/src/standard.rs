use std::{borrow::Cow, fmt, time::Duration};

#[cfg(feature = "ed25519")]
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, request};
use palisade_core::{ConfigError, Secret};

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Scheme, SignatureHeaders, id_field, is_id, required},
    sign::{Headers, unix_seconds},
    signature::{Kind, MOST, Signature, to_base64},
    timestamp::Timestamp,
};

/// [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), and
/// [Svix](https://docs.svix.com/receiving/verifying-payloads/how-manual), where it comes from: `webhook-id`,
/// `webhook-timestamp`, and `webhook-signature: v1,g0hM9SsE… v1a,…`.
///
/// `v1` is the HMAC-SHA-256, in base64, of id, timestamp and body with dots between them. Its secrets are written
/// `whsec_` and base64, of 24 to 64 bytes. `v1a` is an Ed25519 signature of the same; its public keys are written
/// `whpk_` and base64, and are given in place of a secret. It needs the feature `ed25519`. The header has as many
/// signatures as the sender has keys; unknown versions are ignored.
///
/// [`Webhook::svix`](crate::Webhook::svix) reads `svix-id`, `svix-timestamp` and `svix-signature`, which Svix sends
/// beside the others. Only one set is read, whichever you choose.
///
/// To send, see [`StandardSigner`].
///
/// ```
/// use palisade_webhook::Webhook;
///
/// let layer = Webhook::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .key_id("2025-06")
///     .and_secret("2025-01", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Standard {
    name: &'static str,
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

impl Standard {
    pub(crate) const WEBHOOK: Self = Self {
        name: "standard",
        id: "webhook-id",
        timestamp: "webhook-timestamp",
        signature: "webhook-signature",
    };

    pub(crate) const SVIX: Self = Self {
        name: "svix",
        id: "svix-id",
        timestamp: "svix-timestamp",
        signature: "svix-signature",
    };

    /// Signs requests with this secret (`whsec_…`) or private key (`whsk_…`).
    ///
    /// # Errors
    ///
    /// If the secret has another prefix or a wrong length.
    pub fn signer(secret: impl Into<Secret>) -> Result<StandardSigner, ConfigError> {
        StandardSigner { headers: Self::WEBHOOK, keys: Vec::new() }.and_secret(secret)
    }
}

fn message<'r>(id: &'r str, timestamp: &'r str, body: &'r [u8]) -> Message<'r> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].map(Cow::Borrowed).into()
}

/// A dot in an id would make one signature valid for two readings of id, timestamp and body.
fn is_message_id(id: &str) -> bool {
    is_id(id) && !id.contains('.')
}

impl Scheme for Standard {
    fn name(&self) -> &str {
        self.name
    }

    fn is_dated(&self) -> bool {
        true
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        match EncodedKey::read(secret)? {
            EncodedKey::Symmetric(bytes) => Key::from_bytes(Algorithm::Sha256, &bytes),
            #[cfg(feature = "ed25519")]
            #[allow(clippy::disallowed_methods, reason = "the bytes of a public key")]
            EncodedKey::Public(bytes) => Key::ed25519(bytes.expose()),
            #[cfg(not(feature = "ed25519"))]
            EncodedKey::Public(_) => Err(without_ed25519()),
            EncodedKey::Private(_) => Err(ConfigError::without_value(
                "secret",
                "`whsk_` is the private key of the sender: verify with its public key, which begins with `whpk_`",
            )),
        }
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault> {
        let malformed = Fault::Malformed(self.signature);
        let id = id_field(&head.headers, self.id)?.ok_or(Fault::Missing(self.id))?;
        if !is_message_id(id) {
            return Err(Fault::Malformed(self.id));
        }
        let timestamp = required(&head.headers, self.timestamp)?;
        let timestamp = Timestamp::in_seconds(timestamp, self.timestamp)?;
        let mut signatures = Vec::new();
        for item in required(&head.headers, self.signature)?.split(' ') {
            let (version, base64) = item.split_once(',').ok_or(malformed)?;
            let kind = match version {
                "v1" => Kind::Mac,
                "v1a" => Kind::Ed25519,
                _ => continue,
            };
            if signatures.len() == MOST {
                return Err(malformed);
            }
            signatures.push(Signature::base64(base64).ok_or(malformed)?.of_kind(kind));
        }
        if signatures.is_empty() {
            return Err(Fault::Missing("v1"));
        }
        Ok(SignatureHeaders::from_signatures(signatures).at(timestamp).named(Some(id)))
    }

    fn messages<'r>(
        &'r self,
        presented: &SignatureHeaders<'r>,
        _: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        let timestamp = presented.timestamp.map_or("", |timestamp| timestamp.text);
        Ok(vec![message(presented.id.unwrap_or_default(), timestamp, body)])
    }
}

/// A secret in the text format of Standard Webhooks.
#[cfg_attr(not(feature = "ed25519"), allow(dead_code, reason = "only the feature uses such keys"))]
enum EncodedKey {
    Symmetric(Secret),
    Public(Secret),
    Private(Secret),
}

impl EncodedKey {
    #[allow(clippy::disallowed_methods, reason = "the text of a key becomes its bytes")]
    fn read(secret: &Secret) -> Result<Self, ConfigError> {
        let wrong = |remedy: &'static str| ConfigError::without_value("secret", remedy);
        let text = secret.expose();
        let decoded = |base64: &[u8], remedy| {
            STANDARD.decode(base64).map(Secret::from).map_err(|_| wrong(remedy))
        };
        if let Some(base64) = text.strip_prefix(b"whpk_") {
            return decoded(base64, "`whpk_` must be followed by base64").map(Self::Public);
        }
        if let Some(base64) = text.strip_prefix(b"whsk_") {
            return decoded(base64, "`whsk_` must be followed by base64").map(Self::Private);
        }
        // Svix and the reference libraries also accept secrets without their prefix.
        let base64 = text.strip_prefix(b"whsec_").unwrap_or(text);
        let bytes = decoded(base64, "write it `whsec_` and base64, as the sender shows it")?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(wrong(
                "it must have 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`",
            ));
        }
        Ok(Self::Symmetric(bytes))
    }
}

#[cfg(not(feature = "ed25519"))]
fn without_ed25519() -> ConfigError {
    ConfigError::without_value(
        "secret",
        "it is an Ed25519 key: turn on the feature `ed25519` of palisade-webhook (`webhook-ed25519` of palisade)",
    )
}

/// Signs outgoing requests by [Standard Webhooks](Standard).
///
/// ```
/// use palisade_webhook::{Standard, StandardSigner};
/// use palisade_core::{Clock, SystemClock};
///
/// // while a receiver changes its secret, sign with both
/// let signer = Standard::signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?
///     .and_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
///
/// // all attempts to deliver a message have the same id, but their own time
/// let body = br#"{"type":"invoice.paid"}"#;
/// let headers = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", SystemClock.unix(), body)?;
/// assert_eq!(headers.len(), 3);
/// assert_eq!(headers["webhook-signature"].to_str()?.split(' ').count(), 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// A receiver returns 2xx when it has the message. 410 disables the endpoint; 429 and 503 ask for a retry after
/// `Retry-After`; retry later after any other status or no response.
pub struct StandardSigner {
    headers: Standard,
    keys: Vec<SigningKey>,
}

enum SigningKey {
    Mac(Box<Key>),
    #[cfg(feature = "ed25519")]
    Ed25519(Ed25519KeyPair),
}

impl StandardSigner {
    /// Adds a second secret or private key to sign with.
    ///
    /// # Errors
    ///
    /// If the secret is not `whsec_…` or `whsk_…`, has a wrong length, or is the eleventh.
    pub fn and_secret(mut self, secret: impl Into<Secret>) -> Result<Self, ConfigError> {
        let wrong = |remedy: &'static str| ConfigError::without_value("secret", remedy);
        if self.keys.len() == MOST {
            return Err(wrong("receivers check at most 10 signatures"));
        }
        self.keys.push(match EncodedKey::read(&secret.into())? {
            EncodedKey::Symmetric(bytes) => {
                SigningKey::Mac(Box::new(Key::from_bytes(Algorithm::Sha256, &bytes)?))
            }
            #[cfg(feature = "ed25519")]
            #[allow(
                clippy::disallowed_methods,
                reason = "the bytes go into the key that is made of them"
            )]
            EncodedKey::Private(bytes) => {
                // a seed, or a seed and its public key
                let key = match bytes.expose().split_at_checked(32) {
                    Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed).ok(),
                    Some((seed, public)) => {
                        Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()
                    }
                    None => None,
                };
                SigningKey::Ed25519(key.ok_or_else(|| {
                    wrong("`whsk_` is an Ed25519 key of 32 bytes, or of 64 with its public key")
                })?)
            }
            #[cfg(not(feature = "ed25519"))]
            EncodedKey::Private(_) => return Err(without_ed25519()),
            EncodedKey::Public(_) => {
                return Err(wrong("`whpk_` is a public key: sign with the private one, `whsk_`"));
            }
        });
        Ok(self)
    }

    /// Writes `svix-id`, `svix-timestamp` and `svix-signature`.
    #[must_use]
    pub fn svix(mut self) -> Self {
        self.headers = Standard::SVIX;
        self
    }

    /// Returns the headers of a request with this body, sent at this time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// If the id is not 1 to 256 visible ASCII characters without dots.
    pub fn sign(
        &self,
        id: &str,
        timestamp: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        if !is_message_id(id) {
            return Err(ConfigError::new(
                "id",
                id.escape_debug(),
                "use 1 to 256 visible ASCII characters without dots, which separate the parts that are signed",
            ));
        }
        let timestamp = unix_seconds(timestamp);
        let message = message(id, &timestamp, body);
        let signatures: Vec<_> = self.keys.iter().map(|key| key.sign(&message)).collect();
        Ok(Headers::new()
            .with(self.headers.id, id.to_owned())
            .with(self.headers.timestamp, timestamp.clone())
            .with(self.headers.signature, signatures.join(" "))
            .done())
    }
}

impl SigningKey {
    fn sign(&self, message: &Message<'_>) -> String {
        match self {
            Self::Mac(key) => format!("v1,{}", to_base64(&key.tag_of(message))),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => {
                format!("v1a,{}", to_base64(key.sign(&message.concat()).as_ref()))
            }
        }
    }
}

impl fmt::Debug for StandardSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandardSigner").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
