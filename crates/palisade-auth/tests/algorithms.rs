//! Every algorithm with every form of its key, signed by another library; and keys and tokens that do not belong together.
//! Runs over the backend that the features name; `scripts/test` runs it over each.
#![cfg(any(feature = "aws-lc", feature = "rust-crypto"))]

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
fn jwk_without_alg_is_for_the_usual_algorithm_only() {
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
        (Algorithm::Rs256, include_str!("keys/rsa.crt"), include_str!("keys/rsa.pub")),
        (Algorithm::Es256, include_str!("keys/ec.crt"), include_str!("keys/ec.pub")),
        (Algorithm::Rs256, include_str!("keys/rsa-v1.crt"), include_str!("keys/rsa.pub")),
    ] {
        let token = include_str!("keys/tokens.txt")
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{algorithm} ")))
            .unwrap();
        let chain = format!("{certificate}{}", include_str!("keys/ec.crt"));
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

#[test]
fn a_public_key_never_passes_as_a_secret() {
    // Hono let the token choose where a key had no alg (CVE-2026-22817).
    let pair = rsa();
    let auth = build(set(&[pair.jwk_with(&json!({"kid": "a"}))])).unwrap();
    let [pem, der] = [pair.pem().into_bytes(), pair.der.clone()];
    for secret in [pem, der] {
        let forged = hmac(jsonwebtoken::Algorithm::HS256, &secret, Some("a"));
        assert!(!passes(&auth, &forged));
    }
    assert!(passes(&auth, &pair.token(Algorithm::Rs256, Some("a"))));
}

#[test]
fn kid_selects_one_key_and_without_kid_one_must_match() {
    let (rs256, es256) = (Algorithm::Rs256, Algorithm::Es256);
    let (first, second, other) = (rsa(), rsa(), ec("P-256"));
    let keys = set(&[
        first.jwk_with(&json!({"kid": "a"})),
        second.jwk_with(&json!({"kid": "b"})),
        other.jwk_with(&json!({"kid": "c"})),
    ]);
    let auth = build(keys).unwrap();
    assert!(passes(&auth, &first.token(rs256, Some("a"))));
    assert!(passes(&auth, &second.token(rs256, Some("b"))));
    assert!(passes(&auth, &other.token(es256, Some("c"))));
    assert!(!passes(&auth, &first.token(rs256, Some("b"))), "another's name");
    assert!(!passes(&auth, &first.token(rs256, Some("x"))), "an unknown name");
    assert!(!passes(&auth, &first.token(rs256, Some("c"))), "a key of another type");
    assert!(!passes(&auth, &first.token(rs256, None)), "two keys would fit");
    assert!(passes(&auth, &other.token(es256, None)), "one key fits");
}

#[test]
fn two_keys_that_no_token_can_name_are_an_error() {
    let (first, second, other) = (rsa(), rsa(), ec("P-256"));
    let named = |pair: &Pair, members: Value| pair.jwk_with(&members);
    let error = |keys: Keys| build(keys).map(|_| ()).unwrap_err();
    let twice = [named(&first, json!({"kid": "a"})), named(&second, json!({"kid": "a"}))];
    assert_eq!(error(set(&twice)).setting(), "kid", "one name, two keys");
    let same = named(&first, json!({"kid": "a"}));
    assert_eq!(error(set(&[same.clone(), same.clone()])).setting(), "kid", "one key twice");
    let nameless = [first.jwk.clone(), second.jwk.clone()];
    assert_eq!(error(set(&nameless)).setting(), "kid", "two keys without a name");

    // RFC 7517, section 4.5: keys of different types may share a name, and so may the algorithms of one key.
    let types = build(set(&[same.clone(), named(&other, json!({"kid": "a"}))])).unwrap();
    assert!(passes(&types, &first.token(Algorithm::Rs256, Some("a"))));
    assert!(passes(&types, &other.token(Algorithm::Es256, Some("a"))));
    let algorithms = build(set(&[
        named(&first, json!({"kid": "a", "alg": "RS256"})),
        named(&first, json!({"kid": "a", "alg": "PS256"})),
        named(&second, json!({"kid": "a", "use": "enc"})),
    ]));
    let algorithms = algorithms.unwrap();
    assert!(passes(&algorithms, &first.token(Algorithm::Rs256, Some("a"))));
    assert!(passes(&algorithms, &first.token(Algorithm::Ps256, Some("a"))));
}

#[test]
fn private_keys_are_an_error() {
    let (pair, good) = (ed25519(), rsa());
    for members in
        [json!({"d": "AAAA"}), json!({"d": 7}), json!({"p": "AAAA"}), json!({"k": "AAAA"})]
    {
        let private = pair.jwk_with(&members);
        for keys in [
            Keys::jwk(private.to_string()),
            set(std::slice::from_ref(&private)),
            set(&[good.jwk_with(&json!({"kid": "a"})), private.clone()]),
        ] {
            let error = build(keys).unwrap_err();
            assert!(error.to_string().contains("private"), "{members} {error}");
            assert!(!error.to_string().contains("AAAA"), "{error}");
        }
    }
}

#[test]
fn the_backend_reports_what_it_cannot_verify() {
    let p521 = ec("P-521");
    let big = json!({"kty": "RSA", "n": B64.encode([0xff; 1024]), "e": "AQAB"});
    let both =
        [build(Keys::der(Algorithm::Es512, p521.der.clone())), build(Keys::jwk(big.to_string()))];
    for outcome in both {
        if cfg!(feature = "aws-lc") {
            outcome.unwrap();
        } else {
            assert!(outcome.unwrap_err().to_string().contains("enable the feature `aws-lc`"));
        }
    }
}

#[test]
fn keys_for_other_uses_are_skipped() {
    let (good, bad) = (rsa(), rsa());
    for members in [
        json!({"use": "enc"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"alg": "ES256"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "HS256"}),
        json!({"kty": "AKP"}),
        json!({"kty": 7}),
        json!({"n": "not base64!"}),
        json!({"n": B64.encode([0xff; 255])}),
        json!({"n": null}),
        json!({"kid": "k".repeat(257)}),
    ] {
        let bad = bad.jwk_with(&members);
        let keys = set(&[bad.clone(), good.jwk_with(&json!({"kid": "a"}))]);
        let token = good.token(Algorithm::Rs256, Some("a"));
        assert!(passes(&build(keys).unwrap(), &token), "{members}");
        assert!(build(set(&[bad])).is_err(), "{members} alone is no key");
    }
    let point = ec("P-256");
    for (curve, x) in [
        ("P-192", None),
        ("P-256", Some(B64.encode([1; 31]))),
        ("P-256", Some(B64.encode([1; 32]))),
    ] {
        let mut jwk = point.jwk_with(&json!({"crv": curve}));
        if let Some(x) = x {
            jwk["x"] = x.into();
        }
        assert!(build(set(&[jwk.clone()])).is_err(), "{jwk}");
    }
}

#[test]
fn invalid_key_is_a_config_error_with_a_remedy() {
    let pair = rsa();
    let small = json!({"kty": "RSA", "n": B64.encode([0xff; 128]), "e": "AQAB"});
    let oct = json!({"kty": "oct", "k": B64.encode([7; 64]), "alg": "HS256"});
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (keys, setting) in [
        (Keys::pem(Algorithm::Rs256, "no pem"), "pem"),
        (Keys::pem(Algorithm::Rs256, private), "pem"),
        (Keys::pem(Algorithm::Es256, pair.pem()), "pem"),
        (Keys::pem(Algorithm::Hs256, pair.pem()), "pem"),
        (Keys::der(Algorithm::EdDsa, pair.der.clone()), "der"),
        (Keys::jwk(small.to_string()), "jwk"),
        (Keys::jwk("{"), "jwk"),
        (Keys::jwk_set("[]"), "jwk_set"),
        (set(&[]), "keys"),
        (
            Keys::from_jsonwebtoken(Algorithm::Es256, DecodingKey::from_ed_der(&[1; 32])),
            "from_jsonwebtoken",
        ),
        (
            Keys::from_jsonwebtoken(Algorithm::EdDsa, DecodingKey::from_ed_der(&[1; 8])),
            "from_jsonwebtoken",
        ),
        (
            Keys::from_jsonwebtoken(Algorithm::Rs256, DecodingKey::from_secret(&[7; 64])),
            "algorithm",
        ),
        (Keys::pem(Algorithm::Rs256, format!("{}{}", pair.pem(), pair.pem())), "pem"),
        (set(&[oct, pair.jwk.clone()]), "keys"),
        (Keys::jwk(pair.jwk.to_string()).algorithms([Algorithm::Es256]), "keys"),
        (Keys::secret(Algorithm::Rs256, "s".repeat(64)), "algorithm"),
    ] {
        let error = build(keys.clone()).expect_err(&format!("{keys:?}"));
        assert_eq!(error.setting(), setting, "{error}");
    }
    let many = vec![pair.jwk.clone(); 101];
    assert_eq!(build(set(&many)).unwrap_err().setting(), "jwk_set");
    assert_eq!(build(set(&many[1..])).unwrap_err().setting(), "kid", "100 keys are read");
}

#[test]
fn an_issuer_is_asked_with_its_own_keys_only() {
    let (a, b) = (ed25519(), ed25519());
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let auth = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, a.der.clone()))
        .issuer("https://a.example")
        .audience("orders")
        .other_issuer(
            Issuer::new("https://b.example", Keys::der(Algorithm::EdDsa, b.der.clone()))
                .audience("orders"),
        )
        .clock(clock)
        .build()
        .unwrap();
    let token = |pair: &Pair, issuer: &str| {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        pair.sign(&json!({"alg": "EdDSA"}), &claims)
    };
    assert!(passes(&auth, &token(&a, "https://a.example")));
    assert!(passes(&auth, &token(&b, "https://b.example")));
    assert!(!passes(&auth, &token(&b, "https://a.example")));
    assert!(!passes(&auth, &token(&a, "https://b.example")));
    assert!(!passes(&auth, &token(&a, "https://a.example/")));
    assert!(!passes(&auth, &token(&a, "")));

    let nameless = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, a.der.clone()))
        .any_audience()
        .other_issuer(
            Issuer::new("https://b.example", Keys::der(Algorithm::EdDsa, b.der.clone()))
                .any_audience(),
        );
    assert_eq!(nameless.build().unwrap_err().setting(), "issuer");
}

#[test]
fn cached_token_is_checked_for_time_and_can_be_cleared() {
    let pair = ed25519();
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, pair.der.clone()))
        .audience("orders")
        .skew(Duration::ZERO)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let token = pair.token(Algorithm::EdDsa, None);
    let at = token.len() - 3;
    let other = if token[at..].starts_with('A') { "B" } else { "A" };
    let bad = format!("{}{other}{}", &token[..at], &token[at + 1..]);
    for _ in 0..3 {
        assert!(passes(&auth, &token));
        assert!(!passes(&auth, &bad), "a bad one stays bad beside it");
    }
    auth.clear();
    assert!(passes(&auth, &token), "verified anew");
    clock.advance(Duration::from_secs(59));
    assert!(passes(&auth, &token));
    clock.advance(Duration::from_secs(1));
    assert!(!passes(&auth, &token), "expired, however well known");
}

#[test]
fn the_access_token_profile_takes_nothing_else() {
    let pair = ed25519();
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let auth = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, pair.der.clone()))
        .issuer(claims()["iss"].as_str().unwrap())
        .audience("orders")
        .access_tokens_only()
        .clock(clock)
        .build()
        .unwrap();
    let token = |typ: Option<&str>, claims: &Value| {
        let mut header = json!({"alg": "EdDSA"});
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        pair.sign(&header, claims)
    };
    let mut good = claims();
    good["iat"] = NOW.into();
    good["jti"] = "1".into();
    good["client_id"] = "app".into();
    assert!(passes(&auth, &token(Some("at+jwt"), &good)));
    assert!(passes(&auth, &token(Some("application/AT+JWT"), &good)));
    assert!(!passes(&auth, &token(Some("JWT"), &good)));
    assert!(!passes(&auth, &token(None, &good)));
    for missing in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        assert!(!passes(&auth, &token(Some("at+jwt"), &claims)), "without {missing}");
    }
}
