//! Nothing that anybody sends makes it panic, and what is signed arrives as it was sent.

mod common;

use bytes::Bytes;
use common::{NOW, at, build, send, signed};
use http::{HeaderValue, Method, Request, StatusCode};
use palisade_webhook::{
    GitHub, HmacScheme, HttpSignatures, InMemoryReplays, Replays, Shopify, Slack, Standard, Stripe,
    Twilio, Webhook,
};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn acme() -> HmacScheme {
    HmacScheme::new("acme", "x-acme-signature")
        .signs("{timestamp}.{body}")
        .timestamp_header("x-acme-time")
        .id_header("x-acme-id")
}

fn partner() -> HttpSignatures {
    HttpSignatures::hmac_sha256("https://a.example").unwrap()
}

fn every_scheme() -> Vec<Webhook> {
    [
        Webhook::stripe(SECRET),
        Webhook::github(SECRET),
        Webhook::slack(SECRET),
        Webhook::twilio(SECRET, "https://a.example"),
        Webhook::shopify(SECRET),
        Webhook::standard(SECRET),
        Webhook::svix(SECRET),
        Webhook::hmac(acme(), SECRET),
        Webhook::http_signatures(partner(), SECRET),
    ]
    .map(|builder| builder.replays(Replays::new(InMemoryReplays::new(10).unwrap())))
    .map(build)
    .into()
}

const FIELDS: [&str; 21] = [
    "content-digest",
    "signature",
    "signature-input",
    "stripe-signature",
    "x-hub-signature-256",
    "x-github-delivery",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "x-twilio-signature",
    "i-twilio-idempotency-token",
    "content-type",
    "x-shopify-hmac-sha256",
    "x-shopify-webhook-id",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-signature",
    "x-acme-signature",
    "x-acme-time",
    "x-acme-id",
];

/// Bytes that look a little like what belongs there.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        "(sig=|\\(\"@method\"|\\)|:|;created=|t=|v1=|v0=|v1,|v1a,|sha256=|,| |=|[0-9a-f]{2,70}|[A-Za-z0-9+/]{1,50}={0,2}|1614265330){0,12}"
            .prop_map(String::into_bytes),
        Just(NOW.to_string().into_bytes()),
        Just(b"application/x-www-form-urlencoded".to_vec()),
    ]
}

fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 192 } else { 2048 }))]

    #[test]
    fn arbitrary_bytes_never_panic_and_never_pass(
        fields in prop::collection::vec((0..FIELDS.len(), value()), 0..24),
        body in prop::collection::vec(any::<u8>(), 0..300),
        query in "[a-zA-Z0-9=&%]{0,40}|bodySHA256=[0-9a-fA-F]{60,66}",
    ) {
        let mut request = Request::post(format!("/?{query}")).body(Bytes::from(body)).unwrap();
        for (field, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(FIELDS[field], value);
            }
        }
        for layer in every_scheme() {
            let answer = now(send(&layer, request.clone()));
            let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&answer.status);
            prop_assert!(refused && answer.calls == 0, "{:?}", answer);
        }
    }

    #[test]
    fn any_signed_body_arrives_unchanged(
        body in prop::collection::vec(any::<u8>(), 0..2000),
        id in "[!-\\-/-~]{1,64}",
        off in -300i64..=300,
    ) {
        let time = at(NOW.saturating_add_signed(off));
        let mut github = GitHub::sign(SECRET, &body).unwrap();
        github.insert("x-github-delivery", id.parse().unwrap());
        let mut shopify = Shopify::sign(SECRET, &body).unwrap();
        shopify.insert("x-shopify-webhook-id", id.parse().unwrap());
        let signer = || Standard::signer(SECRET).unwrap();
        let (url, twilio) = Twilio::sign_json(SECRET, "https://a.example/x", &body).unwrap();
        let target = url.strip_prefix("https://a.example").unwrap();
        let requests = [
            signed("/", Stripe::sign(SECRET, time, &body).unwrap(), body.clone()),
            signed("/", github, body.clone()),
            signed("/", Slack::sign(SECRET, time, &body).unwrap(), body.clone()),
            signed(target, twilio, body.clone()),
            signed("/", shopify, body.clone()),
            signed("/", signer().sign(&id, time, &body).unwrap(), body.clone()),
            signed("/", signer().svix().sign(&id, time, &body).unwrap(), body.clone()),
            signed("/", acme().sign(SECRET, &id, time, &body).unwrap(), body.clone()),
            signed("/", partner().sign(SECRET, "default", &Method::POST, "/", time, &body).unwrap(), body.clone()),
        ];
        for (layer, request) in every_scheme().into_iter().zip(requests) {
            let answer = now(send(&layer, request));
            answer.assert_passed(&body);
        }
    }

    #[test]
    fn any_form_signed_for_twilio_arrives_unchanged(
        pairs in prop::collection::vec(("[ -~\u{e9}\u{1f600}]{0,10}", "[ -~\u{e9}\u{1f600}]{0,20}"), 0..20),
    ) {
        let escaped = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let form = pairs.join("&");
        let headers = Twilio::sign_form(SECRET, "https://a.example/x", form.as_bytes()).unwrap();
        let mut request = signed("/x", headers, form.clone());
        let media_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert("content-type", media_type);
        let layer = build(Webhook::twilio(SECRET, "https://a.example"));
        now(send(&layer, request)).assert_passed(form.as_bytes());
    }
}
