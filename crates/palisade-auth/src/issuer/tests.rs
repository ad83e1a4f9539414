//! Private keys in all the forms that they are stored in.

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, EcPrivateKeyRfc5915Der, Pkcs8V1Der},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use spki::der::Decode;

use super::SigningKey;
use crate::jwt::Algorithm;

fn pem(tag: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(tag, der))
}

/// Checks that a key is the one with this public JWK, and signs.
fn check(key: &SigningKey, public: &Value) {
    let jwk = key.public_jwk().unwrap();
    for (name, value) in public.as_object().unwrap() {
        assert_eq!(&jwk[name], value, "{name} of {key:?}");
    }
    assert!(key.sign(&json!({})).is_ok());
}

#[test]
fn ec_keys_are_read_from_each_form() {
    for (how, algorithm, curve, length) in [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::Es256, "P-256", 32),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::Es384, "P-384", 48),
    ] {
        let pair = EcdsaKeyPair::generate(how).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (B64.encode(&point[1..=length]), B64.encode(&point[length + 1..]));
        let public = json!({ "kty": "EC", "crv": curve, "x": x, "y": y });
        let pkcs8 = pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref());
        check(&SigningKey::pem(algorithm, pkcs8.as_str()).unwrap(), &public);
        let own: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let own = pem("EC PRIVATE KEY", own.as_ref());
        check(&SigningKey::pem(algorithm, own.as_str()).unwrap(), &public);
        let with_parameters = format!("{}{own}", pem("EC PARAMETERS", &[5, 0]));
        check(&SigningKey::pem(algorithm, with_parameters).unwrap(), &public);

        let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
        let mut jwk = public.clone();
        jwk["d"] = B64.encode(d.as_ref()).into();
        jwk["kid"] = "2026-11".into();
        let key = SigningKey::jwk(jwk.to_string()).unwrap();
        assert_eq!((key.algorithm(), key.id()), (algorithm, Some("2026-11")));
        check(&key, &public);
        // the point of another key
        let other = EcdsaKeyPair::generate(how).unwrap();
        let point = other.public_key().as_ref();
        jwk["x"] = B64.encode(&point[1..=length]).into();
        jwk["y"] = B64.encode(&point[length + 1..]).into();
        assert!(SigningKey::jwk(jwk.to_string()).is_err(), "{curve}");
        let wrong_curve = if curve == "P-256" { Algorithm::Es384 } else { Algorithm::Es256 };
        assert!(SigningKey::pem(wrong_curve, pkcs8).is_err());
    }
}

#[test]
fn ed25519_keys_are_read_from_each_form() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = B64.encode(pair.public_key().as_ref());
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    for pkcs8 in [pair.to_pkcs8v1().unwrap(), pair.to_pkcs8().unwrap()] {
        let key = SigningKey::pem(Algorithm::EdDsa, pem("PRIVATE KEY", pkcs8.as_ref())).unwrap();
        check(&key, &public);
    }
    // RFC 8037, appendices A.1, A.3 and A.4
    let d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "d": d, "x": x });
    let key = SigningKey::jwk(jwk.to_string()).unwrap();
    assert_eq!(key.id(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    let d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2B";
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "d": d, "x": x });
    assert!(SigningKey::jwk(jwk.to_string()).is_err());
}

#[test]
fn rsa_keys_are_read_from_each_form() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    // The RSAPrivateKey follows the 26 bytes of PKCS #8 around it.
    let own = &pkcs8.as_ref()[26..];
    let key = pkcs1::RsaPrivateKey::from_der(own).unwrap();
    let number = |number: &spki::der::asn1::UintRef<'_>| Value::from(B64.encode(number.as_bytes()));
    let public = json!({
        "kty": "RSA", "n": number(&key.modulus), "e": number(&key.public_exponent),
    });
    let mut jwk = public.clone();
    for (name, value) in [
        ("d", key.private_exponent),
        ("p", key.prime1),
        ("q", key.prime2),
        ("dp", key.exponent1),
        ("dq", key.exponent2),
        ("qi", key.coefficient),
    ] {
        jwk[name] = number(&value);
    }
    let loaded = [
        SigningKey::pem(Algorithm::Rs256, pem("PRIVATE KEY", pkcs8.as_ref())),
        SigningKey::pem(Algorithm::Rs256, pem("RSA PRIVATE KEY", own)),
        SigningKey::jwk(jwk.to_string()),
    ];
    for key in loaded {
        if cfg!(feature = "aws-lc") {
            check(&key.unwrap(), &public);
        } else {
            let error = key.unwrap_err().to_string();
            assert!(error.contains("aws-lc"), "{error}");
        }
    }
    jwk["d"] = Value::Null;
    let error = SigningKey::jwk(jwk.to_string()).unwrap_err().to_string();
    assert!(error.contains("verifies and cannot sign"), "{error}");
}

#[test]
fn keys_that_cannot_sign_are_errors_with_a_remedy() {
    let pem_error = |pem: &str| SigningKey::pem(Algorithm::Es256, pem).unwrap_err().to_string();
    for (text, remedy) in [
        (pem("PUBLIC KEY", b"x"), "use the private key"),
        (pem("ENCRYPTED PRIVATE KEY", b"x"), "openssl pkey"),
        (pem("PRIVATE KEY", b"x"), "not a private key"),
        (pem("PRIVATE KEY", b"x").repeat(2), "several keys"),
        ("secret".to_owned(), "BEGIN"),
    ] {
        let error = pem_error(&text);
        assert!(error.contains(remedy) && !error.contains("secret"), "{error}");
    }
    for jwk in
        ["{}", "[]", r#"{"kty":"oct","k":"c2hvcnQ"}"#, r#"{"kty":"EC","crv":"secp256k1","d":"AA"}"#]
    {
        assert!(SigningKey::jwk(jwk).is_err(), "{jwk}");
    }
    let secret = B64.encode([7; 32]);
    let jwk = json!({ "kty": "oct", "k": secret, "kid": "a" });
    let key = SigningKey::jwk(jwk.to_string()).unwrap();
    assert_eq!((key.algorithm(), key.id()), (Algorithm::Hs256, Some("a")));
    let es256k =
        json!({ "kty": "EC", "crv": "P-256", "alg": "RS256", "d": "AA", "x": "AA", "y": "AA" });
    assert!(SigningKey::jwk(es256k.to_string()).is_err());
}
