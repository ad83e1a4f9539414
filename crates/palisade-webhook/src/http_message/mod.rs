//! HTTP Message Signatures: `fields` parses the headers, `base` creates the signature base, `sign` signs; this file verifies.

mod base;
mod digest;
mod fields;
mod sign;

use std::borrow::Cow;

#[cfg(feature = "ed25519")]
use base64::{Engine, engine::general_purpose::STANDARD};
use http::request;
use palisade_core::{ConfigError, PublicUrl, Secret};

use self::{
    digest::{DIGEST, check_digest},
    fields::{Input, byte_sequences, inputs, is_component},
};
use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Scheme, SignatureHeaders, is_id, required},
    signature::{Kind, Signature},
    timestamp::Timestamp,
};

/// [HTTP Message Signatures](https://www.rfc-editor.org/rfc/rfc9421) (RFC 9421), over a digest of the body
/// ([RFC 9530](https://www.rfc-editor.org/rfc/rfc9530)).
///
/// The sender chooses the signed parts of a message, so the receiver requires some. Default: `@method`, `@target-uri` and
/// `content-digest`; [`require`](HttpSignatures::require) adds others. `created` must be present and recent, `expires` must be
/// in the future if present, `keyid` must be the name of a configured secret; a `nonce` is
/// [`Verified::id`](crate::Verified::id). The algorithm is that of your key: what `alg` says may agree with it, and is
/// never followed. Configure the address, because a client can choose the `Host` of its request.
///
/// Components with parameters (`;sf`, `;bs`, `;key`, `;req`, `;tr`), unknown components and parameters, and repeated field lines
/// are rejected. A message with several signatures is rejected too, unless [`tag`](HttpSignatures::tag) selects one.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{HttpSignatures, Webhook};
///
/// let partner = HttpSignatures::hmac_sha256("https://hooks.example.com")?.tag("partner");
/// let secret = "a secret that the partner and we share";
///
/// // a request of the partner
/// let headers = partner.sign(secret, "key-1", &http::Method::POST, "/events", Duration::from_secs(1_618_884_473), b"{}")?;
/// assert_eq!(
///     headers["signature-input"],
///     "sig=(\"@method\" \"@target-uri\" \"content-digest\");created=1618884473;keyid=\"key-1\";tag=\"partner\"",
/// );
///
/// let layer = Webhook::http_signatures(partner, secret).key_id("key-1").build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpSignatures {
    scheme: &'static str,
    authority: String,
    /// The prefix of the request's path: empty, or a path that a proxy removes.
    path: String,
    algorithm: SignatureAlgorithm,
    required: Vec<String>,
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignatureAlgorithm {
    HmacSha256,
    #[cfg(feature = "ed25519")]
    Ed25519,
}

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";
impl HttpSignatures {
    /// Accepts signatures of `hmac-sha256`. The address is the URL that senders call without the path that your service sees,
    /// such as `https://hooks.example.com`.
    ///
    /// # Errors
    ///
    /// If the address is not a valid URL.
    pub fn hmac_sha256(public_url: &str) -> Result<Self, ConfigError> {
        Self::new(public_url, SignatureAlgorithm::HmacSha256)
    }

    /// Accepts signatures of `ed25519`. Secrets are public keys: 32 bytes in base64.
    ///
    /// # Errors
    ///
    /// If the address is not a valid URL.
    #[cfg(feature = "ed25519")]
    pub fn ed25519(public_url: &str) -> Result<Self, ConfigError> {
        Self::new(public_url, SignatureAlgorithm::Ed25519)
    }

    fn new(public_url: &str, algorithm: SignatureAlgorithm) -> Result<Self, ConfigError> {
        let url = PublicUrl::parse("public_url", public_url)?;
        // RFC 9421, section 2.2.3: lower case, without the default port.
        let host = url.host().to_ascii_lowercase();
        let authority = match url.port().filter(|port| *port != url.default_port()) {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Ok(Self {
            scheme: url.scheme(),
            authority,
            path: url.path().to_owned(),
            algorithm,
            required: ["@method", "@target-uri", DIGEST].map(str::to_owned).into(),
            tag: None,
        })
    }

    /// Also requires these components: `@authority`, `@scheme`, `@path`, `@query`, or names of header fields.
    #[must_use]
    pub fn require<C: Into<String>>(mut self, components: impl IntoIterator<Item = C>) -> Self {
        self.required.extend(components.into_iter().map(Into::into));
        self
    }

    /// Verifies the signature with this tag, and ignores all others.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for name in &self.required {
            if !is_component(name) {
                let remedy = "use `@method`, `@target-uri`, `@authority`, `@scheme`, `@path`, `@query`, or the name of a header field in lower case";
                return Err(ConfigError::new("require", name.escape_debug(), remedy));
            }
        }
        match &self.tag {
            Some(tag) if !is_id(tag) || tag.contains(['"', '\\']) => {
                Err(ConfigError::new("tag", tag.escape_debug(), "use visible ASCII without quotes"))
            }
            _ => Ok(()),
        }
    }
}

impl Scheme for HttpSignatures {
    fn name(&self) -> &str {
        "http-signatures"
    }

    fn is_dated(&self) -> bool {
        true
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        match self.algorithm {
            SignatureAlgorithm::HmacSha256 => Key::from_text(Algorithm::Sha256, secret),
            #[cfg(feature = "ed25519")]
            #[allow(clippy::disallowed_methods, reason = "the bytes of a public key")]
            SignatureAlgorithm::Ed25519 => match STANDARD.decode(secret.expose()) {
                Ok(public) => Key::ed25519(&public),
                Err(_) => Err(ConfigError::without_value(
                    "secret",
                    "use an Ed25519 public key, 32 bytes in base64",
                )),
            },
        }
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault> {
        let input = self.input(head)?;
        if self.required.iter().any(|name| !input.components.contains(&&**name)) {
            return Err(Fault::Missing("components"));
        }
        let kind = match self.algorithm {
            SignatureAlgorithm::HmacSha256 => ("hmac-sha256", Kind::Mac),
            #[cfg(feature = "ed25519")]
            SignatureAlgorithm::Ed25519 => ("ed25519", Kind::Ed25519),
        };
        if input.alg.is_some_and(|alg| alg != kind.0) {
            return Err(Fault::Mismatch);
        }
        let signatures = required(&head.headers, SIGNATURE)?;
        let signature = byte_sequences(signatures)
            .ok_or(Fault::Malformed(SIGNATURE))?
            .into_iter()
            .find(|(label, _)| *label == input.label)
            .ok_or(Fault::Missing(SIGNATURE))?;
        let signature = Signature::base64(signature.1).ok_or(Fault::Malformed(SIGNATURE))?;
        let created = input.created.ok_or(Fault::Missing("created"))?;
        let mut presented = SignatureHeaders::only(signature.of_kind(kind.1)).named(input.nonce);
        presented.timestamp = Some(Timestamp::in_seconds(created, "created")?);
        presented.expires =
            input.expires.map(|expires| Timestamp::in_seconds(expires, "expires")).transpose()?;
        presented.key_id = Some(input.keyid.ok_or(Fault::Missing("keyid"))?);
        Ok(presented)
    }

    fn messages<'r>(
        &'r self,
        _: &SignatureHeaders<'r>,
        head: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        check_digest(required(&head.headers, DIGEST)?, body)?;
        Ok(vec![vec![Cow::Owned(self.base(&self.input(head)?, head)?)]])
    }
}

impl HttpSignatures {
    /// Returns the selected member of `Signature-Input`.
    fn input<'r>(&self, head: &'r request::Parts) -> Result<Input<'r>, Fault> {
        let inputs = inputs(required(&head.headers, INPUT)?).ok_or(Fault::Malformed(INPUT))?;
        let mut meant = inputs
            .into_iter()
            .filter(|input| self.tag.as_deref().is_none_or(|tag| input.tag == Some(tag)));
        let input = meant.next().ok_or(Fault::Missing("tag"))?;
        if meant.next().is_some() {
            return Err(Fault::Malformed(INPUT));
        }
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_config_errors() {
        let example = || HttpSignatures::hmac_sha256("https://example.com").unwrap();
        for wrong in
            ["", "example.com", "ftp://a.example", "https://a.example?b", "https://u:p@a.example"]
        {
            assert_eq!(HttpSignatures::hmac_sha256(wrong).unwrap_err().setting(), "public_url");
        }
        for wrong in ["@status", "Date", "a b", ""] {
            assert_eq!(example().require([wrong]).check().unwrap_err().setting(), "require");
        }
        assert_eq!(example().tag("a\"b").check().unwrap_err().setting(), "tag");
    }
}
