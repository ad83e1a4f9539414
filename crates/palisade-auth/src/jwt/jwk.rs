use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use palisade_core::Secret;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    algorithm::Algorithm,
    key::VerifyingKey,
    key_set::{Entry, KeySet, Skipped},
    unusable::{NOT_FOR_SIGNATURES, Unusable},
};
#[cfg(feature = "_public-keys")]
use super::{algorithm::Family, public_key::PublicKey};

/// The most keys that a set may hold.
const MAX_KEYS: usize = 100;

/// The longest key id, in bytes.
pub(crate) const MAX_KID: usize = 256;

/// A key as JSON (RFC 7517). Members that are not known are ignored.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<SymmetricValue>,
    /// The private part of every type of asymmetric key (RFC 7518, section 6; RFC 8037).
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
}

/// The value of a symmetric key. It has no `Debug`.
#[derive(Deserialize)]
struct SymmetricValue(String);

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// Where a key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The configuration: it may be a secret.
    Configured,
    /// Elsewhere. A secret that any client can fetch is not a secret.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    Fetched,
}

/// Reads the usable keys of a set. Keys of other types are skipped, because one new type of key must not make all others
/// unusable. A private key in the configuration is an error: it has to be removed from this machine.
pub(super) fn read_set(json: &[u8], origin: Origin) -> Result<KeySet, Unusable> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|_| Unusable("it is not a JWK set"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(Unusable("it has more than 100 keys"));
    }
    let (mut entries, mut ids, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen: Vec<&serde_json::Value> = Vec::new();
    for value in &set.keys {
        let kid = value.get("kid").and_then(serde_json::Value::as_str);
        ids.extend(kid.map(Into::into));
        // Some issuers publish the same key twice. In a configuration that is a mistake, which `Keys` reports.
        if origin == Origin::Fetched && seen.contains(&value) {
            continue;
        }
        seen.push(value);
        let key = Jwk::deserialize(value).map_err(|_| Unusable("it is not a JWK"));
        match key.and_then(|key| key.entries(origin)) {
            Ok(usable) => entries.extend(usable),
            Err(PRIVATE) if origin == Origin::Configured => return Err(PRIVATE),
            Err(Unusable(reason)) => skipped.push(Skipped { kid: kid.map(Into::into), reason }),
        }
    }
    Ok(KeySet::new(entries, ids).with_skipped(skipped))
}

/// Reads one key.
pub(super) fn read_one(json: &[u8], origin: Origin) -> Result<KeySet, Unusable> {
    let key: Jwk = serde_json::from_slice(json).map_err(|_| Unusable("it is not a JWK"))?;
    let ids = key.kid.iter().map(|kid| kid.as_str().into()).collect();
    Ok(KeySet::new(key.entries(origin)?, ids))
}

#[cfg(feature = "jwks")]
impl crate::jwks::RemoteKeySet for KeySet {
    fn parse(document: &[u8], previous: Option<&Self>) -> Result<Self, palisade_core::BoxError> {
        let keys = read_set(document, Origin::Fetched).map_err(|unusable| unusable.0)?;
        keys.log_skipped(previous);
        Ok(keys)
    }

    fn has_key_id(&self, id: &str) -> bool {
        self.ids.iter().any(|own| **own == *id)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

const PRIVATE: Unusable = Unusable(
    "it contains a private key (`d`): use the public part alone, and replace the key if it has been published",
);

impl Jwk {
    /// Returns the key, once for each algorithm that it may be used with.
    fn entries(&self, origin: Origin) -> Result<Vec<Entry>, Unusable> {
        if self.is_private() {
            return Err(PRIVATE);
        }
        let is_for_signatures = self.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return Err(NOT_FOR_SIGNATURES);
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Unusable("its kid is longer than 256 bytes"));
        }
        let (mut algorithms, mut usual) = self.fitting(origin)?;
        if let Some(alg) = &self.alg {
            let named = Algorithm::from_name(alg).filter(|alg| algorithms.contains(alg));
            algorithms = vec![named.ok_or(Unusable("its alg is not one of its type"))?];
            usual = 1;
        }
        let mut entries = Vec::new();
        for (at, algorithm) in algorithms.into_iter().enumerate() {
            let kid = self.kid.as_deref().map(Into::into);
            match self.key(algorithm) {
                Ok(key) => entries.push(Entry { kid, key, is_usual: at < usual }),
                // A secret may be long enough for one hash and too short for another.
                Err(_) if at > 0 => {}
                Err(unusable) => return Err(unusable),
            }
        }
        Ok(entries)
    }

    /// Returns true if the key has a private part. A symmetric key is all secret, and has none.
    pub(crate) fn is_private(&self) -> bool {
        self.d.is_some() || self.p.is_some() || self.kty != "oct" && self.k.is_some()
    }

    /// Returns the algorithms of the key's type, and how many of them, from the first on, a key without `alg` is for.
    fn fitting(&self, origin: Origin) -> Result<(Vec<Algorithm>, usize), Unusable> {
        use Algorithm::{
            Ed25519, EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256,
            Rs384, Rs512,
        };
        Ok(match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512], 1),
            ("EC", Some("P-256")) => (vec![Es256], 1),
            ("EC", Some("P-384")) => (vec![Es384], 1),
            ("EC", Some("P-521")) => (vec![Es512], 1),
            // Two names of one algorithm (RFC 9864, section 2.2).
            ("OKP", Some("Ed25519")) => (vec![EdDsa, Ed25519], 2),
            ("oct", _) if origin == Origin::Configured => (vec![Hs256, Hs384, Hs512], 1),
            ("oct", _) => return Err(Unusable("a secret that was fetched is not a secret")),
            _ => return Err(Unusable("its kty or crv is not supported")),
        })
    }

    fn key(&self, algorithm: Algorithm) -> Result<VerifyingKey, Unusable> {
        if self.kty == "oct" {
            let secret = Secret::from(decode(self.k.as_ref().map(|SymmetricValue(k)| k))?);
            return VerifyingKey::secret(algorithm, &secret)
                .map_err(|_| Unusable("its secret is too short"));
        }
        self.public(algorithm)
    }

    #[cfg(feature = "_public-keys")]
    fn public(&self, algorithm: Algorithm) -> Result<VerifyingKey, Unusable> {
        VerifyingKey::public(algorithm, &self.public_key()?)
    }

    #[cfg(not(feature = "_public-keys"))]
    fn public(&self, _: Algorithm) -> Result<VerifyingKey, Unusable> {
        let _ = (&self.n, &self.e, &self.x, &self.y);
        Err(super::unusable::NO_BACKEND)
    }

    /// Returns the public key, also if the key is not meant for signatures.
    #[cfg(feature = "_public-keys")]
    pub(crate) fn public_key(&self) -> Result<PublicKey, Unusable> {
        let point =
            |curve| PublicKey::point(curve, &decode(self.x.as_ref())?, &decode(self.y.as_ref())?);
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::rsa(&decode(self.n.as_ref())?, &decode(self.e.as_ref())?),
            ("EC", Some("P-256")) => point(Family::P256),
            ("EC", Some("P-384")) => point(Family::P384),
            ("EC", Some("P-521")) => point(Family::P521),
            ("OKP", Some("Ed25519")) => PublicKey::ed25519(&decode(self.x.as_ref())?),
            _ => Err(Unusable("its kty or crv is not supported")),
        }
    }
}

fn decode(member: Option<&String>) -> Result<Vec<u8>, Unusable> {
    let member = member.ok_or(Unusable("a member is missing"))?;
    URL_SAFE_NO_PAD.decode(member).map_err(|_| Unusable("a member is not base64url"))
}
