//! Ed25519 keys of Standard Webhooks.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::*;

/// The private key as `whsk_`, of a seed alone and with its public key, and the public one as `whpk_`.
fn keys(seed: u8) -> ([String; 2], String) {
    let seed = [seed; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = pair.public_key().as_ref();
    let written = |prefix: &str, bytes: &[u8]| format!("{prefix}_{}", BASE64.encode(bytes));
    ([written("whsk", &seed), written("whsk", &[&seed, public].concat())], written("whpk", public))
}

#[tokio::test]
async fn asymmetric_signature_is_verified_with_the_public_key() {
    let (private, public) = keys(7);
    for private in private {
        let headers =
            Standard::signer(private).unwrap().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
        assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1a,"));
        let layer = build(Webhook::standard(public.clone()));
        let request = |body: &'static str| signed("/", headers.clone(), body);
        send(&layer, request(BODY)).await.assert_passed(BODY.as_bytes());
        send(&layer, request("{}")).await.assert_refused(StatusCode::UNAUTHORIZED);
        let other = build(Webhook::standard(keys(8).1));
        send(&other, request(BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
        // both kinds of keys at a time
        let both = build(Webhook::standard(STANDARD).and_secret("public", public.clone()));
        assert_eq!(
            send(&both, request(BODY)).await.assert_passed(BODY.as_bytes()).key_id(),
            "public"
        );
    }
}

#[tokio::test]
async fn public_key_is_never_used_as_an_hmac_secret() {
    let public = keys(7).1;
    let as_secret = public.replace("whpk_", "whsec_");
    let headers =
        Standard::signer(as_secret).unwrap().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    for version in ["v1", "v1a"] {
        let mut headers = headers.clone();
        let value = headers["webhook-signature"].to_str().unwrap().replace("v1", version);
        headers.insert("webhook-signature", value.parse().unwrap());
        let layer = build(Webhook::standard(public.clone()));
        send(&layer, signed("/", headers, BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
    }
}

#[test]
fn rejects_keys_of_another_kind_or_length() {
    let ([private, _], public) = keys(7);
    for wrong in [&*private, "whpk_AAAA", "whpk_!", "whpk_"] {
        assert_eq!(Webhook::standard(wrong).build().unwrap_err().setting(), "secret");
    }
    for wrong in [&*public, "whsk_AAAA", "whsk_"] {
        assert_eq!(Standard::signer(wrong).unwrap_err().setting(), "secret");
    }
    let mismatched = BASE64.encode([[7; 32], [8; 32]].concat());
    assert!(Standard::signer(format!("whsk_{mismatched}")).is_err());
}
