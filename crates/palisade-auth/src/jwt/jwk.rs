use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use palisade_core::Secret;
use serde::Deserialize;

#[cfg(feature = "asymmetric")]
use super::algorithm::Family;
use super::{
    algorithm::Algorithm,
    key::{Unusable, VerifyingKey},
    key_set::{Entry, KeySet},
};

/// The most keys that a set may hold.
const MAX_KEYS: usize = 100;

/// The longest key id, in bytes.
pub(super) const MAX_KID: usize = 256;

/// A key as JSON (RFC 7517). Members that are not understood are ignored, and so are whole keys of other types: one
/// new kind of key must not shut out all others.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    #[cfg_attr(not(feature = "asymmetric"), allow(dead_code))]
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<SymmetricValue>,
}

/// The value of a symmetric key. It must not be printed.
#[derive(Deserialize)]
struct SymmetricValue(String);

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// Where a key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Out of the configuration: it may be a secret.
    Configured,
    /// From elsewhere. A secret that anybody can fetch is none.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    Fetched,
}

/// The usable keys of a set.
pub(super) fn read_set(json: &[u8], origin: Origin) -> Result<KeySet, Unusable> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|_| Unusable("it is no JWK set"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(Unusable("it has more than 100 keys"));
    }
    let id = |key: &serde_json::Value| key.get("kid")?.as_str().map(Into::into);
    let ids = set.keys.iter().filter_map(id).collect();
    let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let entries = keys.flat_map(|key| key.entries(origin).unwrap_or_default()).collect();
    Ok(KeySet::new(entries, ids))
}

/// One key.
pub(super) fn read_one(json: &[u8], origin: Origin) -> Result<KeySet, Unusable> {
    let key: Jwk = serde_json::from_slice(json).map_err(|_| Unusable("it is no JWK"))?;
    let ids = key.kid.iter().map(|kid| kid.as_str().into()).collect();
    Ok(KeySet::new(key.entries(origin)?, ids))
}

impl Jwk {
    /// The key, once for each algorithm that it may be used with.
    fn entries(&self, origin: Origin) -> Result<Vec<Entry>, Unusable> {
        let is_for_signatures = self.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return Err(Unusable("it is not for verifying signatures"));
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Unusable("its kid is longer than 256 bytes"));
        }
        let mut algorithms = self.fitting(origin)?;
        if let Some(alg) = &self.alg {
            let named = Algorithm::from_name(alg).filter(|alg| algorithms.contains(alg));
            algorithms = vec![named.ok_or(Unusable("its alg is not one of its type"))?];
        }
        let mut entries = Vec::new();
        for (at, algorithm) in algorithms.into_iter().enumerate() {
            let kid = self.kid.as_deref().map(Into::into);
            match self.key(algorithm) {
                Ok(key) => entries.push(Entry { kid, key, is_usual: at == 0 }),
                // A secret may be long enough for one hash and too short for another.
                Err(_) if at > 0 => {}
                Err(unusable) => return Err(unusable),
            }
        }
        Ok(entries)
    }

    /// The algorithms of the key's type, the usual one first.
    fn fitting(&self, origin: Origin) -> Result<Vec<Algorithm>, Unusable> {
        #[cfg(feature = "asymmetric")]
        {
            use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
            match (self.kty.as_str(), self.crv.as_deref()) {
                ("RSA", _) => return Ok(vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]),
                ("EC", Some("P-256")) => return Ok(vec![Es256]),
                ("EC", Some("P-384")) => return Ok(vec![Es384]),
                ("OKP", Some("Ed25519")) => return Ok(vec![EdDsa]),
                _ => {}
            }
        }
        match self.kty.as_str() {
            "oct" if origin == Origin::Configured => {
                Ok(vec![Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512])
            }
            "oct" => Err(Unusable("a secret that was fetched is no secret")),
            _ => Err(Unusable("its kty or crv is not known")),
        }
    }

    #[cfg(feature = "asymmetric")]
    fn key(&self, algorithm: Algorithm) -> Result<VerifyingKey, Unusable> {
        match algorithm.family() {
            Family::Hmac => self.secret(algorithm),
            Family::Rsa => {
                VerifyingKey::rsa(algorithm, &decode(self.n.as_ref())?, &decode(self.e.as_ref())?)
            }
            Family::P256 | Family::P384 => {
                VerifyingKey::point(algorithm, &decode(self.x.as_ref())?, &decode(self.y.as_ref())?)
            }
            Family::Ed25519 => VerifyingKey::ed25519(&decode(self.x.as_ref())?),
        }
    }

    #[cfg(not(feature = "asymmetric"))]
    fn key(&self, algorithm: Algorithm) -> Result<VerifyingKey, Unusable> {
        let _ = (&self.n, &self.e, &self.x, &self.y);
        self.secret(algorithm)
    }

    fn secret(&self, algorithm: Algorithm) -> Result<VerifyingKey, Unusable> {
        let secret = Secret::from(decode(self.k.as_ref().map(|SymmetricValue(k)| k))?);
        VerifyingKey::secret(algorithm, &secret).map_err(|_| Unusable("its secret is too short"))
    }
}

fn decode(member: Option<&String>) -> Result<Vec<u8>, Unusable> {
    let member = member.ok_or(Unusable("a member is missing"))?;
    URL_SAFE_NO_PAD.decode(member).map_err(|_| Unusable("a member is not base64url"))
}
