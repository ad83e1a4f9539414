//! Settings and secrets.

use super::*;

#[tokio::test]
async fn ten_signatures_are_checked_and_eleven_rejected() {
    let wrong = format!("v1={}", "0".repeat(64));
    let good = Stripe::sign(STRIPE, at(NOW), BODY.as_bytes()).unwrap();
    let good = good["stripe-signature"].to_str().unwrap();
    let (time, tag) = good.split_once(',').unwrap();
    let with = |count: usize| format!("{time},{}{tag}", format!("{wrong},").repeat(count));
    let layer = build(Webhook::stripe(STRIPE));
    let ten = send(&layer, post("/", &[("stripe-signature", &with(9))], BODY)).await;
    ten.assert_passed(BODY.as_bytes());
    let eleven = send(&layer, post("/", &[("stripe-signature", &with(10))], BODY)).await;
    eleven.assert_refused(StatusCode::BAD_REQUEST);

    let headers =
        Standard::signer(STANDARD).unwrap().sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    let good = headers["webhook-signature"].to_str().unwrap().to_owned();
    let wrong = format!("v1,{}= ", "A".repeat(43));
    for (count, status) in [(9, StatusCode::OK), (10, StatusCode::BAD_REQUEST)] {
        let mut headers = headers.clone();
        let value = format!("{}{good}", wrong.repeat(count));
        headers.insert("webhook-signature", value.parse().unwrap());
        let layer = build(Webhook::standard(STANDARD));
        assert_eq!(send(&layer, signed("/", headers, BODY)).await.status, status);
    }
}

#[tokio::test]
async fn tries_five_secrets_on_ten_signatures() {
    let secret = |n: usize| format!("whsec_{n:032}");
    let layer = (1..5).fold(Webhook::stripe(secret(0)).key_id("0"), |layer, n| {
        layer.and_secret(n.to_string(), secret(n))
    });
    let layer = build(layer);
    let wrong = format!("v1={}", "0".repeat(64));
    for (n, at_place) in (0..5).flat_map(|n| (0..10).map(move |place| (n, place))) {
        let good = Stripe::sign(secret(n), at(NOW), BODY.as_bytes()).unwrap();
        let (time, tag) = good["stripe-signature"].to_str().unwrap().split_once(',').unwrap();
        let mut signatures = [&*wrong; 10];
        signatures[at_place] = tag;
        let header = format!("{time},{}", signatures.join(","));
        let answer = send(&layer, post("/", &[("stripe-signature", &header)], BODY)).await;
        assert_eq!(answer.assert_passed(BODY.as_bytes()).key_id(), n.to_string());
    }
}

fn refused(builder: WebhookBuilder) -> ConfigError {
    builder.build().expect_err("it should be refused")
}

#[test]
fn rejects_guessable_secrets() {
    type Make = fn(&str) -> WebhookBuilder;
    let custom: Make =
        |secret| Webhook::hmac(HmacScheme::new("acme", "x-sig").without_timestamp(), secret);
    let schemes: [Make; 6] = [
        |secret| Webhook::stripe(secret),
        |secret| Webhook::github(secret),
        |secret| Webhook::slack(secret),
        |secret| Webhook::shopify(secret),
        |secret| Webhook::standard(secret),
        custom,
    ];
    // Twilio makes its tokens itself.
    for wrong in ["", "a token read from a file\n", " "] {
        let error = refused(Webhook::twilio(wrong, "https://a.example"));
        assert_eq!(error.setting(), "secret", "{wrong:?}");
    }
    for scheme in schemes {
        for wrong in [
            "",
            "whsec_",
            "fifteen bytes..",
            "a secret read from a file\n",
            " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let error = refused(scheme(wrong));
            assert_eq!(error.setting(), "secret", "{wrong:?}");
            assert!(!error.to_string().contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{error}");
            let second = refused(scheme(STANDARD).and_secret("second", wrong));
            assert_eq!(second.setting(), "secret");
        }
        assert!(scheme(STANDARD).build().is_ok());
    }
    let of_bytes = |count: usize| {
        use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
        Webhook::standard(format!("whsec_{}", BASE64.encode(vec![7; count]))).build()
    };
    for (count, fine) in [(23, false), (24, true), (64, true), (65, false)] {
        assert_eq!(of_bytes(count).is_ok(), fine, "{count}");
    }
    assert!(
        refused(Webhook::stripe("sk_live_0123456789abcdefghij")).to_string().contains("whsec_")
    );
}

#[test]
fn signers_reject_the_same_settings_as_layers() {
    assert!(Stripe::sign("", at(NOW), b"").is_err());
    assert!(GitHub::sign("short", b"").is_err());
    assert!(Slack::sign("", at(NOW), b"").is_err());
    assert!(Shopify::sign("", b"").is_err());
    assert!(Twilio::sign_form("", "https://a.example", b"").is_err());
    assert!(Twilio::sign_json("", "https://a.example", b"").is_err());
    assert!(Twilio::sign_form(STRIPE, "https://a.example", b"a=%").is_err());
    assert!(Standard::signer("whsec_").is_err());
    assert!(HmacScheme::new("acme", "x-sig").sign(STRIPE, "", at(NOW), b"").is_err());
}

#[test]
fn invalid_settings_are_config_errors() {
    let stripe = || Webhook::stripe(STRIPE);
    for (wrong, setting) in [
        (stripe().tolerance(Duration::ZERO), "tolerance"),
        (stripe().tolerance(Duration::MAX), "tolerance"),
        (Webhook::github(STRIPE).tolerance(at(300)), "tolerance"),
        (stripe().and_secret("default", OTHER), "key_id"),
        (stripe().replays(replays(1).keep(at(599))), "keep"),
        (stripe().tolerance(at(600)).replays(replays(1).keep(at(600))), "keep"),
        (Webhook::twilio(STRIPE, "a.example"), "public_url"),
        (Webhook::hmac(HmacScheme::new("acme", "x-sig"), STRIPE), "timestamp"),
    ] {
        assert_eq!(refused(wrong).setting(), setting);
    }
    for fine in [at(600), Duration::MAX] {
        assert!(stripe().replays(replays(1).keep(fine)).build().is_ok());
    }
    let with = |count: usize| {
        (1..count).fold(stripe(), |builder, n| builder.and_secret(n.to_string(), OTHER))
    };
    assert!(with(5).build().is_ok());
    assert_eq!(refused(with(6)).setting(), "secrets");
}

#[test]
fn debug_shows_no_secret_and_no_signature() {
    let builder =
        Webhook::stripe(STRIPE).and_secret("old", Secret::from(OTHER)).replays(replays(1));
    let mut shown = format!("{builder:?}");
    shown += &format!("{:?}", builder.build().unwrap());
    shown += &format!("{:?}", Standard::signer(STANDARD).unwrap());
    let headers = Stripe::sign(STRIPE, at(NOW), BODY.as_bytes()).unwrap();
    shown += &format!("{headers:?}");
    for secret in [STRIPE, OTHER, STANDARD, "v1="] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("stripe") && shown.contains("old"), "{shown}");
}
