use std::{borrow::Cow, cell::RefCell, sync::Arc};

use base64::{Engine, decoded_len_estimate};
use memchr::{memchr, memrchr};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub(super) use super::fault::Fault;
use super::{algorithm::Algorithm, base64url::DECODER, jwk::MAX_KID, members};

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
    pub(super) message: &'a [u8],
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Arc<str>>,
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
        let dot = memrchr(b'.', token).ok_or(Fault::Malformed)?;
        let (message, signature) = (&token[..dot], &token[dot + 1..]);
        let (header, payload) = match ReadHeaders::find(message) {
            Some(found) => found,
            None => {
                let dot = memchr(b'.', message).ok_or(Fault::Malformed)?;
                let (part, payload) = (&message[..dot], &message[dot + 1..]);
                let buffer = buffer.with_length(decoded_len_estimate(part.len()));
                let header = read_header(decode(part, buffer)?.0)?;
                ReadHeaders::add(&message[..=dot], &header);
                (header, payload)
            }
        };
        let lengths = [payload.len(), signature.len()].map(decoded_len_estimate);
        let buffer = buffer.with_length(lengths.iter().sum());
        let (payload, rest) = decode(payload, buffer)?;
        let (signature, _) = decode(signature, rest)?;
        Ok(Self { message, header, payload, signature })
    }
}

/// The headers that a thread has read last: an issuer gives all of its tokens the same one. The next token with it costs a
/// comparison, instead of parsing it twice. This says nothing about whether a token is valid.
#[derive(Default)]
struct ReadHeaders {
    headers: [Option<(Box<[u8]>, Header)>; 4],
    /// The position that is replaced next.
    oldest: usize,
}

thread_local! {
    static READ_HEADERS: RefCell<ReadHeaders> = RefCell::default();
}

impl ReadHeaders {
    /// The longest part that is kept, in bytes. Headers with certificates are longer.
    const MAX_PART: usize = 512;

    /// Returns the header of a token, and the rest of the message after it.
    fn find(message: &[u8]) -> Option<(Header, &[u8])> {
        let find = |read: &RefCell<Self>| {
            let read = read.borrow();
            let mut headers = read.headers.iter().flatten();
            headers.find_map(|(part, header)| {
                let rest = message.strip_prefix(&**part)?;
                Some((header.clone(), rest))
            })
        };
        READ_HEADERS.try_with(find).ok().flatten()
    }

    /// Keeps a header by its part of the token, which ends with a dot.
    fn add(part: &[u8], header: &Header) {
        if part.len() > Self::MAX_PART {
            return;
        }
        let _ = READ_HEADERS.try_with(|read| {
            let read = &mut *read.borrow_mut();
            read.headers[read.oldest] = Some((part.into(), header.clone()));
            read.oldest = (read.oldest + 1) % read.headers.len();
        });
    }
}

/// Decodes a part to the start of a buffer. Returns it, and the rest of the buffer.
fn decode<'b>(part: &[u8], buffer: &'b mut [u8]) -> Result<(&'b [u8], &'b mut [u8]), Fault> {
    // No padding, no white space, no trailing bits: one spelling for each value. A dot is not of the alphabet either.
    let length = DECODER.decode_slice(part, buffer).map_err(|_| Fault::Malformed)?;
    let (decoded, rest) = buffer.split_at_mut(length);
    Ok((decoded, rest))
}

fn read_header(header: &[u8]) -> Result<Header, Fault> {
    members::check(header).map_err(Fault::header)?;
    let header: Members<'_> = serde_json::from_slice(header).map_err(Fault::header)?;
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
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn header_that_was_read_before_is_read_alike() {
        let parse = |token: &str| {
            let mut buffer = Buffer::new();
            let unverified = Unverified::parse(token.as_bytes(), &mut buffer)?;
            Ok::<_, Fault>((unverified.header, unverified.payload.to_vec()))
        };
        let part = |number: u32| {
            let header = format!(r#"{{"alg":"RS256","kid":"key {number}","typ":"at+jwt"}}"#);
            URL_SAFE_NO_PAD.encode(header)
        };
        // more headers than are kept, twice
        for number in (0..6).chain(0..6) {
            for _ in 0..2 {
                let (header, payload) = parse(&format!("{}.e30.AAAA", part(number))).unwrap();
                assert_eq!(header.kid.as_deref(), Some(&*format!("key {number}")));
                assert_eq!(header.algorithm, Algorithm::Rs256);
                assert_eq!(header.token_type, TokenType::AccessToken);
                assert_eq!(payload, b"{}");
            }
            // the header alone, one with more after it, and one part more
            for wrong in ["", ".AAAA", "AAAA.e30.AAAA", ".e30.e30.AAAA"] {
                assert!(parse(&format!("{}{wrong}", part(number))).is_err(), "{wrong}");
            }
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
