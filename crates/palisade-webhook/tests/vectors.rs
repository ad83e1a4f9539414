//! What the vendors' own documents say a signature is, through the layer.

mod common;

use aws_lc_rs::hmac;
use common::{at, build_at, post, send, signed};
use palisade_webhook::{
    Algorithm, GitHub, HmacScheme, Shopify, Slack, Standard, Stripe, Twilio, Webhook,
};

/// The HMAC of another library than the layer's.
fn aws_lc(algorithm: Algorithm, secret: &str, message: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
        other => panic!("no HMAC for {other:?}"),
    };
    hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), message).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

#[tokio::test]
async fn standard_webhooks() {
    let layer =
        build_at(Webhook::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 1_614_265_330);
    let body = r#"{"test": 2432232314}"#;
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let answer = send(&layer, post("/", &headers, body)).await;
    let verified = answer.assert_passed(body.as_bytes());
    assert_eq!(verified.scheme(), "standard");
    assert_eq!(verified.id(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
    assert_eq!(verified.timestamp(), Some(at(1_614_265_330)));
    assert_eq!(verified.key_id(), "default");

    let signer = Standard::signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let made = signer.sign(headers[0].1, at(1_614_265_330), body.as_bytes()).unwrap();
    for (name, value) in headers {
        assert_eq!(made[name], value);
    }
}

#[tokio::test]
async fn github() {
    let layer = build_at(Webhook::github("It's a Secret to Everybody"), 0);
    let body = "Hello, World!";
    let headers = [
        (
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        ("x-hub-signature", "sha1=0000000000000000000000000000000000000000"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    ];
    let answer = send(&layer, post("/", &headers, body)).await;
    let verified = answer.assert_passed(body.as_bytes());
    assert_eq!(verified.id(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    assert_eq!((verified.scheme(), verified.timestamp()), ("github", None));
    let made = GitHub::sign("It's a Secret to Everybody", body.as_bytes()).unwrap();
    assert_eq!(made["x-hub-signature-256"], headers[0].1);
}

const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
    &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
    &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F\
    T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

#[tokio::test]
async fn slack() {
    let layer = build_at(Webhook::slack("8f742231b10e8888abcd99yyyzzz85a5"), 1_531_420_618);
    let headers = [
        (
            "x-slack-signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
        ("x-slack-request-timestamp", "1531420618"),
    ];
    let answer = send(&layer, post("/", &headers, SLACK_BODY)).await;
    let verified = answer.assert_passed(SLACK_BODY.as_bytes());
    assert_eq!((verified.scheme(), verified.id()), ("slack", None));
    assert_eq!(verified.timestamp(), Some(at(1_531_420_618)));
    let made =
        Slack::sign("8f742231b10e8888abcd99yyyzzz85a5", at(1_531_420_618), SLACK_BODY.as_bytes());
    assert_eq!(made.unwrap()["x-slack-signature"], headers[0].1);
}

#[tokio::test]
async fn stripe_signature_of_another_library() {
    let secret = "whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s";
    let body = r#"{"id":"evt_1MwXzK","object":"event"}"#;
    let tag = hex(&aws_lc(Algorithm::Sha256, secret, format!("1614265330.{body}").as_bytes()));
    let layer = build_at(Webhook::stripe(secret), 1_614_265_330);
    let header = format!("t=1614265330,v1={tag},v0={}", "0".repeat(64));
    let answer = send(&layer, post("/", &[("stripe-signature", &header)], body)).await;
    let verified = answer.assert_passed(body.as_bytes());
    assert_eq!((verified.scheme(), verified.id()), ("stripe", Some("evt_1MwXzK")));
    let made = Stripe::sign(secret, at(1_614_265_330), body.as_bytes()).unwrap();
    assert_eq!(made["stripe-signature"], format!("t=1614265330,v1={tag}"));
}

#[tokio::test]
async fn shopify_signature_of_another_library() {
    let (secret, body) = ("hush-hush-hush-hush-hush", r#"{"id":820982911946154508}"#);
    let tag = base64(&aws_lc(Algorithm::Sha256, secret, body.as_bytes()));
    let headers = [
        ("x-shopify-hmac-sha256", &*tag),
        ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    ];
    let answer = send(&build_at(Webhook::shopify(secret), 0), post("/", &headers, body)).await;
    let verified = answer.assert_passed(body.as_bytes());
    assert_eq!(verified.id(), Some("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"));
    assert_eq!(Shopify::sign(secret, body.as_bytes()).unwrap()["x-shopify-hmac-sha256"], tag);
}

#[tokio::test]
async fn twilio_signature_of_its_documentation() {
    let layer = build_at(Webhook::twilio("12345", "https://mycompany.com"), 0);
    let form = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
    let headers = [
        ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let request = post("/myapp.php?foo=1&bar=2", &headers, form);
    send(&layer, request).await.assert_passed(form.as_bytes());
}

#[tokio::test]
async fn verifies_twilio_for_any_host_header() {
    let token = "0123456789abcdef0123456789abcdef";
    let layer = build_at(Webhook::twilio(token, "https://mycompany.com"), 0);
    let form = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
    let of = |base: &str| {
        let message = format!(
            "{base}/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675309Digits1234\
             From+14158675309To+18005551212"
        );
        base64(&aws_lc(Algorithm::Sha1, token, message.as_bytes()))
    };
    for base in ["https://mycompany.com", "https://mycompany.com:443"] {
        let headers = [
            ("x-twilio-signature", &*of(base)),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
        ];
        let request = post("/myapp.php?foo=1&bar=2", &headers, form);
        send(&layer, request).await.assert_passed(form.as_bytes());
    }
    let headers = [
        ("x-twilio-signature", &*of("https://evil.example")),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", "evil.example"),
    ];
    let answer = send(&layer, post("/myapp.php?foo=1&bar=2", &headers, form)).await;
    answer.assert_refused(http::StatusCode::UNAUTHORIZED);

    let made =
        Twilio::sign_form(token, "https://mycompany.com/myapp.php?foo=1&bar=2", form.as_bytes());
    assert_eq!(made.unwrap()["x-twilio-signature"], of("https://mycompany.com"));
}

#[tokio::test]
async fn twilio_signs_a_json_hash_and_a_get_without_a_body() {
    let token = "0123456789abcdef0123456789abcdef";
    let layer = build_at(Webhook::twilio(token, "https://mycompany.com/v2"), 0);
    let json = r#"{"type":"com.twilio.messaging"}"#;
    let (url, headers) =
        Twilio::sign_json(token, "https://mycompany.com/v2/events?a=b", json.as_bytes()).unwrap();
    let tag = base64(&aws_lc(Algorithm::Sha1, token, url.as_bytes()));
    assert_eq!(headers["x-twilio-signature"], tag);
    let target = url.strip_prefix("https://mycompany.com/v2").unwrap();
    send(&layer, signed(target, headers, json)).await.assert_passed(json.as_bytes());

    let headers =
        Twilio::sign_form(token, "https://mycompany.com/v2/calls?CallSid=CA1", b"").unwrap();
    let mut get = signed("/calls?CallSid=CA1", headers, "");
    *get.method_mut() = http::Method::GET;
    send(&layer, get).await.assert_passed(b"");
}

#[tokio::test]
async fn custom_hmac_signature_of_another_library() {
    let (secret, body) = ("a secret that acme and we share", "hello");
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
        let acme = HmacScheme::new("acme", "x-acme-signature")
            .algorithm(algorithm)
            .prefix("sig=")
            .signs("{id}|{timestamp}|{body}!")
            .id_header("x-acme-id")
            .timestamp_header("x-acme-time")
            .timestamp_in_millis();
        let tag = hex(&aws_lc(algorithm, secret, b"7|1614265330123|hello!"));
        let headers = [
            ("x-acme-signature", &*format!("sig={tag}")),
            ("x-acme-id", "7"),
            ("x-acme-time", "1614265330123"),
        ];
        let made = acme
            .sign(secret, "7", std::time::Duration::from_millis(1_614_265_330_123), b"hello")
            .unwrap();
        for (name, value) in headers {
            assert_eq!(made[name], value);
        }
        let layer = build_at(Webhook::hmac(acme, secret), 1_614_265_330);
        let answer = send(&layer, post("/", &headers, body)).await;
        let verified = answer.assert_passed(body.as_bytes());
        assert_eq!((verified.scheme(), verified.id()), ("acme", Some("7")));
        assert_eq!(verified.timestamp(), Some(at(1_614_265_330)));
    }
}
