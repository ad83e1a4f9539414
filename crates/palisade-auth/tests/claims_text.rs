//! Claims that are not JSON or have two meanings, for each type that reads them.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, header};
use palisade_auth::{Jwt, JwtBuilder};
use palisade_core::{Decision, ManualClock, Policy};
use serde::Deserialize;

const SECRET: &str = "a signing key of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

#[derive(Debug, Deserialize)]
struct Claims {
    #[allow(dead_code, reason = "only read by serde")]
    #[serde(default)]
    level: String,
}

/// A type that hides the errors of its parts, and of the rest of the claims.
#[derive(Debug)]
struct Lenient;

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let _ = Claims::deserialize(json);
        Ok(Self)
    }
}

fn jwt<C: serde::de::DeserializeOwned + Send + Sync + 'static>() -> JwtBuilder<C> {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    Jwt::hs256(SECRET).clock(clock).audience("orders")
}

/// Returns true if a token with this text as its claims is accepted.
fn is_accepted<C: serde::de::DeserializeOwned + Send + Sync + 'static>(
    auth: JwtBuilder<C>,
    claims: &str,
) -> bool {
    let message = format!("{}.{}", B64.encode(r#"{"alg":"HS256"}"#), B64.encode(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    let signature = B64.encode(mac.finalize().into_bytes());
    let request = Request::get("/")
        .header(header::AUTHORIZATION, format!("Bearer {message}.{signature}"))
        .body(())
        .unwrap();
    let decision = auth.build().unwrap().decide(&request.into_parts().0);
    matches!(decision, Decision::Now(Ok(_)))
}

fn with(member: &str) -> String {
    format!(r#"{{"aud":"orders","sub":"ada","exp":{}{member}}}"#, NOW + 60)
}

#[test]
fn duplicate_claims_are_rejected() {
    assert!(is_accepted(jwt::<Claims>(), &with("")));
    for twice in [r#","sub":"eve""#, r#","x":1,"x":1"#, r#","x":{"y":1,"y":1}"#] {
        assert!(!is_accepted(jwt::<Claims>(), &with(twice)), "{twice}");
        assert!(!is_accepted(jwt::<()>(), &with(twice)), "{twice}");
    }
}

#[test]
fn broken_json_is_rejected_for_all_claims_types() {
    let long = format!("1{}", "0".repeat(400));
    for bad in ["1.", "nul", "-", "1e999", &long, "\"a\tb\"", "[1e999]", r#"{"n":1e999}"#] {
        let claims = with(&format!(r#","x":{bad}"#));
        assert!(!is_accepted(jwt::<Claims>(), &claims), "{bad}");
        assert!(!is_accepted(jwt::<Lenient>(), &claims), "{bad}");
        assert!(!is_accepted(jwt::<()>(), &claims), "{bad}");
        // Else the path would be absent, and the client be the caller.
        let by_path = jwt::<()>().subject_at(["x", "id"]).client_as_subject("client:");
        let claims = with(&format!(r#","azp":"app","x":{{"id":"bob","n":{bad}}}"#));
        assert!(!is_accepted(by_path, &claims), "{bad}");
    }
}

#[test]
fn type_that_stops_in_the_middle_is_rejected() {
    assert!(is_accepted(jwt::<Lenient>(), &with("")));
    let claims = with("").replacen('{', r#"{"level":1,"#, 1);
    assert!(!is_accepted(jwt::<Lenient>(), &claims));
}
