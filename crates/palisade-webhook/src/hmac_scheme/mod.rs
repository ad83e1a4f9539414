//! HMACs that are described: one engine, and what users and our own schemes say of a vendor.

mod described;
mod template;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use palisade_core::{ConfigError, Secret};

pub(crate) use described::Described;

use crate::{key::Algorithm, scheme::Scheme, sign::Headers};

/// The HMAC of any other vendor, described: where the signature is, how it is written, and what is signed.
///
/// ```
/// use palisade_webhook::{Algorithm, Encoding, HmacScheme, Webhook};
///
/// // X-Acme-Signature: sha512=<base64>, of "<X-Acme-Time>:<body>"
/// let acme = HmacScheme::new("acme", "x-acme-signature")
///     .prefix("sha512=")
///     .algorithm(Algorithm::Sha512)
///     .encoding(Encoding::Base64)
///     .signs("{timestamp}:{body}")
///     .timestamp_header("x-acme-time");
///
/// let layer = Webhook::hmac(acme, "a secret that acme and we share").build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
///
/// A vendor that signs no time says so with [`without_timestamp`](HmacScheme::without_timestamp): a description that
/// says neither is refused, because what somebody has seen once could then be sent for ever, and nobody had decided so.
#[derive(Clone, Debug)]
pub struct HmacScheme {
    name: String,
    signature: String,
    prefix: String,
    algorithm: Algorithm,
    encoding: Encoding,
    signs: String,
    timestamp: Option<Time>,
    in_millis: bool,
    undated: bool,
    id: Option<String>,
    id_in_json: Option<String>,
    vendor: Vendor,
}

/// Where the time is.
#[derive(Clone, Debug)]
enum Time {
    Header(String),
    /// In the signature's header, which is a list of names and values.
    Pair {
        separator: char,
        timestamp: String,
        signature: String,
    },
}

/// What only one vendor does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vendor {
    /// What is no secret of theirs although it looks like one.
    pub(crate) check_secret: fn(&Secret) -> Result<(), ConfigError>,
    /// What is answered in place of the handler.
    pub(crate) reply: fn(&[u8]) -> Option<Response<Bytes>>,
}

impl Default for Vendor {
    fn default() -> Self {
        Self { check_secret: |_| Ok(()), reply: |_| None }
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// The standard alphabet of base64, with padding.
    Base64,
}

impl HmacScheme {
    /// A scheme of this name, whose signature is in this header: the HMAC-SHA-256 of the body in hexadecimal, unless
    /// more is said.
    pub fn new(name: impl Into<String>, signature_header: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            signature: signature_header.into(),
            prefix: String::new(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            signs: "{body}".to_owned(),
            timestamp: None,
            in_millis: false,
            undated: false,
            id: None,
            id_in_json: None,
            vendor: Vendor::default(),
        }
    }

    /// What stands in front of the signature, such as `sha256=`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The hash of the HMAC; SHA-256 unless said otherwise.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How the signature is written; hexadecimal unless said otherwise.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// What is signed: text with `{body}` once, and `{timestamp}` and `{id}` where it is said where they are.
    #[must_use]
    pub fn signs(mut self, template: impl Into<String>) -> Self {
        self.signs = template.into();
        self
    }

    /// The header that has the time, in seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_header(mut self, name: impl Into<String>) -> Self {
        self.timestamp = Some(Time::Header(name.into()));
        self
    }

    /// The signature's header is a list of names and values, in which these are those of the time and of signatures, of
    /// which there may be up to 10. Other names are passed over.
    ///
    /// ```
    /// use palisade_webhook::{HmacScheme, Webhook};
    ///
    /// // Acme-Signature: ts=1614265330;h1=<hexadecimal>, of "<ts>:<body>"
    /// let acme = HmacScheme::new("acme", "acme-signature").pairs(';', "ts", "h1").signs("{timestamp}:{body}");
    /// let layer = Webhook::hmac(acme, "a secret that acme and we share").build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn pairs(
        mut self,
        separator: char,
        timestamp: impl Into<String>,
        signature: impl Into<String>,
    ) -> Self {
        let (timestamp, signature) = (timestamp.into(), signature.into());
        self.timestamp = Some(Time::Pair { separator, timestamp, signature });
        self
    }

    /// The time is in milliseconds.
    #[must_use]
    pub fn timestamp_in_millis(mut self) -> Self {
        self.in_millis = true;
        self
    }

    /// The vendor signs no time.
    #[must_use]
    pub fn without_timestamp(mut self) -> Self {
        self.undated = true;
        self
    }

    /// The header that has the sender's name for the delivery. It must be there if `{id}` is signed.
    #[must_use]
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The body is a JSON object, and this member of it the sender's name for the delivery, where no header says it.
    #[must_use]
    pub fn id_in_json(mut self, member: impl Into<String>) -> Self {
        self.id_in_json = Some(member.into());
        self
    }

    pub(crate) fn with_vendor(mut self, vendor: Vendor) -> Self {
        self.vendor = vendor;
        self
    }

    /// The headers of a request with this body, sent at this time since the Unix epoch, and of this name where a header
    /// has it. An id that is not signed may be empty, and is then left out.
    ///
    /// # Errors
    ///
    /// For a description or a secret that [`Webhook::hmac`](crate::Webhook::hmac) refuses, and an id that is not 1 to
    /// 256 visible ASCII characters.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_webhook::HmacScheme;
    ///
    /// let acme = HmacScheme::new("acme", "x-acme-signature").without_timestamp();
    /// let headers = acme.sign("a secret that acme and we share", "", Duration::ZERO, b"hello")?;
    /// assert_eq!(headers["x-acme-signature"].len(), 64);
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn sign(
        &self,
        secret: impl Into<Secret>,
        id: &str,
        timestamp: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        let scheme = Described::new(self)?;
        let id_is_left_out = id.is_empty() && !scheme.signs_id();
        if scheme.id.is_some() && !id_is_left_out && !scheme.is_id(id) {
            let remedy = "use 1 to 256 visible ASCII characters, and not the one that follows it in the template";
            return Err(ConfigError::new("id", id.escape_debug(), remedy));
        }
        let time = match self.in_millis {
            true => timestamp.as_millis().to_string(),
            false => timestamp.as_secs().to_string(),
        };
        let tag = scheme.key(&secret.into())?.tag_of(&scheme.template.message(id, &time, body));
        let tag = scheme.written(&tag);
        let signature = match &self.timestamp {
            Some(Time::Pair { separator, timestamp, signature }) => {
                format!("{timestamp}={time}{separator}{signature}={tag}")
            }
            _ => tag,
        };
        let mut headers = Headers::new().with(&scheme.signature, signature);
        if let Some(name) = scheme.timestamp_header() {
            headers = headers.with(name, time);
        }
        if let Some(name) = scheme.id.as_ref().filter(|_| !id_is_left_out) {
            headers = headers.with(name, id.to_owned());
        }
        Ok(headers.done())
    }
}
