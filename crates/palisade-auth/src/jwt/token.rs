use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

use super::{algorithm::Algorithm, jwk::MAX_KID, no_duplicates::NoDuplicates};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Why a token was refused: for the log, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLong,
    Malformed,
    Header,
    Algorithm,
    Critical,
    Type,
    UnknownKey,
    AmbiguousKey,
    Signature,
    KnownBad,
    Claims,
    Expired,
    NotYetValid,
    IssuedInFuture,
    TooOld,
    LivesTooLong,
    Issuer,
    Audience,
    Subject,
    AccessToken,
}

#[cfg(feature = "jwks")]
impl Fault {
    /// Returns true if the token may be signed with a newer key than the one that it was checked with: the issuer may
    /// have replaced a key under the same `kid`, by one for another algorithm too.
    pub(super) fn may_be_an_older_key(self) -> bool {
        matches!(self, Self::Signature | Self::KnownBad | Self::Algorithm)
    }
}

/// What a token must say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// A JWT, whatever for: `typ` is absent, `JWT` or `at+jwt`.
    Plain,
    /// An access token of RFC 9068. An ID token is none.
    AccessToken,
}

/// A token in its parts. Nothing in it is true yet.
pub(super) struct Unverified<'a> {
    /// What the signature is over.
    pub(super) message: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The members of a JOSE header that we understand. `jwk`, `jku`, `x5u` and `x5c` are not looked at: a token does not
/// bring its own key.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// Takes bytes apart. Whatever is not base64url and dots fails, so that the form needs no check of its own.
    pub(super) fn of(token: &'a [u8], profile: Profile) -> Result<Self, Fault> {
        let text = std::str::from_utf8(token).map_err(|_| Fault::Malformed)?;
        Self::parse(text, profile)
    }

    /// Takes a token apart (RFC 7515, section 5.2, steps 1 to 7).
    pub(super) fn parse(token: &'a str, profile: Profile) -> Result<Self, Fault> {
        if token.len() > MAX_TOKEN {
            return Err(Fault::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Fault::Malformed)?;
        if payload.contains('.') {
            return Err(Fault::Malformed);
        }
        let (algorithm, kid) = match usual_header(header, profile) {
            Some(algorithm) => (algorithm, None),
            None => read_header(&decode(header)?, profile)?,
        };
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        Ok(Self { message, algorithm, kid, payload, signature })
    }
}

/// What most HS256 tokens begin with: a header of `alg` and `typ`, spelled as nearly every library does.
fn usual_header(header: &str, profile: Profile) -> Option<Algorithm> {
    let usual = header == "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        || header == "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
    (usual && profile == Profile::Plain).then_some(Algorithm::Hs256)
}

fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    // No padding, no white space, no trailing bits: one spelling for each value.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed)
}

fn read_header(header: &[u8], profile: Profile) -> Result<(Algorithm, Option<Box<str>>), Fault> {
    NoDuplicates::check(header).map_err(|_| Fault::Header)?;
    let header: Header<'_> = serde_json::from_slice(header).map_err(|_| Fault::Header)?;
    let algorithm = Algorithm::from_name(&header.alg).ok_or(Fault::Algorithm)?;
    // RFC 7515, section 4.1.11: an extension that must be understood, and we understand none.
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
        return Err(Fault::Header);
    }
    let typ = header.typ.as_deref().map(media_subtype);
    let is = |known: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(known));
    let fits = match profile {
        Profile::Plain => typ.is_none() || is("jwt") || is("at+jwt"),
        Profile::AccessToken => is("at+jwt"),
    };
    if fits { Ok((algorithm, header.kid.map(Into::into))) } else { Err(Fault::Type) }
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
    fn the_usual_headers_are_read_as_any_other_is() {
        for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"typ":"JWT","alg":"HS256"}"#] {
            let encoded = URL_SAFE_NO_PAD.encode(header);
            assert_eq!(usual_header(&encoded, Profile::Plain), Some(Algorithm::Hs256));
            let read = read_header(header.as_bytes(), Profile::Plain);
            assert_eq!(read, Ok((Algorithm::Hs256, None)));
            assert_eq!(usual_header(&encoded, Profile::AccessToken), None);
        }
    }
}
