//! What single vendors add.

use super::*;

#[tokio::test]
async fn svix_and_standard_read_only_their_own_headers() {
    let signer = || Standard::signer(STANDARD).unwrap();
    let standard = signer().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    let svix = signer().svix().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    let (of_standard, of_svix) =
        (build(Webhook::standard(STANDARD)), build(Webhook::svix(STANDARD)));
    let answer = send(&of_svix, signed("/", svix.clone(), BODY)).await;
    assert_eq!(answer.assert_passed(BODY.as_bytes()).scheme(), "svix");
    send(&of_svix, signed("/", standard, BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
    send(&of_standard, signed("/", svix, BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unknown_signature_version_is_ignored() {
    let mut headers =
        Standard::signer(STANDARD).unwrap().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    let good = headers["webhook-signature"].to_str().unwrap().to_owned();
    let layer = build(Webhook::standard(STANDARD));
    headers.insert("webhook-signature", format!("v2,whatever! {good}").parse().unwrap());
    send(&layer, signed("/", headers.clone(), BODY)).await.assert_passed(BODY.as_bytes());
    headers.insert("webhook-signature", good.replace("v1", "v2").parse().unwrap());
    send(&layer, signed("/", headers, BODY)).await.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn dot_in_an_id_cannot_shift_the_signed_fields() {
    // signed: id `a`, time NOW, body `1614265331.X`; the same bytes as id `a.1614265330`, time 1614265331, body `X`
    let body = format!("{}.X", NOW + 1);
    let signer = Standard::signer(STANDARD).unwrap();
    let mut headers = signer.sign("a", at(NOW), body.as_bytes()).unwrap();
    headers.insert("webhook-id", format!("a.{NOW}").parse().unwrap());
    headers.insert("webhook-timestamp", (NOW + 1).to_string().parse().unwrap());
    let layer = build(Webhook::standard(STANDARD));
    send(&layer, signed("/", headers, "X")).await.assert_refused(StatusCode::BAD_REQUEST);
    assert_eq!(signer.sign("a.b", at(NOW), b"").unwrap_err().setting(), "id");
}

#[cfg(not(feature = "ed25519"))]
#[test]
fn asymmetric_key_error_names_the_required_feature() {
    let key = format!("whpk_{}=", "A".repeat(43));
    let error = Webhook::standard(key).build().unwrap_err();
    assert!(error.to_string().contains("webhook-ed25519"), "{error}");
}

#[tokio::test]
async fn slack_challenge_is_answered_after_verification() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let layer = build(Webhook::slack(secret).replays(replays(1)));
    let body = r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let headers = Slack::sign(secret, at(NOW), body.as_bytes()).unwrap();
    for _ in 0..3 {
        let answer = send(&layer, signed("/", headers.clone(), body)).await;
        assert_eq!((answer.status, answer.calls), (StatusCode::OK, 0));
        assert_eq!(answer.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    send(&layer, post("/", &[], body)).await.assert_refused(StatusCode::UNAUTHORIZED);
    let others = Slack::sign(OTHER, at(NOW), body.as_bytes()).unwrap();
    send(&layer, signed("/", others, body)).await.assert_refused(StatusCode::UNAUTHORIZED);

    // what only looks like one is the handler's
    let long = format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "x".repeat(4096));
    for body in
        [r#"{"type":"event_callback","challenge":"x"}"#, r#"{"type":"url_verification"}"#, &long]
    {
        let headers = Slack::sign(secret, at(NOW), body.as_bytes()).unwrap();
        let layer = build(Webhook::slack(secret));
        send(&layer, signed("/", headers, body.to_owned())).await.assert_passed(body.as_bytes());
    }
}

#[tokio::test]
async fn slack_event_id_is_the_delivery_id() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body = r#"{"type":"event_callback","event_id":"Ev0PV52K21"}"#;
    let headers = Slack::sign(secret, at(NOW), body.as_bytes()).unwrap();
    let answer = send(&build(Webhook::slack(secret)), signed("/", headers, body)).await;
    assert_eq!(answer.assert_passed(body.as_bytes()).id(), Some("Ev0PV52K21"));
}
