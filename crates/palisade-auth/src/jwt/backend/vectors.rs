//! The vectors of Wycheproof: signatures that implementations are known to get wrong. Their messages are not JWTs, so the keys are
//! tested without a token. Every valid signature is accepted by each backend, and every other one is rejected.

use palisade_core::Secret;
use wycheproof::{
    TestResult,
    ecdsa::{self, TestName::*},
    eddsa, mac,
    rsa_pkcs1_verify::{self as pkcs1, TestName::*},
    rsa_pss_verify::{self as pss, TestName::*},
};

use crate::jwt::{
    algorithm::Algorithm, key::VerifyingKey, public_key::PublicKey, unusable::Unusable,
};

type Verify = Box<dyn Fn(&[u8], &[u8]) -> bool>;
type Import = fn(Algorithm, &PublicKey) -> Result<Verify, Unusable>;

const BACKENDS: &[(&str, Import)] = &[
    #[cfg(feature = "aws-lc")]
    ("aws-lc", |algorithm, key| {
        let verifier = super::aws_lc::Verifier::new(algorithm, key)?;
        Ok(Box::new(move |message, signature| verifier.verifies(message, signature)))
    }),
    #[cfg(feature = "rust-crypto")]
    ("rust-crypto", |algorithm, key| {
        let verifier = super::rust_crypto::Verifier::new(algorithm, key)?;
        Ok(Box::new(move |message, signature| verifier.verifies(message, signature)))
    }),
];

/// The vectors for one key.
struct Group {
    key: PublicKey,
    vectors: Vec<Vector>,
}

struct Vector {
    id: usize,
    message: Vec<u8>,
    signature: Vec<u8>,
    is_valid: bool,
}

macro_rules! groups {
    ($kind:ident, $name:expr) => {{
        let set = $kind::TestSet::load($name).unwrap();
        let groups = set.test_groups.into_iter().map(|group| Group {
            key: PublicKey::from_der(&group.der).unwrap(),
            vectors: group
                .tests
                .into_iter()
                .map(|test| Vector {
                    id: test.tc_id,
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    is_valid: test.result == TestResult::Valid,
                })
                .collect(),
        });
        groups.collect::<Vec<_>>()
    }};
}

/// Verifies all vectors with all backends, and asserts how many are valid and how many are not.
#[track_caller]
fn check(algorithm: Algorithm, groups: &[Group], expected: (usize, usize)) {
    for (backend, import) in BACKENDS {
        let (mut valid, mut invalid) = (0, 0);
        for Group { key, vectors } in groups {
            // What a backend does not support is reported when the key is configured.
            let is_large = matches!(key, PublicKey::Rsa { n, .. } if n.len() > 512);
            if *backend == "rust-crypto" && (is_large || algorithm == Algorithm::Es512) {
                assert!(import(algorithm, key).is_err(), "{backend} {algorithm}");
                continue;
            }
            let verifies =
                import(algorithm, key).unwrap_or_else(|_| panic!("{backend} {algorithm}"));
            for Vector { id, message, signature, is_valid } in vectors {
                let accepted = verifies(message, signature);
                assert_eq!(accepted, *is_valid, "{backend} {algorithm} vector {id}");
                *(if accepted { &mut valid } else { &mut invalid }) += 1;
            }
        }
        let is_supported = valid + invalid > 0;
        assert!(!is_supported || (valid, invalid) == expected, "{backend} {algorithm}");
        assert!(is_supported || *backend == "rust-crypto", "{algorithm}");
    }
}

#[test]
fn ecdsa_and_eddsa_accept_valid_signatures_only() {
    check(Algorithm::Es256, &groups!(ecdsa, EcdsaSecp256r1Sha256P1363), (173, 89));
    check(Algorithm::Es384, &groups!(ecdsa, EcdsaSecp384r1Sha384P1363), (193, 87));
    check(Algorithm::Es512, &groups!(ecdsa, EcdsaSecp521r1Sha512P1363), (231, 87));
    for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
        check(algorithm, &groups!(eddsa, eddsa::TestName::Ed25519), (88, 63));
    }
}

/// A signature without the NULL in its `DigestInfo` is acceptable to Wycheproof, one in each set. It is rejected: RFC 8017,
/// appendix A.2.4, requires the NULL.
#[test]
fn rsa_pkcs1_accepts_valid_signatures_only() {
    use Algorithm::{Rs256, Rs384, Rs512};
    check(Rs256, &groups!(pkcs1, Rsa2048Sha256), (9, 250));
    check(Rs384, &groups!(pkcs1, Rsa2048Sha384), (7, 251));
    check(Rs512, &groups!(pkcs1, Rsa2048Sha512), (8, 251));
    check(Rs256, &groups!(pkcs1, Rsa3072Sha256), (8, 251));
    check(Rs512, &groups!(pkcs1, Rsa4096Sha512), (7, 252));
    check(Rs384, &groups!(pkcs1, Rsa8192Sha384), (7, 252));
}

#[test]
fn rsa_pss_accepts_valid_signatures_only() {
    use Algorithm::{Ps256, Ps384, Ps512};
    check(Ps256, &groups!(pss, RsaPss2048Sha256Mgf1SaltLen32), (63, 45));
    check(Ps256, &groups!(pss, RsaPss3072Sha256Mgf1SaltLen32), (63, 45));
    check(Ps256, &groups!(pss, RsaPss4096Sha256Mgf1SaltLen32), (63, 45));
    check(Ps384, &groups!(pss, RsaPss2048Sha384Mgf1SaltLen48), (95, 46));
    check(Ps384, &groups!(pss, RsaPss4096Sha384Mgf1SaltLen48), (95, 46));
    check(Ps512, &groups!(pss, RsaPss4096Sha512Mgf1SaltLen64), (132, 47));
}

/// Signatures with another salt or another mask are valid RSASSA-PSS and not valid JWS (RFC 7518, section 3.5).
#[test]
fn rsa_pss_rejects_other_parameters() {
    for (algorithm, mut groups, count) in [
        (Algorithm::Ps256, groups!(pss, RsaPss2048Sha256Mgf1SaltLen0), 61),
        (Algorithm::Ps256, groups!(pss, RsaPss2048Sha256Mgf1Sha1_20), 63),
        (Algorithm::Ps512, groups!(pss, RsaPss4096Sha512Mgf1SaltLen32), 132),
    ] {
        for Group { vectors, .. } in &mut groups {
            // An invalid vector of this set may have the parameters of JWS.
            vectors.retain(|vector| vector.is_valid);
            vectors.iter_mut().for_each(|vector| vector.is_valid = false);
        }
        check(algorithm, &groups, (0, count));
    }
}

/// A tag that is cut short is valid to Wycheproof and not valid JWS (RFC 7518, section 3.2), and a key that is shorter than the
/// hash cannot be configured.
#[test]
fn hmac_accepts_valid_whole_tags_only() {
    for (algorithm, name) in [
        (Algorithm::Hs256, mac::TestName::HmacSha256),
        (Algorithm::Hs384, mac::TestName::HmacSha384),
        (Algorithm::Hs512, mac::TestName::HmacSha512),
    ] {
        let (mut valid, mut invalid, mut cut_short, mut short_keys) = (0, 0, 0, 0);
        let set = mac::TestSet::load(name).unwrap();
        for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
            let shortest = algorithm.shortest_secret();
            let key = VerifyingKey::secret(algorithm, &Secret::from(test.key.as_slice()));
            let Ok(key) = key else {
                assert!(test.key.len() < shortest, "{algorithm} vector {}", test.tc_id);
                short_keys += 1;
                continue;
            };
            let is_whole = test.tag.len() == shortest;
            let is_valid = test.result == TestResult::Valid;
            let accepted = key.verifies(&test.msg, &test.tag);
            assert_eq!(accepted, is_valid && is_whole, "{algorithm} vector {}", test.tc_id);
            match (is_valid, is_whole) {
                (true, true) => valid += 1,
                (true, false) => cut_short += 1,
                (false, _) => invalid += 1,
            }
        }
        assert_eq!((valid, invalid, cut_short, short_keys), (30, 108, 30, 6), "{algorithm}");
    }
}
