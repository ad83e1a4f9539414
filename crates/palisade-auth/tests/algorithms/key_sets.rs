//! Sets of several keys, and keys that cannot be used.

use super::*;

#[test]
fn public_key_is_never_accepted_as_an_hmac_secret() {
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
fn kid_selects_the_key_and_may_be_omitted_if_one_matches() {
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
fn keys_with_the_same_or_no_kid_are_config_errors() {
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
fn unsupported_algorithm_is_a_config_error() {
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
