use palisade_core::Secret;
use serde::Deserialize;

use crate::jwt::{Algorithm, Unusable};
#[cfg(feature = "_public-keys")]
use {
    super::backend::PrivateNumbers,
    crate::jwt::Family,
    base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD},
};

/// A private or symmetric key as JSON (RFC 7517; RFC 7518, section 6; RFC 8037). It has no `Debug`.
#[derive(Deserialize)]
pub(super) struct PrivateJwk {
    kty: String,
    crv: Option<String>,
    alg: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) k: Option<String>,
    #[cfg(feature = "_public-keys")]
    #[serde(flatten)]
    members: Members,
}

#[cfg(feature = "_public-keys")]
#[derive(Deserialize)]
struct Members {
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
    n: Option<String>,
    e: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

impl PrivateJwk {
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(super) fn read(json: &Secret) -> Result<Self, Unusable> {
        serde_json::from_slice(json.expose()).map_err(|_| Unusable("it is not a JWK"))
    }

    pub(super) fn is_symmetric(&self) -> bool {
        self.kty == "oct"
    }

    /// Returns `alg`, or the usual algorithm of the key's type.
    pub(super) fn algorithm(&self) -> Result<Algorithm, Unusable> {
        if let Some(name) = &self.alg {
            return Algorithm::from_name(name).ok_or(Unusable("its `alg` is not supported"));
        }
        Ok(match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("EC", Some("P-384")) => Algorithm::Es384,
            ("EC", Some("P-521")) => Algorithm::Es512,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("oct", _) => Algorithm::Hs256,
            _ => return Err(Unusable("its kty or crv is not supported")),
        })
    }

    /// Returns the numbers of a private key for this algorithm.
    #[cfg(feature = "_public-keys")]
    pub(super) fn numbers(&self, algorithm: Algorithm) -> Result<PrivateNumbers, Unusable> {
        let Members { x, y, d, .. } = &self.members;
        if d.is_none() {
            return Err(Unusable(
                "it has no private part (`d`): a public key verifies and cannot sign",
            ));
        }
        let curve = |length: usize| {
            let (x, y) = (decode(x.as_ref())?, decode(y.as_ref())?);
            if x.len() != length || y.len() != length {
                return Err(Unusable("a coordinate has the wrong length"));
            }
            let public = [&[4][..], &x, &y].concat();
            Ok(PrivateNumbers::Curve { d: decode(d.as_ref())?.into(), public })
        };
        match (self.kty.as_str(), self.crv.as_deref(), algorithm.family()) {
            ("RSA", _, Family::Rsa) => self.rsa(),
            ("OKP", Some("Ed25519"), Family::Ed25519) => {
                let public = decode(x.as_ref())?;
                Ok(PrivateNumbers::Curve { d: decode(d.as_ref())?.into(), public })
            }
            ("EC", Some("P-256"), Family::P256) => curve(32),
            ("EC", Some("P-384"), Family::P384) => curve(48),
            ("EC", Some("P-521"), Family::P521) => curve(66),
            _ => Err(Unusable("the key is not of the type that the algorithm needs")),
        }
    }

    /// Returns the RSAPrivateKey in DER. The primes are required (RFC 7518, section 6.3.2, recommends them), because a key
    /// without them signs at a quarter of the speed.
    #[cfg(feature = "_public-keys")]
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    fn rsa(&self) -> Result<PrivateNumbers, Unusable> {
        use spki::der::{Encode, asn1::UintRef};
        let Members { n, e, d, p, q, dp, dq, qi, .. } = &self.members;
        let members = [n, e, d, p, q, dp, dq, qi];
        let numbers = members
            .into_iter()
            .map(|member| decode(member.as_ref()).map(Secret::from))
            .collect::<Result<Vec<_>, _>>()?;
        let wrong = |_| Unusable("it is not an RSA private key");
        let number = |at: usize| UintRef::new(numbers[at].expose()).map_err(wrong);
        let key = pkcs1::RsaPrivateKey {
            modulus: number(0)?,
            public_exponent: number(1)?,
            private_exponent: number(2)?,
            prime1: number(3)?,
            prime2: number(4)?,
            exponent1: number(5)?,
            exponent2: number(6)?,
            coefficient: number(7)?,
            other_prime_infos: None,
        };
        let der = key.to_der().map_err(wrong)?;
        Ok(PrivateNumbers::Rsa(der.into()))
    }
}

#[cfg(feature = "_public-keys")]
fn decode(member: Option<&String>) -> Result<Vec<u8>, Unusable> {
    let member = member.ok_or(Unusable("a member is missing"))?;
    URL_SAFE_NO_PAD.decode(member).map_err(|_| Unusable("a member is not base64url"))
}
