//! Every algorithm with every kind of key, signed by another library; and keys and tokens that do not belong together.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64},
};
use http::{Request, request};
use jsonwebtoken::{EncodingKey, Header};
use palisade_auth::{Algorithm, Attempt, Authenticate, Jwt, Keys};
use palisade_core::{ConfigError, ManualClock};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

fn claims() -> Value {
    json!({"sub": "ada", "exp": NOW + 60, "iss": "https://a.example", "aud": "orders"})
}

/// A key pair in all the forms that it is given in.
struct Pair {
    algorithms: Vec<(Algorithm, jsonwebtoken::Algorithm)>,
    signs: EncodingKey,
    /// Without `alg` and `kid`.
    jwk: Value,
    der: Vec<u8>,
}

fn rsa() -> Pair {
    use jsonwebtoken::Algorithm as J;
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    Pair {
        algorithms: vec![
            (Algorithm::Rs256, J::RS256),
            (Algorithm::Rs384, J::RS384),
            (Algorithm::Rs512, J::RS512),
            (Algorithm::Ps256, J::PS256),
            (Algorithm::Ps384, J::PS384),
            (Algorithm::Ps512, J::PS512),
        ],
        // jsonwebtoken wants the RSAPrivateKey alone: what follows the 26 bytes of PKCS #8 around it
        signs: EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]),
        jwk: json!({"kty": "RSA", "n": B64.encode(&public.n), "e": B64.encode(&public.e)}),
        der: AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec(),
    }
}

fn ec(curve: &str) -> Pair {
    let (how, algorithm, length) = if curve == "P-256" {
        let algorithm = (Algorithm::Es256, jsonwebtoken::Algorithm::ES256);
        (&ECDSA_P256_SHA256_FIXED_SIGNING, algorithm, 32)
    } else {
        let algorithm = (Algorithm::Es384, jsonwebtoken::Algorithm::ES384);
        (&ECDSA_P384_SHA384_FIXED_SIGNING, algorithm, 48)
    };
    let pair = EcdsaKeyPair::generate(how).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(length);
    Pair {
        algorithms: vec![algorithm],
        signs: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
        jwk: json!({"kty": "EC", "crv": curve, "x": B64.encode(x), "y": B64.encode(y)}),
        der: AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec(),
    }
}

fn ed25519() -> Pair {
    let pair = Ed25519KeyPair::generate().unwrap();
    Pair {
        algorithms: vec![(Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA)],
        signs: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()),
        jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(pair.public_key().as_ref())}),
        der: AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec(),
    }
}

fn pairs() -> Vec<Pair> {
    vec![rsa(), ec("P-256"), ec("P-384"), ed25519()]
}

impl Pair {
    fn token(&self, algorithm: jsonwebtoken::Algorithm, kid: Option<&str>) -> String {
        let header = Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims(), &self.signs).unwrap()
    }

    fn pem(&self) -> String {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(&self.der)
        )
    }

    fn jwk_with(&self, members: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        for (name, value) in members.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }
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
fn every_algorithm_works_with_every_form_of_its_key() {
    for pair in pairs() {
        for &(algorithm, signs) in &pair.algorithms {
            let token = pair.token(signs, Some("a"));
            let named = pair.jwk_with(&json!({"kid": "a", "alg": algorithm.name(), "use": "sig"}));
            for keys in [
                Keys::pem(algorithm, pair.pem()),
                Keys::der(algorithm, pair.der.clone()),
                Keys::jwk(named.to_string()),
                set(std::slice::from_ref(&named)),
                set(&[pair.jwk_with(&json!({"kid": "a"}))]).algorithms([algorithm]),
            ] {
                let auth = build(keys).unwrap();
                assert!(passes(&auth, &token), "{algorithm} {auth:?}");
                // another algorithm, the same key: not what was configured
                for &(_, other) in pair.algorithms.iter().filter(|(other, _)| *other != algorithm) {
                    assert!(!passes(&auth, &pair.token(other, Some("a"))), "{algorithm} {other:?}");
                }
            }
        }
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
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(signs), &claims(), &key).unwrap();
        assert!(passes(&auth, &token));
        let jwk = json!({"kty": "oct", "alg": algorithm.name(), "k": B64.encode(&secret)});
        assert!(passes(&build(Keys::jwk(jwk.to_string())).unwrap(), &token));
        let short = build(Keys::secret(algorithm, &secret[1..])).unwrap_err();
        assert_eq!(short.setting(), "secret");
    }
}

#[test]
fn a_public_key_never_passes_as_a_secret() {
    // Hono let the token choose where a key had no alg (CVE-2026-22817).
    let pair = rsa();
    let auth = build(set(&[pair.jwk_with(&json!({"kid": "a"}))])).unwrap();
    let [pem, der] = [pair.pem().into_bytes(), pair.der.clone()];
    for secret in [pem, der] {
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some("a".into());
        let key = EncodingKey::from_secret(&secret);
        let forged = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert!(!passes(&auth, &forged));
    }
    assert!(passes(&auth, &pair.token(jsonwebtoken::Algorithm::RS256, Some("a"))));
}

#[test]
fn a_kid_names_exactly_one_key_and_without_one_there_must_be_only_one() {
    use jsonwebtoken::Algorithm::{ES256, RS256};
    let (first, second, other) = (rsa(), rsa(), ec("P-256"));
    let keys = set(&[
        first.jwk_with(&json!({"kid": "a"})),
        second.jwk_with(&json!({"kid": "b"})),
        other.jwk_with(&json!({"kid": "c"})),
    ]);
    let auth = build(keys).unwrap();
    assert!(passes(&auth, &first.token(RS256, Some("a"))));
    assert!(passes(&auth, &second.token(RS256, Some("b"))));
    assert!(passes(&auth, &other.token(ES256, Some("c"))));
    assert!(!passes(&auth, &first.token(RS256, Some("b"))), "another's name");
    assert!(!passes(&auth, &first.token(RS256, Some("x"))), "an unknown name");
    assert!(!passes(&auth, &first.token(RS256, Some("c"))), "a key of another type");
    assert!(!passes(&auth, &first.token(RS256, None)), "two keys would fit");
    assert!(passes(&auth, &other.token(ES256, None)), "one key fits");

    let twice = set(&[first.jwk_with(&json!({"kid": "a"})), second.jwk_with(&json!({"kid": "a"}))]);
    assert!(!passes(&build(twice).unwrap(), &first.token(RS256, Some("a"))), "one name, two keys");
}

#[test]
fn keys_that_are_not_for_this_are_left_out_and_do_not_shut_out_others() {
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
        let token = good.token(jsonwebtoken::Algorithm::RS256, Some("a"));
        assert!(passes(&build(keys).unwrap(), &token), "{members}");
        assert!(build(set(&[bad])).is_err(), "{members} alone is no key");
    }
    let point = ec("P-256");
    for (curve, x) in [
        ("P-521", None),
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
fn a_key_that_cannot_be_right_is_a_configuration_error_with_a_remedy() {
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
        (set(&[oct, pair.jwk.clone()]), "keys"),
        (Keys::jwk(pair.jwk.to_string()).algorithms([Algorithm::Es256]), "keys"),
        (Keys::secret(Algorithm::Rs256, "s".repeat(64)), "algorithm"),
    ] {
        let error = build(keys.clone()).expect_err(&format!("{keys:?}"));
        assert_eq!(error.setting(), setting, "{error}");
    }
    let many = vec![pair.jwk.clone(); 101];
    assert_eq!(build(set(&many)).unwrap_err().setting(), "jwk_set");
}

#[test]
fn an_issuer_is_asked_with_its_own_keys_only() {
    use jsonwebtoken::Algorithm::EdDSA;
    let (a, b) = (ed25519(), ed25519());
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    let auth = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, a.der.clone()))
        .issuer("https://a.example")
        .other_issuer("https://b.example", Keys::der(Algorithm::EdDsa, b.der.clone()))
        .audience("orders")
        .clock(clock)
        .build()
        .unwrap();
    let token = |pair: &Pair, issuer: &str| {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        jsonwebtoken::encode(&Header::new(EdDSA), &claims, &pair.signs).unwrap()
    };
    assert!(passes(&auth, &token(&a, "https://a.example")));
    assert!(passes(&auth, &token(&b, "https://b.example")));
    assert!(!passes(&auth, &token(&b, "https://a.example")));
    assert!(!passes(&auth, &token(&a, "https://b.example")));
    assert!(!passes(&auth, &token(&a, "https://a.example/")));
    assert!(!passes(&auth, &token(&a, "")));

    let nameless = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, a.der.clone()))
        .other_issuer("https://b.example", Keys::der(Algorithm::EdDsa, b.der.clone()))
        .any_audience();
    assert_eq!(nameless.build().unwrap_err().setting(), "issuer");
}

#[test]
fn a_token_that_was_seen_before_is_still_checked_for_time_and_forgotten_on_demand() {
    let pair = ed25519();
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = Jwt::<Value>::with_keys(Keys::der(Algorithm::EdDsa, pair.der.clone()))
        .audience("orders")
        .skew(Duration::ZERO)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let token = pair.token(jsonwebtoken::Algorithm::EdDSA, None);
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
        .audience("orders")
        .access_tokens_only()
        .clock(clock)
        .build()
        .unwrap();
    let token = |typ: Option<&str>, claims: &Value| {
        let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.typ = typ.map(Into::into);
        jsonwebtoken::encode(&header, claims, &pair.signs).unwrap()
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
