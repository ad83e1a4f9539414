//! HTTP Message Signatures (RFC 9421).

use http::{HeaderMap, Method};
use palisade_webhook::HttpSignatures;

use super::*;

fn partner() -> HttpSignatures {
    HttpSignatures::hmac_sha256("https://hooks.example.com").unwrap()
}

fn sign(scheme: &HttpSignatures, key_id: &str) -> HeaderMap {
    scheme.sign(STRIPE, key_id, &Method::POST, "/events?a=b", at(NOW), BODY.as_bytes()).unwrap()
}

fn layer() -> Webhook {
    build(Webhook::http_signatures(partner(), STRIPE).key_id("new").and_secret("old", OTHER))
}

#[tokio::test]
async fn message_is_verified_with_the_key_it_names() {
    let answer = send(&layer(), signed("/events?a=b", sign(&partner(), "new"), BODY)).await;
    let verified = answer.assert_passed(BODY.as_bytes());
    assert_eq!((verified.scheme(), verified.key_id()), ("http-signatures", "new"));
    assert_eq!(verified.timestamp(), Some(at(NOW)));
    for unknown in ["default", "NEW", "old"] {
        let answer = send(&layer(), signed("/events?a=b", sign(&partner(), unknown), BODY)).await;
        answer.assert_refused(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn required_components_must_be_signed() {
    let strict = || partner().require(["@authority", "@query"]);
    let layer = build(Webhook::http_signatures(strict(), STRIPE).key_id("new"));
    send(&layer, signed("/events?a=b", sign(&strict(), "new"), BODY))
        .await
        .assert_passed(BODY.as_bytes());
    let less = send(&layer, signed("/events?a=b", sign(&partner(), "new"), BODY)).await;
    less.assert_refused(StatusCode::UNAUTHORIZED);
}

/// A message as RFC 9421 describes it, put together and signed without the code under test.
fn by_hand(params: &str) -> Request<Bytes> {
    use aws_lc_rs::{digest, hmac};
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    let hash = BASE64.encode(digest::digest(&digest::SHA256, BODY.as_bytes()));
    let input = format!("(\"content-digest\" \"@method\" \"@target-uri\"){params}");
    let base = format!(
        "\"content-digest\": sha-256=:{hash}:\n\"@method\": POST\n\
         \"@target-uri\": https://hooks.example.com/events?a=b\n\"@signature-params\": {input}"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, STRIPE.as_bytes());
    let tag = BASE64.encode(hmac::sign(&key, base.as_bytes()));
    let headers = [
        ("content-digest", &*format!("sha-256=:{hash}:")),
        ("signature-input", &*format!("s1={input}")),
        ("signature", &*format!("s1=:{tag}:")),
    ];
    post("/events?a=b", &headers, BODY)
}

#[tokio::test]
async fn message_expires_and_has_its_nonce_as_id() {
    let ends = |end: u64| {
        by_hand(&format!(
            ";created={NOW};expires={end};keyid=\"new\";alg=\"hmac-sha256\";nonce=\"n-1\""
        ))
    };
    let answer = send(&layer(), ends(NOW + 1)).await;
    assert_eq!(answer.assert_passed(BODY.as_bytes()).id(), Some("n-1"));
    send(&layer(), ends(NOW)).await.assert_refused(StatusCode::UNAUTHORIZED);
    for wrong in [
        format!(";created={NOW};keyid=\"new\";alg=\"ed25519\""),
        format!(";created={NOW}"),
        ";keyid=\"new\"".to_owned(),
    ] {
        send(&layer(), by_hand(&wrong)).await.assert_refused(StatusCode::UNAUTHORIZED);
    }
    let unknown = by_hand(&format!(";created={NOW};keyid=\"new\";x=\"y\""));
    send(&layer(), unknown).await.assert_refused(StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tag_selects_the_signature_among_several() {
    let tagged = || partner().tag("ours");
    let mut headers = sign(&tagged(), "new");
    let add = |headers: &mut HeaderMap, name: &str, other: &str| {
        let value = format!("{other}, {}", headers[name].to_str().unwrap());
        headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    };
    add(
        &mut headers,
        "signature-input",
        "proxy=(\"@method\");created=1;keyid=\"x\";tag=\"theirs\"",
    );
    add(&mut headers, "signature", "proxy=:AAAA:");
    let of_tag = build(Webhook::http_signatures(tagged(), STRIPE).key_id("new"));
    send(&of_tag, signed("/events?a=b", headers.clone(), BODY))
        .await
        .assert_passed(BODY.as_bytes());
    send(&layer(), signed("/events?a=b", headers, BODY))
        .await
        .assert_refused(StatusCode::BAD_REQUEST);
    let untagged = send(&of_tag, signed("/events?a=b", sign(&partner(), "new"), BODY)).await;
    untagged.assert_refused(StatusCode::UNAUTHORIZED);
    let other = sign(&partner().tag("other"), "new");
    send(&of_tag, signed("/events?a=b", other, BODY))
        .await
        .assert_refused(StatusCode::UNAUTHORIZED);
}

#[cfg(feature = "ed25519")]
#[tokio::test]
async fn asymmetric_key_belongs_to_its_own_scheme() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = BASE64.encode(pair.public_key().as_ref());
    let scheme = || HttpSignatures::ed25519("https://hooks.example.com").unwrap();
    let headers = scheme()
        .sign(BASE64.encode(seed), "new", &Method::POST, "/", at(NOW), BODY.as_bytes())
        .unwrap();
    let asymmetric = build(Webhook::http_signatures(scheme(), public.clone()).key_id("new"));
    send(&asymmetric, signed("/", headers, BODY)).await.assert_passed(BODY.as_bytes());
    // the public key as the secret of an HMAC
    let forged =
        partner().sign(public, "new", &Method::POST, "/", at(NOW), BODY.as_bytes()).unwrap();
    send(&asymmetric, signed("/", forged, BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
}
