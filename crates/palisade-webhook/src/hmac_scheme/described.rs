use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, request};
use palisade_core::{ConfigError, Secret, syntax::LowerHex};
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{
    Encoding, HmacScheme, Time, Vendor,
    template::{Name, Template},
};
use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Scheme, SignatureHeaders, is_id, sole},
    signature::{MOST, Signature, to_base64},
    timestamp::Timestamp,
};

/// A checked description: the engine of all schemes with an HMAC in a header.
#[derive(Debug)]
pub(crate) struct Described {
    name: String,
    pub(super) signature: HeaderName,
    prefix: String,
    algorithm: Algorithm,
    encoding: Encoding,
    pub(super) template: Template,
    dated: Option<TimestampSource>,
    in_millis: bool,
    pub(super) id: Option<HeaderName>,
    id_in_json: Option<String>,
    vendor: Vendor,
}

#[derive(Debug)]
enum TimestampSource {
    ByHeader(HeaderName),
    ByPair { separator: char, timestamp: String, signature: String },
}

impl Described {
    pub(crate) fn new(scheme: &HmacScheme) -> Result<Self, ConfigError> {
        if !is_name(&scheme.name) {
            let remedy = "use letters, digits, `-` and `_`, such as `acme`";
            return Err(ConfigError::new("name", scheme.name.escape_debug(), remedy));
        }
        if !scheme.prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            let remedy = "use visible ASCII, such as `sha256=`";
            return Err(ConfigError::new("prefix", scheme.prefix.escape_debug(), remedy));
        }
        let wrong = |remedy| ConfigError::new("signs", scheme.signs.escape_debug(), remedy);
        let template = Template::new(&scheme.signs).map_err(wrong)?;
        let dated = scheme.timestamp.as_ref().map(TimestampSource::new).transpose()?;
        match (&dated, scheme.undated, template.signs(Name::Timestamp)) {
            (Some(_), false, true) | (None, true, false) => {}
            (Some(_), false, false) => {
                return Err(wrong(
                    "name `{timestamp}` once: a timestamp that is not signed can be changed",
                ));
            }
            (None, _, true) => return Err(wrong("`{timestamp}` needs `timestamp_header`")),
            (None, false, false) | (Some(_), true, _) => {
                return Err(ConfigError::without_value(
                    "timestamp",
                    "name its header with `timestamp_header`, or call `without_timestamp`: a captured request is then valid forever",
                ));
            }
        }
        if template.signs(Name::Id) && scheme.id.is_none() {
            return Err(wrong("`{id}` needs `id_header`"));
        }
        Ok(Self {
            name: scheme.name.clone(),
            signature: header_name("signature_header", &scheme.signature)?,
            prefix: scheme.prefix.clone(),
            algorithm: scheme.algorithm,
            encoding: scheme.encoding,
            template,
            dated,
            in_millis: scheme.in_millis,
            id: scheme.id.as_ref().map(|name| header_name("id_header", name)).transpose()?,
            id_in_json: scheme.id_in_json.clone(),
            vendor: scheme.vendor,
        })
    }

    pub(super) fn timestamp_header(&self) -> Option<&HeaderName> {
        match &self.dated {
            Some(TimestampSource::ByHeader(name)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn signs_id(&self) -> bool {
        self.template.signs(Name::Id)
    }

    pub(super) fn is_id(&self, id: &str) -> bool {
        is_id(id) && self.template.delimits(id)
    }

    /// Returns a tag in the vendor's encoding.
    pub(super) fn written(&self, tag: &[u8]) -> String {
        let encoded = match self.encoding {
            Encoding::Hex => LowerHex(tag).to_string(),
            Encoding::Base64 => to_base64(tag),
        };
        format!("{}{encoded}", self.prefix)
    }

    fn read_signature(&self, text: &str) -> Result<Signature, Fault> {
        let decode = match self.encoding {
            Encoding::Hex => Signature::hex,
            Encoding::Base64 => Signature::base64,
        };
        text.strip_prefix(&*self.prefix).and_then(decode).ok_or(Fault::Malformed("signature"))
    }

    fn read_timestamp<'r>(&self, text: &'r str) -> Result<Timestamp<'r>, Fault> {
        let read = if self.in_millis { Timestamp::in_millis } else { Timestamp::in_seconds };
        read(text, "timestamp")
    }

    /// `t=1614265330,v1=5257a869…,v1=…`. Unknown names are ignored, and prove nothing.
    fn read_pairs<'r>(
        &self,
        pairs: &'r str,
        separator: char,
        [time, tag]: [&str; 2],
    ) -> Result<SignatureHeaders<'r>, Fault> {
        let malformed = Fault::Malformed("signature");
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for pair in pairs.split(separator) {
            match pair.split_once('=').ok_or(malformed)? {
                (name, _) if name == time && timestamp.is_some() => return Err(malformed),
                (name, text) if name == time => timestamp = Some(self.read_timestamp(text)?),
                (name, _) if name == tag && signatures.len() == MOST => return Err(malformed),
                (name, text) if name == tag => signatures.push(self.read_signature(text)?),
                (other, _) if is_name(other) => {}
                _ => return Err(malformed),
            }
        }
        if signatures.is_empty() {
            return Err(Fault::Missing("signature"));
        }
        Ok(SignatureHeaders::from_signatures(signatures).at(timestamp.ok_or(malformed)?))
    }
}

impl TimestampSource {
    fn new(time: &Time) -> Result<Self, ConfigError> {
        let (separator, timestamp, signature) = match time {
            Time::Header(name) => {
                return Ok(Self::ByHeader(header_name("timestamp_header", name)?));
            }
            Time::Pair { separator, timestamp, signature } => (*separator, timestamp, signature),
        };
        if ![',', ';', '&', ' '].contains(&separator) {
            let remedy = "use one of `,`, `;`, `&` and a space, none of which is in a signature";
            return Err(ConfigError::new("pairs", separator.escape_debug(), remedy));
        }
        if !is_name(timestamp) || !is_name(signature) || timestamp == signature {
            let remedy =
                "use two different names of letters, digits, `-` and `_`, such as `t` and `v1`";
            return Err(ConfigError::without_value("pairs", remedy));
        }
        let (timestamp, signature) = (timestamp.clone(), signature.clone());
        Ok(Self::ByPair { separator, timestamp, signature })
    }
}

fn is_name(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_name_byte)
}

fn header_name(setting: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::try_from(name).map_err(|_| {
        let remedy = "use the name of a header field, such as `x-acme-signature`";
        ConfigError::new(setting, name.escape_debug(), remedy)
    })
}

fn field<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    what: &'static str,
) -> Result<Option<&'r str>, Fault> {
    sole(headers.get_all(name).iter()).map_err(|()| Fault::Malformed(what))
}

impl Scheme for Described {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_dated(&self) -> bool {
        self.dated.is_some()
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        (self.vendor.check_secret)(secret)?;
        Key::from_text(self.algorithm, secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault> {
        let required = |name, what| field(&head.headers, name, what)?.ok_or(Fault::Missing(what));
        let text = required(&self.signature, "signature")?;
        let presented = match &self.dated {
            None => SignatureHeaders::only(self.read_signature(text)?),
            Some(TimestampSource::ByHeader(name)) => {
                let signature = self.read_signature(text)?;
                let timestamp = self.read_timestamp(required(name, "timestamp")?)?;
                SignatureHeaders::only(signature).at(timestamp)
            }
            Some(TimestampSource::ByPair { separator, timestamp, signature }) => {
                self.read_pairs(text, *separator, [timestamp, signature])?
            }
        };
        let id = match &self.id {
            Some(name) => field(&head.headers, name, "id")?,
            None => None,
        };
        match id {
            Some(id) if !self.is_id(id) => Err(Fault::Malformed("id")),
            None if self.signs_id() => Err(Fault::Missing("id")),
            id => Ok(presented.named(id)),
        }
    }

    fn messages<'r>(
        &'r self,
        presented: &SignatureHeaders<'r>,
        _: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        let timestamp = presented.timestamp.map_or("", |timestamp| timestamp.text);
        Ok(vec![self.template.message(presented.id.unwrap_or_default(), timestamp, body)])
    }

    fn id_in_body(&self, body: &[u8]) -> Option<String> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let id = json.deserialize_map(Member(self.id_in_json.as_deref()?)).ok()?;
        json.end().ok()?;
        id.filter(|id| is_id(id))
    }

    fn reply(&self, body: &[u8]) -> Option<Response<Bytes>> {
        (self.vendor.reply)(body)
    }
}

/// Returns the string of this member of an object. A duplicate member is an error, because another parser may use the other.
struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if name != self.0 {
                members.next_value::<IgnoredAny>()?;
            } else if found.replace(members.next_value()?).is_some() {
                return Err(serde::de::Error::custom("it is there twice"));
            }
        }
        Ok(found)
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
    fn description_must_sign_its_timestamp_and_id() {
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
    fn invalid_names_are_config_errors() {
        let none = || acme().without_timestamp();
        let pairs =
            |separator, t: &str, v| acme().signs("{timestamp}{body}").pairs(separator, t, v);
        for (wrong, setting) in [
            (HmacScheme::new("", "x-sig").without_timestamp(), "name"),
            (HmacScheme::new("a\"b", "x-sig").without_timestamp(), "name"),
            (HmacScheme::new("acme", "x sig").without_timestamp(), "signature_header"),
            (none().id_header("\u{e9}"), "id_header"),
            (none().prefix("a\n"), "prefix"),
            (acme().signs("{timestamp}{body}").timestamp_header(""), "timestamp_header"),
            (pairs('=', "t", "v1"), "pairs"),
            (pairs('/', "t", "v1"), "pairs"),
            (pairs(',', "t", "t"), "pairs"),
            (pairs(',', "", "v1"), "pairs"),
            (pairs(',', "t", "v=1"), "pairs"),
        ] {
            assert_eq!(described(&wrong).unwrap_err().setting(), setting);
        }
    }

    #[test]
    fn distinguishes_missing_from_malformed_signatures() {
        let pairs = acme().signs("{timestamp}.{body}").pairs(',', "t", "v1");
        let named = acme().signs("{id}.{body}").without_timestamp().id_header("x-id");
        let read = |scheme: &HmacScheme, value: &str| {
            let head = http::Request::get("/").header("x-sig", value).body(()).unwrap();
            described(scheme).unwrap().read(&head.into_parts().0).map(drop)
        };
        assert_eq!(read(&pairs, "t=1,v1=00,v1=01,v0=x"), Ok(()));
        for none_known in ["t=1", "t=1,v0=00", "t=1,V1=00"] {
            assert_eq!(read(&pairs, none_known), Err(Fault::Missing("signature")), "{none_known}");
        }
        for malformed in [
            "",
            "t",
            "v1=00",
            "t=1, v1=00",
            "t=1,v1=00,",
            "t=1,v1=00,=x",
            "t=1,v1=0,v1=00",
            "t=1;v1=00",
        ] {
            let fault = read(&pairs, malformed).unwrap_err();
            assert!(matches!(fault, Fault::Malformed(_)), "{malformed}: {fault:?}");
        }
        assert_eq!(read(&named, "00"), Err(Fault::Missing("id")));
    }

    #[test]
    fn json_id_must_be_a_single_string_member() {
        let scheme = described(&acme().without_timestamp().id_in_json("id")).unwrap();
        let id = |body: &str| scheme.id_in_body(body.as_bytes());
        assert_eq!(id(r#"{"a":{"id":"x"},"id":"evt_1","b":[]}"#).as_deref(), Some("evt_1"));
        assert_eq!(id(r#"{"\u0069d":"evt_1"}"#).as_deref(), Some("evt_1"));
        for none in [
            "",
            "{",
            "[]",
            "\"id\"",
            r#"{"id":1}"#,
            r#"{"id":null}"#,
            r#"{"id":""}"#,
            r#"{"id":"a b"}"#,
            r#"{"id":"a","id":"a"}"#,
            r#"{"ID":"a"}"#,
            r#"{"id":"a"}{"#,
            "{\"id\":\"\u{e9}\"}",
        ] {
            assert_eq!(id(none), None, "{none}");
        }
        assert_eq!(
            described(&acme().without_timestamp()).unwrap().id_in_body(br#"{"id":"a"}"#),
            None
        );
    }
}
