//! The digest of a body (RFC 9530).

use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::fields::byte_sequences;
use crate::{fault::Fault, signature::Signature};

pub(super) const DIGEST: &str = "content-digest";

/// Verifies `Content-Digest` (RFC 9530, section 2): every digest of a known algorithm must match, and there must be one.
pub(super) fn check_digest(value: &str, body: &[u8]) -> Result<(), Fault> {
    let mut known = false;
    for (name, base64) in byte_sequences(value).ok_or(Fault::Malformed(DIGEST))? {
        let digest: &[u8] = match name {
            "sha-256" => &Sha256::digest(body),
            "sha-512" => &Sha512::digest(body),
            _ => continue,
        };
        let sent = Signature::base64(base64).ok_or(Fault::Malformed(DIGEST))?;
        if !bool::from(digest.ct_eq(sent.bytes())) {
            return Err(Fault::Mismatch);
        }
        known = true;
    }
    if known { Ok(()) } else { Err(Fault::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::to_base64;

    #[test]
    fn the_digest_of_rfc_9530() {
        let body = br#"{"hello": "world"}"#;
        let sha256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        assert_eq!(check_digest(sha256, body), Ok(()));
        assert_eq!(check_digest(sha256, b"{}"), Err(Fault::Mismatch));
        assert_eq!(check_digest(&format!("md5=:AA==:, {sha256}"), body), Ok(()));
        let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!(check_digest(empty, b""), Ok(()));
        let one_wrong = format!("{sha256},sha-512=:{}:", to_base64(&[0; 64]));
        for mismatch in [&*one_wrong, "md5=:AA==:"] {
            assert_eq!(check_digest(mismatch, body), Err(Fault::Mismatch), "{mismatch}");
        }
        for wrong in [
            "",
            "sha-256",
            "sha-256=X",
            "sha-256=:!:",
            "SHA-256=:AA==:",
            &format!("{sha256},{sha256}"),
        ] {
            assert_eq!(check_digest(wrong, body), Err(Fault::Malformed(DIGEST)), "{wrong}");
        }
    }
}
