//! Checks and conversions of the user, and the log.

use super::*;

#[test]
fn custom_checks_run_on_each_use() {
    let is_open = Arc::new(AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let auth = own()
        .validate(|claims: &Claims| match claims.plan.as_deref() {
            Some("free") => Err(ApiError::forbidden().with_code("PLAN").with_message("upgrade")),
            _ => Ok(()),
        })
        .validate(move |_| {
            if open.load(Ordering::SeqCst) { Ok(()) } else { Err(ApiError::unauthenticated()) }
        })
        .build()
        .unwrap();
    let error = verify(&auth, &from_own(json!({ "plan": "free" }))).unwrap_err();
    assert_eq!((error.status().as_u16(), error.code()), (403, "PLAN"));
    assert!(!error.headers().contains_key("www-authenticate"));

    let token = from_own(json!({}));
    assert!(verify(&auth, &token).is_ok());
    is_open.store(false, Ordering::SeqCst);
    let error = verify(&auth, &token).unwrap_err();
    assert_eq!(error.status(), 401);
    let challenge = error.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
}

#[test]
fn custom_check_runs_for_its_issuer_after_the_signature() {
    let deny = |_: &Claims| Err::<(), _>(ApiError::forbidden());
    let auth = own().other_issuer(partner().validate(deny)).build().unwrap();
    assert!(verify(&auth, &from_own(json!({}))).is_ok());
    assert_eq!(verify(&auth, &from_partner(json!({}))).unwrap_err().status(), 403);
    let forged = token(OWN, "https://partner.example", "partner-api", json!({}));
    assert_eq!(verify(&auth, &forged).unwrap_err().status(), 401);
}

#[test]
fn map_principal_replaces_the_principal() {
    let auth = own()
        .map_principal(|claims, principal| {
            assert_eq!(principal.subject(), "ada");
            Principal::new(claims.sub.to_uppercase()).with_scopes(principal.scopes())
        })
        .build()
        .unwrap();
    let identity = verify(&auth, &from_own(json!({ "scope": "read", "roles": "admin" }))).unwrap();
    let principal = identity.principal();
    assert_eq!((principal.issuer(), principal.subject()), ("https://own.example", "ADA"));
    assert!(principal.has_scope("read") && !principal.has_role("admin"));

    let renamed = own()
        .map_principal(|_, principal| principal.issued_by("https://users.example"))
        .build()
        .unwrap();
    let identity = verify(&renamed, &from_own(json!({}))).unwrap();
    assert_eq!(identity.principal().issuer(), "https://users.example");

    let nameless = own().map_principal(|_, _| Principal::new("")).build().unwrap();
    assert_eq!(verify(&nameless, &from_own(json!({}))).unwrap_err().status(), 401);
}

#[test]
fn max_age_is_checked_on_each_use() {
    let clock = clock();
    let auth = own()
        .max_age(Duration::from_secs(30))
        .skew(Duration::from_secs(5))
        .cache_for(Duration::from_secs(3600))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let token = from_own(json!({}));
    for (advance, is_valid) in [(0, true), (35, true), (1, false)] {
        clock.advance(Duration::from_secs(advance));
        assert_eq!(verify(&auth, &token).is_ok(), is_valid, "{advance}");
    }
    assert!(verify(&auth, &from_own(json!({ "iat": null }))).is_err());
    assert!(verify(&auth, &from_own(json!({ "iat": NOW + 1 }))).is_ok());
}

#[test]
fn skew_applies_to_each_time_claim_exactly() {
    let auth = own().skew(Duration::from_secs(10)).build().unwrap();
    let is_valid = |claims| verify(&auth, &from_own(claims)).is_ok();
    assert!(is_valid(json!({ "nbf": NOW + 10 })) && !is_valid(json!({ "nbf": NOW + 11 })));
    assert!(is_valid(json!({ "iat": NOW + 10 })) && !is_valid(json!({ "iat": NOW + 11 })));
    assert!(is_valid(json!({ "exp": NOW - 9 })) && !is_valid(json!({ "exp": NOW - 10 })));
    let auth =
        own().skew(Duration::from_secs(10)).max_lifetime(Duration::from_secs(60)).build().unwrap();
    let is_valid = |claims| verify(&auth, &from_own(claims)).is_ok();
    assert!(is_valid(json!({ "exp": NOW + 70 })) && !is_valid(json!({ "exp": NOW + 71 })));
    let exact = own().skew(Duration::ZERO).build().unwrap();
    let is_valid = |claims| verify(&exact, &from_own(claims)).is_ok();
    assert!(
        is_valid(json!({ "nbf": NOW, "iat": NOW }))
            && !is_valid(json!({ "nbf": NOW as f64 + 0.5 }))
    );
    assert!(is_valid(json!({ "exp": NOW as f64 + 0.5 })) && !is_valid(json!({ "exp": NOW })));
}

#[test]
fn log_names_check_claim_issuer_and_reason_but_no_token() {
    let auth = own()
        .other_issuer(partner())
        .max_age(Duration::from_secs(600))
        .validate(|claims: &Claims| match claims.plan.as_deref() {
            Some("free") => Err(ApiError::forbidden().with_message("upgrade")),
            _ => Ok(()),
        })
        .build()
        .unwrap();
    let ours = "issuer=\"https://own.example\"";
    for (claims, parts) in [
        (json!({ "aud": "other" }), &["check=\"audience\" claim=\"aud\"", ours, "other"][..]),
        (json!({ "aud": null }), &["check=\"required claim\" claim=\"aud\"", ours]),
        (json!({ "exp": 1 }), &["check=\"expiry\" claim=\"exp\"", ours]),
        (
            json!({ "exp": "soon" }),
            &["check=\"claims\" claim=\"exp\"", ours, "invalid type: string"],
        ),
        (json!({ "nbf": NOW + 99 }), &["claim=\"nbf\"", ours]),
        (json!({ "iat": NOW + 99 }), &["claim=\"iat\"", ours]),
        (json!({ "iat": NOW - 999 }), &["check=\"max_age\" claim=\"iat\"", ours]),
        (json!({ "sub": "" }), &["check=\"required claim\" claim=\"sub\"", ours]),
        (json!({ "plan": 7 }), &["check=\"claims\" claim=\"plan\"", ours, "invalid type: integer"]),
        (json!({ "plan": "free" }), &["check=\"validate\"", ours, "upgrade"]),
        (json!({ "iss": "https://evil.example" }), &["check=\"issuer\" claim=\"iss\"", "evil"]),
    ] {
        let token = from_own(claims);
        let log = Log::during(Level::DEBUG, || drop(verify(&auth, &token).unwrap_err()));
        for part in parts {
            assert!(log.contains(part), "{part} in {log}");
        }
        assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
    }
    let long = from_own(json!({ "aud": "x".repeat(2000) }));
    let log = Log::during(Level::DEBUG, || drop(verify(&auth, &long).unwrap_err()));
    assert!(log.len() < 500, "{log}");
}

#[test]
fn log_contains_the_key_id() {
    let header = B64.encode(r#"{"alg":"HS256","kid":"2026-11"}"#);
    let token = format!("{header}.{}.AAAA", B64.encode(r#"{"sub":"ada"}"#));
    let auth = own().build().unwrap();
    let log = Log::during(Level::DEBUG, || drop(verify(&auth, &token).unwrap_err()));
    let expected = "check=\"signature\" kid=\"2026-11\" issuer=\"https://own.example\"";
    assert!(log.contains(expected), "{log}");
}
