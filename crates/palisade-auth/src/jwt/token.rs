use std::borrow::Cow;

use base64::{Engine, decoded_len_estimate, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub(super) use super::fault::Fault;
use super::{algorithm::Algorithm, jwk::MAX_KID, no_duplicates::NoDuplicates};

/// The longest token that is parsed, in bytes.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;

/// What the header's `typ` says about a token. Tokens of any other type, such as `logout+jwt`, are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// `typ` is absent or `JWT`.
    Jwt,
    /// `at+jwt`: an access token of RFC 9068.
    AccessToken,
}

/// A token in its parts, none of which is verified.
pub(super) struct Unverified<'a> {
    /// The part that the signature covers.
    pub(super) message: &'a str,
    pub(super) header: Header,
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// The memory for the decoded parts of a token: that of a token of usual size is on the stack.
pub(super) struct Buffer {
    inline: [u8; 1024],
    heap: Vec<u8>,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { inline: [0; 1024], heap: Vec::new() }
    }

    fn with_length(&mut self, length: usize) -> &mut [u8] {
        if length <= self.inline.len() {
            return &mut self.inline;
        }
        self.heap.resize(length, 0);
        &mut self.heap
    }
}

/// The header of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    pub(super) token_type: TokenType,
}

/// The members of a JOSE header that we understand. `jwk`, `jku`, `x5u` and `x5c` are not looked at: a token does not
/// bring its own key.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Option<Text<'a>>,
    #[serde(borrow)]
    kid: Option<Text<'a>>,
    #[serde(default)]
    crit: IsPresent,
}

/// A text that is borrowed if it has no escapes. An option of a `Cow` would not be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// True for a member of any value, also `null`.
#[derive(Default)]
struct IsPresent(bool);

impl<'de> Deserialize<'de> for IsPresent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl<'a> Unverified<'a> {
    /// Splits and decodes a token (RFC 7515, section 5.2, steps 1 to 7).
    pub(super) fn parse(token: &'a [u8], buffer: &'a mut Buffer) -> Result<Self, Fault> {
        if token.len() > MAX_TOKEN {
            return Err(Fault::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Fault::Malformed)?;
        let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Fault::Malformed)?;
        if payload.contains('.') {
            return Err(Fault::Malformed);
        }
        let header = match usual_header(header) {
            Some(header) => header,
            None => {
                let buffer = buffer.with_length(decoded_len_estimate(header.len()));
                read_header(decode(header, buffer)?.0)?
            }
        };
        let lengths = [payload.len(), signature.len()].map(decoded_len_estimate);
        let buffer = buffer.with_length(lengths.iter().sum());
        let (payload, rest) = decode(payload, buffer)?;
        let (signature, _) = decode(signature, rest)?;
        Ok(Self { message, header, payload, signature })
    }
}

/// Recognises the header of most HS256 tokens: `alg` and `typ`, spelled as nearly every library does.
fn usual_header(header: &str) -> Option<Header> {
    let usual = header == "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        || header == "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
    usual.then_some(Header { algorithm: Algorithm::Hs256, kid: None, token_type: TokenType::Jwt })
}

/// Decodes a part to the start of a buffer. Returns it, and the rest of the buffer.
fn decode<'b>(part: &str, buffer: &'b mut [u8]) -> Result<(&'b [u8], &'b mut [u8]), Fault> {
    // No padding, no white space, no trailing bits: one spelling for each value.
    let length = URL_SAFE_NO_PAD.decode_slice(part, buffer).map_err(|_| Fault::Malformed)?;
    let (decoded, rest) = buffer.split_at_mut(length);
    Ok((decoded, rest))
}

fn read_header(header: &[u8]) -> Result<Header, Fault> {
    NoDuplicates::check(header).map_err(|error| Fault::header(&error))?;
    let header: Members<'_> =
        serde_json::from_slice(header).map_err(|error| Fault::header(&error))?;
    let algorithm = Algorithm::from_name(&header.alg).ok_or(Fault::Algorithm)?;
    // RFC 7515, section 4.1.11: the sender requires extensions that we do not implement.
    if header.crit.0 {
        return Err(Fault::Critical);
    }
    if header.kid.as_ref().is_some_and(|kid| kid.0.len() > MAX_KID) {
        return Err(Fault::KeyIdTooLong);
    }
    let token_type = match header.typ.as_ref().map(|typ| media_subtype(&typ.0)) {
        None => TokenType::Jwt,
        Some(typ) if typ.eq_ignore_ascii_case("jwt") => TokenType::Jwt,
        Some(typ) if typ.eq_ignore_ascii_case("at+jwt") => TokenType::AccessToken,
        Some(_) => return Err(Fault::Type),
    };
    Ok(Header { algorithm, kid: header.kid.map(|kid| kid.0.into()), token_type })
}

/// `typ` may leave out `application/` (RFC 7515, section 4.1.9).
fn media_subtype(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_path_for_common_headers_agrees_with_the_parser() {
        for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"typ":"JWT","alg":"HS256"}"#] {
            let usual = usual_header(&URL_SAFE_NO_PAD.encode(header)).unwrap();
            assert_eq!(read_header(header.as_bytes()).unwrap(), usual);
        }
    }

    #[test]
    fn token_type_may_omit_the_application_prefix() {
        let read = |typ: &str| {
            let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
            read_header(header.as_bytes()).map(|header| header.token_type)
        };
        for typ in ["JWT", "jwt", "application/jwt", "Application/JWT"] {
            assert_eq!(read(typ).unwrap(), TokenType::Jwt, "{typ}");
        }
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+JWT"] {
            assert_eq!(read(typ).unwrap(), TokenType::AccessToken, "{typ}");
        }
        for typ in [
            "",
            "application/",
            "text/at+jwt",
            "xpplication/at+jwt",
            "application+jwt",
            "applications/at+jwt",
            "application/application/at+jwt",
            "at+jwt ",
            "logout+jwt",
            "secevent+jwt",
            "dpop+jwt",
            "JOSE",
        ] {
            assert!(matches!(read(typ), Err(Fault::Type)), "{typ}");
        }
    }

    #[test]
    fn critical_parameters_of_any_value_are_rejected() {
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "false", r#""""#, "{}"] {
            let header = format!(r#"{{"alg":"HS256","crit":{crit}}}"#);
            assert!(matches!(read_header(header.as_bytes()), Err(Fault::Critical)), "{crit}");
        }
        assert!(read_header(br#"{"alg":"HS256"}"#).is_ok());
    }

    #[test]
    fn tokens_and_key_ids_are_capped() {
        let with_kid =
            |length: usize| format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(length));
        assert_eq!(read_header(with_kid(256).as_bytes()).unwrap().kid.unwrap().len(), 256);
        assert!(matches!(read_header(with_kid(257).as_bytes()), Err(Fault::KeyIdTooLong)));

        let prefix = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.";
        let token = |length: usize| format!("{prefix}{}", "A".repeat(length - prefix.len()));
        assert!(Unverified::parse(token(8192).as_bytes(), &mut Buffer::new()).is_ok());
        assert!(matches!(
            Unverified::parse(token(8193).as_bytes(), &mut Buffer::new()),
            Err(Fault::TooLong)
        ));
    }
}
