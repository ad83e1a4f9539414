use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, request};
use palisade_core::{ConfigError, Secret};

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Presented, Scheme, is_id, sole},
    signature::{Signature, to_base64, to_hex},
    timestamp::Timestamp,
};

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
    timestamp: Option<String>,
    in_millis: bool,
    undated: bool,
    id: Option<String>,
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

    /// What is signed: text with `{body}` once, and `{timestamp}` and `{id}` where the headers for them are named.
    #[must_use]
    pub fn signs(mut self, template: impl Into<String>) -> Self {
        self.signs = template.into();
        self
    }

    /// The header that has the time, in seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_header(mut self, name: impl Into<String>) -> Self {
        self.timestamp = Some(name.into());
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

    /// The header that has the sender's name for the delivery.
    #[must_use]
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The headers of a request with this body, sent at this time since the Unix epoch, and of this name where the
    /// scheme has an id.
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
        if scheme.id.is_some() && !scheme.is_id(id) {
            let remedy = "use 1 to 256 visible ASCII characters, and not the one that follows it in the template";
            return Err(ConfigError::new("id", id.escape_debug(), remedy));
        }
        let timestamp = match self.in_millis {
            true => timestamp.as_millis().to_string(),
            false => timestamp.as_secs().to_string(),
        };
        let message = scheme.message(id, &timestamp, body);
        let tag = scheme.key(&secret.into())?.tag_of(&message);
        let written = match self.encoding {
            Encoding::Hex => to_hex(&tag),
            Encoding::Base64 => to_base64(&tag),
        };
        let signature = format!("{}{written}", self.prefix);
        let fields = [
            (Some(&scheme.signature), signature),
            (scheme.timestamp.as_ref(), timestamp),
            (scheme.id.as_ref(), id.to_owned()),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let (Some(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

/// A description that makes sense.
#[derive(Debug)]
pub(crate) struct Described {
    name: String,
    signature: HeaderName,
    prefix: String,
    algorithm: Algorithm,
    encoding: Encoding,
    template: Vec<Piece>,
    timestamp: Option<HeaderName>,
    in_millis: bool,
    id: Option<HeaderName>,
    /// What ends the id in what is signed, and must therefore not be in it.
    after_id: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Timestamp,
    Id,
    Body,
}

impl Described {
    pub(crate) fn new(scheme: &HmacScheme) -> Result<Self, ConfigError> {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if scheme.name.is_empty() || !scheme.name.bytes().all(is_name_byte) {
            let remedy = "use letters, digits, `-` and `_`, such as `acme`";
            return Err(ConfigError::new("name", scheme.name.escape_debug(), remedy));
        }
        if !scheme.prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            let remedy = "use visible ASCII, such as `sha256=`";
            return Err(ConfigError::new("prefix", scheme.prefix.escape_debug(), remedy));
        }
        let template = pieces(&scheme.signs);
        let wrong = |remedy| ConfigError::new("signs", scheme.signs.escape_debug(), remedy);
        let times = |piece: &Piece| template.iter().filter(|other| *other == piece).count();
        if times(&Piece::Body) != 1 {
            return Err(wrong("name `{body}` once: what is not signed, anybody can change"));
        }
        let dated = times(&Piece::Timestamp);
        match (&scheme.timestamp, scheme.undated, dated) {
            (Some(_), false, 1) | (None, true, 0) => {}
            (Some(_), false, _) => {
                return Err(wrong(
                    "name `{timestamp}` once: a time that is not signed can be changed with the rest",
                ));
            }
            (None, true, _) | (None, false, 1..) => {
                return Err(wrong("`{timestamp}` needs `timestamp_header`"));
            }
            (None, false, 0) | (Some(_), true, _) => {
                return Err(ConfigError::without_value(
                    "timestamp",
                    "name its header with `timestamp_header`, or say `without_timestamp`: what was seen once is then valid for ever",
                ));
            }
        }
        if times(&Piece::Id) > usize::from(scheme.id.is_some()) {
            return Err(wrong("`{id}` needs `id_header`, and may be there once"));
        }
        let place = |piece| template.iter().position(|other| *other == piece);
        let after_id = match (place(Piece::Id), place(Piece::Body)) {
            (None, _) => None,
            (Some(id), body) if Some(id) < body => match template.get(id + 1) {
                Some(Piece::Text(text)) => text.bytes().next(),
                _ => {
                    return Err(wrong(
                        "put text after `{id}`: without it, the end of an id could be the beginning of the rest",
                    ));
                }
            },
            (Some(_), _) => {
                return Err(wrong(
                    "put `{id}` before `{body}`: behind it, the end of a body could be the beginning of an id",
                ));
            }
        };
        Ok(Self {
            name: scheme.name.clone(),
            signature: header_name("signature_header", &scheme.signature)?,
            prefix: scheme.prefix.clone(),
            algorithm: scheme.algorithm,
            encoding: scheme.encoding,
            timestamp: scheme
                .timestamp
                .as_ref()
                .map(|name| header_name("timestamp_header", name))
                .transpose()?,
            in_millis: scheme.in_millis,
            id: scheme.id.as_ref().map(|name| header_name("id_header", name)).transpose()?,
            template,
            after_id,
        })
    }

    fn is_id(&self, id: &str) -> bool {
        is_id(id) && !self.after_id.is_some_and(|end| id.as_bytes().contains(&end))
    }

    fn message<'r>(&'r self, id: &'r str, timestamp: &'r str, body: &'r [u8]) -> Message<'r> {
        let bytes = |piece: &'r Piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Timestamp => timestamp.as_bytes(),
            Piece::Id => id.as_bytes(),
            Piece::Body => body,
        };
        self.template.iter().map(|piece| Cow::Borrowed(bytes(piece))).collect()
    }
}

fn header_name(setting: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::try_from(name).map_err(|_| {
        ConfigError::new(
            setting,
            name.escape_debug(),
            "use the name of a header field, such as `x-acme-signature`",
        )
    })
}

fn pieces(mut template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let names = [("{timestamp}", Piece::Timestamp), ("{id}", Piece::Id), ("{body}", Piece::Body)];
    loop {
        let found =
            names.iter().filter_map(|(name, piece)| Some((template.find(name)?, *name, piece)));
        let next = found.min_by_key(|(at, _, _)| *at);
        let end = next.as_ref().map_or(template.len(), |(at, _, _)| *at);
        if end > 0 {
            pieces.push(Piece::Text(template[..end].to_owned()));
        }
        let Some((_, name, piece)) = next else { return pieces };
        pieces.push(piece.clone());
        template = &template[end + name.len()..];
    }
}

impl Scheme for Described {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_dated(&self) -> bool {
        self.timestamp.is_some()
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        Key::of_text(self.algorithm, secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault> {
        let field = |name: &HeaderName, what| {
            sole(head.headers.get_all(name).iter()).map_err(|()| Fault::Malformed(what))
        };
        let text = field(&self.signature, "signature")?.ok_or(Fault::Missing("signature"))?;
        let decode = match self.encoding {
            Encoding::Hex => Signature::hex,
            Encoding::Base64 => Signature::base64,
        };
        let signature = text.strip_prefix(&*self.prefix).and_then(decode);
        let mut presented = Presented::only(signature.ok_or(Fault::Malformed("signature"))?);
        if let Some(name) = &self.timestamp {
            let text = field(name, "timestamp")?.ok_or(Fault::Missing("timestamp"))?;
            let read = if self.in_millis { Timestamp::in_millis } else { Timestamp::in_seconds };
            presented = presented.at(read(text, "timestamp")?);
        }
        if let Some(name) = &self.id {
            let id = field(name, "id")?.ok_or(Fault::Missing("id"))?;
            if !self.is_id(id) {
                return Err(Fault::Malformed("id"));
            }
            presented = presented.named(Some(id));
        }
        Ok(presented)
    }

    fn messages<'r>(
        &'r self,
        presented: &Presented<'r>,
        _: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        let timestamp = presented.timestamp.map_or("", |timestamp| timestamp.text);
        Ok(vec![self.message(presented.id.unwrap_or_default(), timestamp, body)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(scheme: &HmacScheme) -> Result<Described, ConfigError> {
        Described::new(scheme)
    }

    fn acme() -> HmacScheme {
        HmacScheme::new("acme", "x-sig")
    }

    #[test]
    fn a_template_is_text_and_three_names() {
        use Piece::{Body, Id, Text, Timestamp};
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(pieces("v0:{timestamp}:{body}"), [text("v0:"), Timestamp, text(":"), Body]);
        assert_eq!(pieces("{id}{{body}}{x}"), [Id, text("{"), Body, text("}{x}")]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn a_description_says_what_is_dated_and_signs_it() {
        assert!(described(&acme().without_timestamp()).is_ok());
        let dated = || acme().timestamp_header("x-time");
        assert!(described(&dated().signs("{timestamp}.{body}")).is_ok());
        for (wrong, setting) in [
            (acme(), "timestamp"),
            (dated().signs("{timestamp}.{body}").without_timestamp(), "timestamp"),
            (dated(), "signs"),
            (dated().signs("{timestamp}{timestamp}{body}"), "signs"),
            (acme().signs("{timestamp}.{body}"), "signs"),
            (acme().signs("{timestamp}.{body}").without_timestamp(), "signs"),
            (acme().signs("hello").without_timestamp(), "signs"),
            (acme().signs("{body}{body}").without_timestamp(), "signs"),
            (acme().signs("{id}.{body}").without_timestamp(), "signs"),
            (acme().id_header("x-id").signs("{id}{body}").without_timestamp(), "signs"),
            (acme().id_header("x-id").signs("{body}.{id}").without_timestamp(), "signs"),
        ] {
            assert_eq!(described(&wrong).unwrap_err().setting(), setting, "{wrong:?}");
        }
    }

    #[test]
    fn names_are_names() {
        let none = || acme().without_timestamp();
        for (wrong, setting) in [
            (HmacScheme::new("", "x-sig").without_timestamp(), "name"),
            (HmacScheme::new("a\"b", "x-sig").without_timestamp(), "name"),
            (HmacScheme::new("acme", "x sig").without_timestamp(), "signature_header"),
            (none().id_header("\u{e9}"), "id_header"),
            (none().prefix("a\n"), "prefix"),
            (acme().signs("{timestamp}{body}").timestamp_header(""), "timestamp_header"),
        ] {
            assert_eq!(described(&wrong).unwrap_err().setting(), setting);
        }
    }
}
