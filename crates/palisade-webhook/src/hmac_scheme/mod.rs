//! HMAC schemes by description: one engine for the built-in vendors and those of users.

mod described;
mod template;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use palisade_core::{ConfigError, Secret};

pub(crate) use described::Described;

use crate::{key::Algorithm, scheme::Scheme, sign::Headers};

/// Describes the HMAC of any other vendor: the header, its encoding, and the signed content.
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
/// A description needs a timestamp or [`without_timestamp`](HmacScheme::without_timestamp). Without a timestamp a captured
/// request can be repeated forever, which must be an explicit choice.
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

/// The place of the timestamp.
#[derive(Clone, Debug)]
enum Time {
    Header(String),
    /// In the signature header, which is a list of names and values.
    Pair {
        separator: char,
        timestamp: String,
        signature: String,
    },
}

/// Special cases of single vendors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vendor {
    /// Detects a value that looks like a secret of the vendor but is not.
    pub(crate) check_secret: fn(&Secret) -> Result<(), ConfigError>,
    /// Returns a response that replaces the handler's.
    pub(crate) reply: fn(&[u8]) -> Option<Response<Bytes>>,
}

impl Default for Vendor {
    fn default() -> Self {
        Self { check_secret: |_| Ok(()), reply: |_| None }
    }
}

/// The encoding of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// The standard alphabet of base64, with padding.
    Base64,
}

impl HmacScheme {
    /// Creates a scheme with this name and signature header. Default: the HMAC-SHA-256 of the body, in hexadecimal.
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

    /// Sets the prefix of the signature, such as `sha256=`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the hash of the HMAC. Default: SHA-256.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the encoding of the signature. Default: hexadecimal.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets the signed content: text with `{body}` once, and optionally `{timestamp}` and `{id}`, whose places are configured
    /// too. Default: `{body}`.
    #[must_use]
    pub fn signs(mut self, template: impl Into<String>) -> Self {
        self.signs = template.into();
        self
    }

    /// Sets the header that contains the time, in seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_header(mut self, name: impl Into<String>) -> Self {
        self.timestamp = Some(Time::Header(name.into()));
        self
    }

    /// Declares the signature header as a list of names and values, with the names of the time and of up to 10 signatures.
    /// Other names are ignored.
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

    /// Reads the time in milliseconds instead of seconds.
    #[must_use]
    pub fn timestamp_in_millis(mut self) -> Self {
        self.in_millis = true;
        self
    }

    /// Declares that the vendor signs no timestamp.
    #[must_use]
    pub fn without_timestamp(mut self) -> Self {
        self.undated = true;
        self
    }

    /// Sets the header that contains the id of the delivery. It is required if `{id}` is signed.
    #[must_use]
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Reads the id of the delivery from this member of a JSON object, if no header contains it.
    #[must_use]
    pub fn id_in_json(mut self, member: impl Into<String>) -> Self {
        self.id_in_json = Some(member.into());
        self
    }

    pub(crate) fn with_vendor(mut self, vendor: Vendor) -> Self {
        self.vendor = vendor;
        self
    }

    /// Returns the headers of a request with this body and id, sent at this time since the Unix epoch. An unsigned id may be
    /// empty, and is then omitted.
    ///
    /// # Errors
    ///
    /// If [`Webhook::hmac`](crate::Webhook::hmac) rejects the description or the secret, or if the id is not 1 to 256 visible
    /// ASCII characters.
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
