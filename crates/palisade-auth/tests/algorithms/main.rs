//! Every algorithm with every form of its key, signed by another library; and keys and tokens that do not belong together.
//! Runs over the backend that the features name; `scripts/test` runs it over each.
#![cfg(any(feature = "aws-lc", feature = "rust-crypto"))]

mod issuers;
mod key_sets;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64},
};
use http::{Request, request};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, crypto::aws_lc};
use palisade_auth::{Algorithm, Attempt, Authenticate, Issuer, Jwt, Keys};
use palisade_core::{ConfigError, ManualClock};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn claims() -> Value {
    json!({"sub": "ada", "exp": NOW + 60, "iss": "https://a.example", "aud": "orders"})
}

/// A key pair in all the forms that it is given in.
struct Pair {
    algorithms: Vec<Algorithm>,
    signs: Signs,
    /// Without `alg` and `kid`.
    jwk: Value,
    der: Vec<u8>,
    /// jsonwebtoken has no ES512.
    decodes: Option<DecodingKey>,
}

enum Signs {
    Jsonwebtoken(EncodingKey),
    P521(EcdsaKeyPair),
}

fn rsa() -> Pair {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    Pair {
        algorithms: vec![
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
        ],
        // jsonwebtoken wants the RSAPrivateKey alone: what follows the 26 bytes of PKCS #8 around it
        signs: Signs::Jsonwebtoken(EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])),
        jwk: json!({"kty": "RSA", "n": B64.encode(&public.n), "e": B64.encode(&public.e)}),
        der: AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec(),
        decodes: Some(DecodingKey::from_rsa_raw_components(&public.n, &public.e)),
    }
}

fn ec(curve: &str) -> Pair {
    let (how, algorithm, length) = match curve {
        "P-256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::Es256, 32),
        "P-384" => (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::Es384, 48),
        _ => (&ECDSA_P521_SHA512_FIXED_SIGNING, Algorithm::Es512, 66),
    };
    let pair = EcdsaKeyPair::generate(how).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(length);
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
    let is_p521 = algorithm == Algorithm::Es512;
    Pair {
        algorithms: vec![algorithm],
        jwk: json!({"kty": "EC", "crv": curve, "x": B64.encode(x), "y": B64.encode(y)}),
        der,
        decodes: (!is_p521).then(|| DecodingKey::from_ec_der(&point)),
        signs: if is_p521 {
            Signs::P521(pair)
        } else {
            Signs::Jsonwebtoken(EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()))
        },
    }
}

fn ed25519() -> Pair {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = pair.public_key().as_ref();
    Pair {
        algorithms: vec![Algorithm::EdDsa, Algorithm::Ed25519],
        signs: Signs::Jsonwebtoken(EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref())),
        jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(x)}),
        der: AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec(),
        decodes: Some(DecodingKey::from_ed_der(x)),
    }
}

fn pairs() -> Vec<Pair> {
    let mut pairs = vec![rsa(), ec("P-256"), ec("P-384"), ed25519()];
    if cfg!(feature = "aws-lc") {
        pairs.push(ec("P-521"));
    }
    pairs
}

impl Pair {
    fn token(&self, algorithm: Algorithm, kid: Option<&str>) -> String {
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.sign(&header, &claims())
    }

    /// Signs a token of any header.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message =
            format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let signature = match (&self.signs, header["alg"].as_str().unwrap()) {
            (Signs::P521(pair), _) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
            (Signs::Jsonwebtoken(key), alg) => {
                // jsonwebtoken does not know the name of RFC 9864.
                let alg = if alg == "Ed25519" { "EdDSA" } else { alg };
                // The provider by name: with two backends in the build there is no default.
                let signer = (aws_lc::DEFAULT_PROVIDER.signer_factory)(&alg.parse().unwrap(), key);
                signer.unwrap().try_sign(message.as_bytes()).unwrap()
            }
        };
        format!("{message}.{}", B64.encode(signature))
    }

    fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.der)
    }

    fn jwk_with(&self, members: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        for (name, value) in members.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", STANDARD.encode(der))
}

fn set(keys: &[Value]) -> Keys {
    Keys::jwk_set(json!({"keys": keys}).to_string())
}

fn build(keys: Keys) -> Result<Jwt<Value>, ConfigError> {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    Jwt::with_keys(keys).audience("orders").clock(clock).build()
}

fn head(token: &str) -> request::Parts {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

fn passes(auth: &Jwt<Value>, token: &str) -> bool {
    match auth.authenticate(&head(token)) {
        Attempt::Now(outcome) => outcome.is_ok(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn verifies_each_algorithm_with_each_form_of_its_key() {
    for pair in pairs() {
        for &algorithm in &pair.algorithms {
            let token = pair.token(algorithm, Some("a"));
            let named = pair.jwk_with(&json!({"kid": "a", "alg": algorithm.name(), "use": "sig"}));
            let mut forms = vec![
                Keys::pem(algorithm, pair.pem()),
                Keys::der(algorithm, pair.der.clone()),
                Keys::jwk(named.to_string()),
                set(std::slice::from_ref(&named)),
                set(&[pair.jwk_with(&json!({"kid": "a"}))]).algorithms([algorithm]),
            ];
            let decodes = pair.decodes.clone();
            forms.extend(decodes.map(|key| Keys::from_jsonwebtoken(algorithm, key)));
            for keys in forms {
                let auth = build(keys).unwrap();
                assert!(passes(&auth, &token), "{algorithm} {auth:?}");
                // another algorithm, the same key: not the configured one
                for &other in pair.algorithms.iter().filter(|other| **other != algorithm) {
                    assert!(!passes(&auth, &pair.token(other, Some("a"))), "{algorithm} {other}");
                }
            }
        }
    }
}

#[test]
fn rejects_signatures_with_any_byte_changed() {
    for pair in pairs() {
        for &algorithm in &pair.algorithms {
            let auth = build(Keys::der(algorithm, pair.der.clone())).unwrap();
            let token = pair.token(algorithm, None);
            let (message, signature) = token.rsplit_once('.').unwrap();
            let good = B64.decode(signature).unwrap();
            let mut bad = vec![
                Vec::new(),
                vec![0; good.len()],
                vec![0xff; good.len()],
                good[1..].to_vec(),
                good[..good.len() - 1].to_vec(),
                [&[0], &good[..]].concat(),
                [&good[..], &[0]].concat(),
            ];
            for at in [0, good.len() / 2 - 1, good.len() / 2, good.len() - 1] {
                let mut changed = good.clone();
                changed[at] ^= 1;
                bad.push(changed);
            }
            for signature in bad {
                let forged = format!("{message}.{}", B64.encode(&signature));
                assert!(!passes(&auth, &forged), "{algorithm} {}", signature.len());
            }
            assert!(passes(&auth, &token), "{algorithm}");
        }
    }
}

#[test]
fn rejects_ecdsa_signatures_in_asn1() {
    // JWS has R and S side by side (RFC 7518, section 3.4), OpenSSL writes a SEQUENCE.
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        let length = (number.len() + sign.len()) as u8;
        [&[2, length], sign, number].concat()
    };
    let pair = ec("P-256");
    let token = pair.token(Algorithm::Es256, None);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = B64.decode(signature).unwrap();
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let asn1 = [&[0x30, both.len() as u8], &both[..]].concat();
    let auth = build(Keys::der(Algorithm::Es256, pair.der.clone())).unwrap();
    assert!(!passes(&auth, &format!("{message}.{}", B64.encode(asn1))));
}

#[test]
fn jwk_without_alg_accepts_both_names_of_ed25519() {
    let pair = ed25519();
    for (alg, accepted) in [
        (None, vec!["EdDSA", "Ed25519"]),
        (Some("EdDSA"), vec!["EdDSA"]),
        (Some("Ed25519"), vec!["Ed25519"]),
    ] {
        let jwk = alg.map_or_else(|| pair.jwk.clone(), |alg| pair.jwk_with(&json!({"alg": alg})));
        let auth = build(Keys::jwk(jwk.to_string())).unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
            let expected = accepted.contains(&algorithm.name());
            assert_eq!(
                passes(&auth, &pair.token(algorithm, None)),
                expected,
                "{alg:?} {algorithm}"
            );
        }
    }
    let unknown = pair.jwk_with(&json!({"alg": "Ed448"}));
    assert!(build(Keys::jwk(unknown.to_string())).is_err());
}

#[test]
fn jwk_without_alg_accepts_its_usual_algorithm_only() {
    let pair = rsa();
    let auth = build(Keys::jwk(pair.jwk.to_string())).unwrap();
    for &algorithm in &pair.algorithms {
        let is_usual = algorithm == Algorithm::Rs256;
        assert_eq!(passes(&auth, &pair.token(algorithm, None)), is_usual, "{algorithm}");
    }
    // long enough for one hash, too short for the next
    let secret = [7; 40];
    let jwk = json!({"kty": "oct", "k": B64.encode(secret)});
    let auth = build(Keys::jwk(jwk.to_string())).unwrap();
    assert!(passes(&auth, &hmac(jsonwebtoken::Algorithm::HS256, &secret, None)));
    assert!(!passes(&auth, &hmac(jsonwebtoken::Algorithm::HS384, &secret, None)));
}

#[test]
fn accepts_keys_in_certificates() {
    // `openssl req -x509`, one of RSA and one of P-256, and Keycloak's of version 1
    for (algorithm, certificate, key) in [
        (Algorithm::Rs256, include_str!("../keys/rsa.crt"), include_str!("../keys/rsa.pub")),
        (Algorithm::Es256, include_str!("../keys/ec.crt"), include_str!("../keys/ec.pub")),
        (Algorithm::Rs256, include_str!("../keys/rsa-v1.crt"), include_str!("../keys/rsa.pub")),
    ] {
        let token = include_str!("../keys/tokens.txt")
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{algorithm} ")))
            .unwrap();
        let chain = format!("{certificate}{}", include_str!("../keys/ec.crt"));
        for pem in [certificate, key, &certificate.replace('\n', "\r\n"), &chain] {
            assert!(passes(&build(Keys::pem(algorithm, pem)).unwrap(), token), "{pem}");
        }
        let other = if algorithm == Algorithm::Rs256 { Algorithm::Es256 } else { Algorithm::Ps256 };
        assert_eq!(build(Keys::pem(other, certificate)).unwrap_err().setting(), "pem");
    }
}

#[test]
fn secrets_of_each_length_work() {
    use jsonwebtoken::Algorithm as J;
    for (algorithm, signs, length) in [
        (Algorithm::Hs256, J::HS256, 32),
        (Algorithm::Hs384, J::HS384, 48),
        (Algorithm::Hs512, J::HS512, 64),
    ] {
        let secret = "s".repeat(length);
        let auth = build(Keys::secret(algorithm, secret.as_str())).unwrap();
        let token = hmac(signs, secret.as_bytes(), None);
        assert!(passes(&auth, &token));
        let jwk = json!({"kty": "oct", "alg": algorithm.name(), "k": B64.encode(&secret)});
        assert!(passes(&build(Keys::jwk(jwk.to_string())).unwrap(), &token));
        let key = DecodingKey::from_secret(secret.as_bytes());
        assert!(passes(&build(Keys::from_jsonwebtoken(algorithm, key)).unwrap(), &token));
        let short = build(Keys::secret(algorithm, &secret[1..])).unwrap_err();
        assert_eq!(short.setting(), "secret");
    }
}

/// A token of jsonwebtoken, signed with a secret.
fn hmac(algorithm: jsonwebtoken::Algorithm, secret: &[u8], kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
    let header = serde_json::to_string(&header).unwrap();
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims().to_string()));
    let key = EncodingKey::from_secret(secret);
    let signer = (aws_lc::DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).unwrap();
    format!("{message}.{}", B64.encode(signer.try_sign(message.as_bytes()).unwrap()))
}
