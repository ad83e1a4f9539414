//! Requests of single vendors.

use super::*;

#[tokio::test]
async fn stripe() {
    let sign = |secret: &str, time| {
        let headers = Stripe::sign(secret, at(time), BODY.as_bytes()).unwrap();
        headers["stripe-signature"].to_str().unwrap().to_owned()
    };
    let good = signed("/", Stripe::sign(SECRET, at(NOW), BODY.as_bytes()).unwrap(), BODY);
    let whole = sign(SECRET, NOW);
    let (time, tag) = whole.split_once(",v1=").unwrap();
    Mutated::new(build(Webhook::stripe(SECRET)), good, "stripe-signature")
        .body()
        .signature(tag)
        .with_signature("upper case", format!("{time},v1={}", tag.to_uppercase()))
        .with_signature("of another secret", sign(OTHER, NOW))
        .with_signature("of the secret without its prefix", sign(&SECRET[6..], NOW))
        .with_signature("too old", sign(SECRET, NOW - 301))
        .with_signature("in the future", sign(SECRET, NOW + 301))
        .with_signature("ten minutes in the future", sign(SECRET, NOW + 600))
        .with_signature("in milliseconds", sign(SECRET, NOW * 1000))
        .with_signature("a second later", format!("t={},v1={tag}", NOW + 1))
        .with_signature("another version", format!("{time},v0={tag}"))
        .with_signature("a version to come", format!("{time},v2={tag}"))
        .with_signature("no version", format!("{time},{tag}"))
        .with_signature("no timestamp", format!("v1={tag}"))
        .with_signature("two timestamps", format!("{time},{time},v1={tag}"))
        .with_signature("another timestamp before it", format!("t={},{time},v1={tag}", NOW + 1))
        .with_signature("the names swapped", format!("v1={NOW},t={tag}"))
        .with_signature("a space after the comma", format!("{time}, v1={tag}"))
        .with_signature("semicolons", format!("{time};v1={tag}"))
        .with_signature("a comma at the end", format!("{whole},"))
        .with_signature("in a scheme of its own", format!("T={NOW},V1={tag}"))
        .with_signature("with a sign", format!("t=+{NOW},v1={tag}"))
        .all_refused()
        .await;
}

#[tokio::test]
async fn github() {
    let good = signed("/", GitHub::sign(SECRET, BODY.as_bytes()).unwrap(), BODY);
    let whole = good.headers()["x-hub-signature-256"].to_str().unwrap().to_owned();
    let tag = whole.strip_prefix("sha256=").unwrap().to_owned();
    let other = GitHub::sign(OTHER, BODY.as_bytes()).unwrap();
    Mutated::new(build(Webhook::github(SECRET)), good, "x-hub-signature-256")
        .body()
        .signature(&tag)
        .with_signature("of another secret", other["x-hub-signature-256"].as_bytes())
        .with_signature("upper case", format!("sha256={}", tag.to_uppercase()))
        .with_signature("another name", format!("sha1={tag}"))
        .with_signature("another case of the name", format!("SHA256={tag}"))
        .with_signature("no name", &tag)
        .with_signature("the name twice", format!("sha256={whole}"))
        .with_signature("two in one", format!("{whole},{whole}"))
        .with("x-github-delivery", "with a space", "a b")
        .with("x-github-delivery", "huge", "a".repeat(257))
        .but("only SHA-1", |request| {
            let tag = request.headers_mut().remove("x-hub-signature-256").unwrap();
            request.headers_mut().insert("x-hub-signature", tag);
        })
        .all_refused()
        .await;
}

#[tokio::test]
async fn slack() {
    let sign = |secret: &str, time| {
        signed("/", Slack::sign(secret, at(time), BODY.as_bytes()).unwrap(), BODY)
    };
    let good = sign(SECRET, NOW);
    let whole = good.headers()["x-slack-signature"].to_str().unwrap().to_owned();
    let tag = whole.strip_prefix("v0=").unwrap().to_owned();
    Mutated::new(build(Webhook::slack(SECRET)), good, "x-slack-signature")
        .body()
        .signature(&tag)
        .timestamp("x-slack-request-timestamp")
        .with_signature("upper case", format!("v0={}", tag.to_uppercase()))
        .with_signature("another version", format!("v1={tag}"))
        .with_signature("no version", &tag)
        .with_signature("two in one", format!("{whole},{whole}"))
        .but("of another secret", |request| *request = sign(OTHER, NOW))
        .but("too old", |request| *request = sign(SECRET, NOW - 301))
        .but("in the future", |request| *request = sign(SECRET, NOW + 301))
        .but("a challenge in its place", |request| {
            *request.body_mut() = Bytes::from(r#"{"type":"url_verification","challenge":"x"}"#);
        })
        .all_refused()
        .await;
}

#[tokio::test]
async fn twilio() {
    const FORM: &str = "CallSid=CA1234567890ABCDE&From=14158675309&To=18005551212";
    let sign = |token: &str, url: &str, form: &str| {
        let mut request = signed(
            "/calls?a=b",
            Twilio::sign_form(token, url, form.as_bytes()).unwrap(),
            form.to_owned(),
        );
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert("content-type", form);
        request
    };
    let good = sign(SECRET, "https://a.example/calls?a=b", FORM);
    let tag = good.headers()["x-twilio-signature"].to_str().unwrap().to_owned();
    let of = |token: &str, url: &str| sign(token, url, FORM);
    let layer = || build(Webhook::twilio(SECRET, "https://a.example"));
    Mutated::new(layer(), good, "x-twilio-signature")
        .body()
        .signature(&tag)
        .but("of another token", |request| *request = of(OTHER, "https://a.example/calls?a=b"))
        .but("of another host", |request| *request = of(SECRET, "https://b.example/calls?a=b"))
        .but("of another scheme", |request| *request = of(SECRET, "http://a.example/calls?a=b"))
        .but("of another port", |request| *request = of(SECRET, "https://a.example:8443/calls?a=b"))
        .but("of another path", |request| *request = of(SECRET, "https://a.example/other?a=b"))
        .but("of another query", |request| *request = of(SECRET, "https://a.example/calls?a=c"))
        .but("of no query", |request| *request = of(SECRET, "https://a.example/calls"))
        .but("another query", |request| *request.uri_mut() = "/calls?a=c".parse().unwrap())
        .but("another path", |request| *request.uri_mut() = "/call?a=b".parse().unwrap())
        .but("one parameter more", |request| *request.body_mut() = format!("{FORM}&x=y").into())
        .but("one parameter less", |request| {
            *request.body_mut() = Bytes::from("CallSid=CA1234567890ABCDE&From=14158675309");
        })
        .but("values swapped", |request| {
            *request.body_mut() =
                Bytes::from("CallSid=CA1234567890ABCDE&From=18005551212&To=14158675309");
        })
        .but("a second value", |request| *request.body_mut() = format!("{FORM}&To=1").into())
        .but("no media type", |request| {
            request.headers_mut().remove("content-type");
        })
        .with("content-type", "another", "application/json")
        .with("i-twilio-idempotency-token", "with a space", "a b")
        .all_refused()
        .await;

    let (url, headers) =
        Twilio::sign_json(SECRET, "https://a.example/events", BODY.as_bytes()).unwrap();
    let target = url.strip_prefix("https://a.example").unwrap();
    let good = signed(target, headers, BODY);
    let tag = good.headers()["x-twilio-signature"].to_str().unwrap().to_owned();
    let uri =
        |uri: String| move |request: &mut Request<Bytes>| *request.uri_mut() = uri.parse().unwrap();
    Mutated::new(layer(), good, "x-twilio-signature")
        .body()
        .signature(&tag)
        .but("the hash of another body", uri(format!("/events?bodySHA256={}", "0".repeat(64))))
        .but("no hash", uri("/events".to_owned()))
        .but(
            "the hash in upper case",
            uri(target.to_uppercase().replace("/EVENTS?BODYSHA256", "/events?bodySHA256")),
        )
        .but("the hash twice", uri(format!("{target}&{}", target.split_once('?').unwrap().1)))
        .all_refused()
        .await;
}

#[tokio::test]
async fn shopify() {
    let good = signed("/", Shopify::sign(SECRET, BODY.as_bytes()).unwrap(), BODY);
    let tag = good.headers()["x-shopify-hmac-sha256"].to_str().unwrap().to_owned();
    let other = Shopify::sign(OTHER, BODY.as_bytes()).unwrap();
    let hex = GitHub::sign(SECRET, BODY.as_bytes()).unwrap();
    let hex =
        hex["x-hub-signature-256"].to_str().unwrap().strip_prefix("sha256=").unwrap().to_owned();
    Mutated::new(build(Webhook::shopify(SECRET)), good, "x-shopify-hmac-sha256")
        .body()
        .signature(&tag)
        .with_signature("of another secret", other["x-shopify-hmac-sha256"].as_bytes())
        .with_signature("without padding", tag.trim_end_matches('='))
        .with_signature("more padding", format!("{tag}="))
        .with_signature("in hexadecimal", &hex)
        .with_signature("in a list", format!("{tag},{tag}"))
        .with_signature("with a prefix", format!("sha256={tag}"))
        .with("x-shopify-webhook-id", "with a space", "a b")
        .all_refused()
        .await;
}
