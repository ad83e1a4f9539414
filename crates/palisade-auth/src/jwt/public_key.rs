use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};
use palisade_core::ConfigError;
use sha2::{Digest, Sha256};
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, Encode, asn1::UintRef},
};
use x509_cert::Certificate;

use super::{algorithm::Family, unusable::Unusable};

/// The lengths of an RSA modulus, in bytes: 2048 bits (RFC 7518, section 3.3) to 8192, which bounds the time that one
/// signature takes.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [(ObjectIdentifier, Family); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Family::P256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), Family::P384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), Family::P521),
];

/// A public key in the one form that both backends import. It has the right lengths; whether a point is on its curve is
/// checked by the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point (SEC 1, section 2.3.3).
    Point {
        curve: Family,
        sec1: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

impl PublicKey {
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, Unusable> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        if n.len() < *MODULUS.start() || n.len() == *MODULUS.start() && n[0] < 0x80 {
            return Err(Unusable("an RSA key needs at least 2048 bits"));
        }
        if n.len() > *MODULUS.end() {
            return Err(Unusable("an RSA key has at most 8192 bits"));
        }
        // An even modulus or exponent is not an RSA key, and an exponent of 1 signs nothing.
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if !is_odd(n) || !is_odd(e) || e == [1] || e.len() > 4 {
            return Err(Unusable("it is not an RSA public key"));
        }
        Ok(Self::Rsa { n: n.into(), e: e.into() })
    }

    /// A point of coordinates of full length.
    pub(crate) fn point(curve: Family, x: &[u8], y: &[u8]) -> Result<Self, Unusable> {
        let length = curve.coordinate().ok_or(Unusable("a point is for ES algorithms"))?;
        if x.len() != length || y.len() != length {
            return Err(Unusable("a coordinate has the wrong length"));
        }
        Ok(Self::Point { curve, sec1: [&[4][..], x, y].concat() })
    }

    pub(crate) fn sec1(curve: Family, bytes: &[u8]) -> Result<Self, Unusable> {
        match bytes.split_first() {
            Some((4, xy)) if xy.len() % 2 == 0 => {
                let (x, y) = xy.split_at(xy.len() / 2);
                Self::point(curve, x, y)
            }
            _ => Err(Unusable("the point of an EC key must be uncompressed")),
        }
    }

    pub(crate) fn ed25519(x: &[u8]) -> Result<Self, Unusable> {
        x.try_into().map(Self::Ed25519).map_err(|_| Unusable("an Ed25519 key has 32 bytes"))
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) or an RSAPublicKey (RFC 8017, appendix A.1.1).
    pub(super) fn from_der(der: &[u8]) -> Result<Self, Unusable> {
        match SubjectPublicKeyInfoRef::from_der(der) {
            Ok(info) => Self::from_info(&info),
            Err(_) => Self::from_pkcs1(der),
        }
    }

    /// Reads the key of an X.509 certificate. The certificate is a container for the key here: its dates, its issuer and
    /// its signature are not checked, because the configuration vouches for it.
    pub(super) fn from_certificate(der: &[u8]) -> Result<Self, Unusable> {
        let wrong = |_| Unusable("it is not an X.509 certificate");
        let certificate = Certificate::from_der(der).map_err(wrong)?;
        let info = certificate.tbs_certificate.subject_public_key_info.to_der().map_err(wrong)?;
        Self::from_der(&info)
    }

    fn from_info(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Unusable> {
        let bits = info.subject_public_key.as_bytes();
        let bits = bits.ok_or(Unusable("it is not a public key"))?;
        if info.algorithm.oid == RSA {
            return Self::from_pkcs1(bits);
        }
        if info.algorithm.oid == ED25519 {
            return Self::ed25519(bits);
        }
        let curve = info.algorithm.parameters_oid().ok();
        let curve = CURVES.iter().find(|(oid, _)| Some(*oid) == curve);
        match curve {
            Some((_, curve)) if info.algorithm.oid == EC => Self::sec1(*curve, bits),
            _ => {
                Err(Unusable("its type is not supported: RSA, P-256, P-384, P-521 and Ed25519 are"))
            }
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, Unusable> {
        let key = pkcs1::RsaPublicKey::from_der(der)
            .map_err(|_| Unusable("it is not a public key in DER"))?;
        Self::rsa(UintRef::as_bytes(&key.modulus), UintRef::as_bytes(&key.public_exponent))
    }

    /// Reads the public key of jsonwebtoken's `DecodingKey`.
    pub(super) fn from_jsonwebtoken(family: Family, key: &DecodingKey) -> Result<Self, Unusable> {
        match (key.family(), key.kind()) {
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => Self::rsa(n, e),
            (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => Self::from_der(der),
            // `from_ec_pem` and `from_ec_components` keep the point, `from_ec_der` what it is given.
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(bytes)) => Self::sec1(family, bytes)
                .or_else(|unusable| {
                    if bytes.first() == Some(&0x30) { Self::from_der(bytes) } else { Err(unusable) }
                }),
            (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(bytes)) => {
                Self::ed25519(bytes).or_else(|_| Self::from_der(bytes))
            }
            _ => Err(Unusable("it is not a public key")),
        }
    }

    /// Returns the thumbprint of the key: the SHA-256 hash of its JWK in the form of RFC 7638, in base64url.
    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.to_jwk()))
    }

    /// Returns the required members of its JWK, in the form of RFC 7638, section 3.
    pub(crate) fn to_jwk(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n))
            }
            Self::Point { curve, sec1 } => {
                let (x, y) = sec1[1..].split_at(sec1.len() / 2);
                let curve = match curve {
                    Family::P256 => "P-256",
                    Family::P384 => "P-384",
                    _ => "P-521",
                };
                let (x, y) = (encode(x), encode(y));
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
        }
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Rsa { .. } => Family::Rsa,
            Self::Point { curve, .. } => *curve,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }
}

/// Reads the public key or the certificate in a PEM. Of a chain of certificates the first one counts (RFC 5246, section
/// 7.4.2: the sender's own comes first).
pub(super) fn from_pem(text: &str) -> Result<PublicKey, ConfigError> {
    let wrong = |remedy| ConfigError::without_value("pem", remedy);
    let blocks = pem::parse_many(text)
        .map_err(|_| wrong("it is not a PEM: a PEM begins with `-----BEGIN`"))?;
    let tag = blocks.first().map(pem::Pem::tag);
    let is_chain = blocks.iter().all(|block| block.tag() == "CERTIFICATE");
    let key = match (tag, &*blocks) {
        (None, _) => return Err(wrong("it is not a PEM: a PEM begins with `-----BEGIN`")),
        (Some("CERTIFICATE"), [first, ..]) if is_chain => {
            PublicKey::from_certificate(first.contents())
        }
        (Some("PUBLIC KEY" | "RSA PUBLIC KEY"), [only]) => PublicKey::from_der(only.contents()),
        (Some(_), [_, _, ..]) => {
            return Err(wrong("it contains several keys: use one PEM for each, or a JWK set"));
        }
        (Some(tag), _) => {
            let remedy = "use the public key or the certificate; `openssl pkey -pubout` makes a public key of a private one";
            return Err(ConfigError::new("pem", tag, remedy));
        }
    };
    key.map_err(|Unusable(why)| wrong(why))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_equal_the_rfc_examples() {
        let decode = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
        // RFC 8037, appendix A.3
        let x = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let ed25519 = PublicKey::ed25519(&x).unwrap();
        assert_eq!(ed25519.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        // RFC 9449, sections 4.1 and 6.1
        let x = decode("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs");
        let y = decode("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA");
        let p256 = PublicKey::point(Family::P256, &x, &y).unwrap();
        assert_eq!(p256.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        // RFC 7638, section 3.1
        let n = decode(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        );
        let rsa = PublicKey::rsa(&n, &[1, 0, 1]).unwrap();
        assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits_and_odd_numbers() {
        let modulus = |length: usize, first: u8, last: u8| {
            let mut n = vec![0xff; length];
            n[0] = first;
            n[length - 1] = last;
            n
        };
        let good = modulus(256, 0x80, 1);
        for (length, first) in [(256, 0x80), (256, 0xff), (257, 1), (1024, 0xff)] {
            assert!(PublicKey::rsa(&modulus(length, first, 1), &[3]).is_ok(), "{length} {first}");
        }
        for (length, first) in [(255, 0xff), (256, 0x7f), (256, 1), (1025, 1)] {
            assert!(PublicKey::rsa(&modulus(length, first, 1), &[3]).is_err(), "{length} {first}");
        }
        assert!(PublicKey::rsa(&modulus(256, 0x80, 2), &[3]).is_err(), "an even modulus");
        for e in [&[3][..], &[1, 0, 1], &[0, 1, 0, 1], &[0xff; 4]] {
            assert!(PublicKey::rsa(&good, e).is_ok(), "{e:?}");
        }
        for e in [&[][..], &[0], &[1], &[0, 1], &[2], &[1, 0, 0, 0, 1]] {
            assert!(PublicKey::rsa(&good, e).is_err(), "{e:?}");
        }
    }

    #[test]
    fn points_have_two_coordinates_of_full_length() {
        for (curve, length) in [(Family::P256, 32), (Family::P384, 48), (Family::P521, 66)] {
            let coordinate = |length| vec![1; length];
            let full = coordinate(length);
            assert!(PublicKey::point(curve, &full, &full).is_ok());
            for wrong in [0, length - 1, length + 1] {
                assert!(PublicKey::point(curve, &coordinate(wrong), &full).is_err(), "x: {wrong}");
                assert!(PublicKey::point(curve, &full, &coordinate(wrong)).is_err(), "y: {wrong}");
            }
        }
        assert!(PublicKey::point(Family::Rsa, &[1; 32], &[1; 32]).is_err());
    }

    #[test]
    fn spki_must_have_the_ec_key_algorithm() {
        /// RFC 5480: `id-ecPublicKey` (1.2.840.10045.2.1) with the parameter prime256v1, and a point.
        fn spki(last_arc: u8) -> Vec<u8> {
            let mut der = vec![0x30, 0x59, 0x30, 0x13];
            der.extend([0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, last_arc]);
            der.extend([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
            der.extend([0x03, 0x42, 0x00, 0x04]);
            der.extend([7; 64]);
            der
        }
        assert!(matches!(PublicKey::from_der(&spki(1)), Ok(PublicKey::Point { .. })));
        assert!(PublicKey::from_der(&spki(2)).is_err(), "another algorithm with the same curve");
    }
}
