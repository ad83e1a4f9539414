//! Algorithms in the settings of issuers.

use super::*;

#[test]
fn token_is_verified_with_keys_of_its_own_issuer_only() {
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
    assert!(passes(&auth, &token), "verified again");
    clock.advance(Duration::from_secs(59));
    assert!(passes(&auth, &token));
    clock.advance(Duration::from_secs(1));
    assert!(!passes(&auth, &token), "expired, however well known");
}

#[test]
fn access_token_profile_rejects_other_tokens() {
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
