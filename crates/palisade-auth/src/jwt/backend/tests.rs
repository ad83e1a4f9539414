//! Both backends agree on what a signature is.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};

use super::{aws_lc, rust_crypto};
use crate::jwt::{
    algorithm::{Algorithm, Family},
    public_key::PublicKey,
};

const MESSAGE: &[u8] = b"header.payload";

fn signed() -> Vec<(Algorithm, PublicKey, Vec<u8>)> {
    let random = SystemRandom::new();
    let mut signed = Vec::new();
    for (algorithm, curve, how) in [
        (Algorithm::Es256, Family::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        (Algorithm::Es384, Family::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(how).unwrap();
        let xy = &pair.public_key().as_ref()[1..];
        let (x, y) = xy.split_at(xy.len() / 2);
        let signature = pair.sign(&random, MESSAGE).unwrap();
        let key = PublicKey::point(curve, x, y).unwrap();
        signed.push((algorithm, key, signature.as_ref().to_vec()));
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey::ed25519(pair.public_key().as_ref()).unwrap();
    let signature = pair.sign(MESSAGE).as_ref().to_vec();
    signed.push((Algorithm::EdDsa, key.clone(), signature.clone()));
    signed.push((Algorithm::Ed25519, key, signature));
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let key = PublicKey::rsa(&public.n, &public.e).unwrap();
    for algorithm in [Algorithm::Rs256, Algorithm::Ps512] {
        let mut signature = vec![0; pair.public_modulus_len()];
        let pkcs1 = algorithm == Algorithm::Rs256;
        if pkcs1 {
            pair.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut signature).unwrap();
        } else {
            pair.sign(&RSA_PSS_SHA512, &random, MESSAGE, &mut signature).unwrap();
        }
        signed.push((algorithm, key.clone(), signature));
    }
    signed
}

#[test]
fn backends_agree_on_good_and_bad_signatures() {
    for (algorithm, key, good) in signed() {
        let c = aws_lc::Verifier::new(algorithm, &key).unwrap();
        let rust = rust_crypto::Verifier::new(algorithm, &key).unwrap();
        assert!(c.verifies(MESSAGE, &good) && rust.verifies(MESSAGE, &good), "{algorithm}");
        assert!(!c.verifies(b"other", &good) && !rust.verifies(b"other", &good), "{algorithm}");
        let mut bad: Vec<Vec<u8>> = (0..good.len())
            .step_by(7)
            .map(|at| {
                let mut changed = good.clone();
                changed[at] ^= 0x80;
                changed
            })
            .collect();
        bad.extend([vec![], vec![0; good.len()], good[1..].to_vec(), [&good[..], &[0]].concat()]);
        for signature in bad {
            assert!(!c.verifies(MESSAGE, &signature), "{algorithm}");
            assert!(!rust.verifies(MESSAGE, &signature), "{algorithm}");
        }
    }
}

#[test]
fn backends_reject_points_off_the_curve() {
    for (algorithm, curve, length) in
        [(Algorithm::Es256, Family::P256, 32), (Algorithm::Es384, Family::P384, 48)]
    {
        let key = PublicKey::point(curve, &vec![1; length], &vec![1; length]).unwrap();
        assert!(aws_lc::Verifier::new(algorithm, &key).is_err(), "{algorithm}");
        assert!(rust_crypto::Verifier::new(algorithm, &key).is_err(), "{algorithm}");
    }
}
