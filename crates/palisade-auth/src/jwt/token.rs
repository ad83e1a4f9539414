use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::no_duplicates::NoDuplicates;

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
    Signature,
    Claims,
    Expired,
    NotYetValid,
    IssuedInFuture,
    Issuer,
    Audience,
    Subject,
}

/// The members of a JOSE header that we understand. `jwk`, `jku`, `x5u` and `x5c` are not looked at: a token does not
/// bring its own key.
#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(borrow)]
    typ: Option<&'a str>,
    crit: Option<serde::de::IgnoredAny>,
}

/// Checks form and signature (RFC 7515, section 5.2) and answers the payload, which is then known to be the issuer's.
pub(super) fn verify(token: &str, key: &Hmac<Sha256>) -> Result<Vec<u8>, Fault> {
    if token.len() > MAX_TOKEN {
        return Err(Fault::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Fault::Malformed)?;
    if payload.contains('.') {
        return Err(Fault::Malformed);
    }
    let header = decode(header)?;
    let signature = decode(signature)?;
    let payload = decode(payload)?;
    check_header(&header)?;

    let mut mac = key.clone();
    mac.update(message.as_bytes());
    // Constant time, and the whole tag: a shorter one is another length and fails.
    mac.verify_slice(&signature).map_err(|_| Fault::Signature)?;
    Ok(payload)
}

fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    // No padding, no white space, no trailing bits: one spelling for each value.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed)
}

fn check_header(header: &[u8]) -> Result<(), Fault> {
    NoDuplicates::check(header).map_err(|_| Fault::Header)?;
    let header: Header<'_> = serde_json::from_slice(header).map_err(|_| Fault::Header)?;
    // The algorithm is ours to choose. A header that names another is not believed, and neither is the rest.
    if header.alg != "HS256" {
        return Err(Fault::Algorithm);
    }
    // RFC 7515, section 4.1.11: an extension that must be understood, and we understand none.
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    match header.typ.map(media_subtype) {
        None => Ok(()),
        Some(typ) if ["jwt", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) => {
            Ok(())
        }
        Some(_) => Err(Fault::Type),
    }
}

/// `typ` may leave out `application/` (RFC 7515, section 4.1.9).
fn media_subtype(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    }
}
