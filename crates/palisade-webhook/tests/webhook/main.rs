//! The behaviour of the layer that all schemes share.

#[cfg(feature = "ed25519")]
mod ed25519;
mod http_signatures;
mod settings;
mod vendors;

#[path = "../common/mod.rs"]
mod common;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{NOW, at, build, build_at, post, send, send_answering, signed};
use http::{Request, StatusCode};
use palisade_core::{
    Body, ConfigError, ManualClock, Secret,
    testing::{Contract, Script, Step},
};
use palisade_webhook::{
    GitHub, HmacScheme, InMemoryReplays, Replays, Shopify, Slack, Standard, Stripe, Twilio,
    Webhook, WebhookBuilder,
};

const STRIPE: &str = "whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s";
const OTHER: &str = "whsec_another0tGZc8fVt7bqW3mKx1oLpQr9";
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_STANDARD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"id":"evt_1"}"#;

fn stripe_at(seconds: u64) -> Request<Bytes> {
    signed("/", Stripe::sign(STRIPE, at(seconds), BODY.as_bytes()).unwrap(), BODY)
}

#[tokio::test]
async fn missing_and_wrong_signature_get_the_same_401() {
    let layer = build(Webhook::stripe(STRIPE));
    let unsigned = send(&layer, post("/", &[], BODY)).await;
    let wrong = signed("/", Stripe::sign(OTHER, at(NOW), BODY.as_bytes()).unwrap(), BODY);
    let wrong = send(&layer, wrong).await;
    let stale = send(&layer, stripe_at(NOW - 301)).await;
    for answer in [&unsigned, &wrong, &stale] {
        answer.assert_refused(StatusCode::UNAUTHORIZED);
        assert_eq!(answer.code(), "UNAUTHENTICATED");
        assert_eq!(answer.headers["www-authenticate"], "Webhook realm=\"stripe\"");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.body, unsigned.body, "a refusal tells what was wrong");
    }
}

#[tokio::test]
async fn malformed_signature_header_is_400() {
    let layer = build(Webhook::stripe(STRIPE));
    for broken in ["", "nonsense", "t=1614265330,v1=zz", "v1=00", "t=1,t=2,v1=00"] {
        let answer = send(&layer, post("/", &[("stripe-signature", broken)], BODY)).await;
        answer.assert_refused(StatusCode::BAD_REQUEST);
        assert_eq!(answer.code(), "BAD_REQUEST");
    }
}

#[tokio::test]
async fn rejects_timestamps_beyond_five_minutes_by_default() {
    let layer = build(Webhook::stripe(STRIPE));
    for fine in [NOW, NOW - 300, NOW + 300] {
        send(&layer, stripe_at(fine)).await.assert_passed(BODY.as_bytes());
    }
    // Stripe's own library takes one from the future, however far.
    for stale in [NOW - 301, NOW + 301, NOW - 600, NOW + 600, NOW * 1000, 0] {
        send(&layer, stripe_at(stale)).await.assert_refused(StatusCode::UNAUTHORIZED);
    }
    let strict = build(Webhook::stripe(STRIPE).tolerance(at(10)));
    send(&strict, stripe_at(NOW - 10)).await.assert_passed(BODY.as_bytes());
    send(&strict, stripe_at(NOW + 11)).await.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn timestamp_is_checked_again_after_the_body_is_read() {
    use http_body_util::Empty;
    use tower::{Layer, ServiceExt, service_fn};

    // The clock moves on while the body arrives.
    let clock = ManualClock::at(at(NOW));
    let layer = Webhook::stripe(STRIPE).clock(Arc::new(clock.clone())).build().unwrap();
    let service = layer.layer(service_fn(|_: Request<Body<SlowBody>>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<Bytes>::new()))
    }));
    let (head, _) = stripe_at(NOW).into_parts();
    let answer = service.oneshot(Request::from_parts(head, SlowBody(Some(clock)))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

struct SlowBody(Option<ManualClock>);

impl http_body::Body for SlowBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|clock| {
            clock.advance(at(301));
            Ok(http_body::Frame::data(Bytes::from_static(BODY.as_bytes())))
        }))
    }
}

#[tokio::test]
async fn every_method_is_verified() {
    let layer = build(Webhook::stripe(STRIPE));
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "QUERY"] {
        let mut request = post("/", &[], BODY);
        *request.method_mut() = method.parse().unwrap();
        send(&layer, request).await.assert_refused(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn body_over_the_cap_is_413_and_at_the_cap_passes() {
    let body = "x".repeat(100);
    let request = || signed("/", GitHub::sign(STRIPE, body.as_bytes()).unwrap(), body.clone());
    let of = |limit| build(Webhook::github(STRIPE).limit(limit));
    send(&of(100), request()).await.assert_passed(body.as_bytes());
    send(&of(99), request()).await.assert_refused(StatusCode::PAYLOAD_TOO_LARGE);

    let mebibyte = vec![b'x'; 1024 * 1024];
    let layer = build(Webhook::github(STRIPE));
    let headers = GitHub::sign(STRIPE, &mebibyte).unwrap();
    send(&layer, signed("/", headers, mebibyte.clone())).await.assert_passed(&mebibyte);
    let more = vec![b'x'; 1024 * 1024 + 1];
    let headers = GitHub::sign(STRIPE, &more).unwrap();
    send(&layer, signed("/", headers, more)).await.assert_refused(StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn handler_response_is_unchanged() {
    let layer = build(Webhook::stripe(STRIPE).replays(replays(10)));
    for status in [StatusCode::GONE, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE]
    {
        // A sender repeats the identical request after a pause or after its endpoint was enabled again.
        for _ in 0..2 {
            let answer = send_answering(&layer, stripe_at(NOW), status).await;
            assert_eq!((answer.status, answer.calls), (status, 1));
        }
    }
}

#[tokio::test]
async fn each_active_secret_is_accepted_and_identified() {
    let layer = build(Webhook::stripe(STRIPE).key_id("2025-06").and_secret("2025-01", OTHER));
    let request =
        |secret| signed("/", Stripe::sign(secret, at(NOW), BODY.as_bytes()).unwrap(), BODY);
    assert_eq!(
        send(&layer, request(STRIPE)).await.assert_passed(BODY.as_bytes()).key_id(),
        "2025-06"
    );
    assert_eq!(
        send(&layer, request(OTHER)).await.assert_passed(BODY.as_bytes()).key_id(),
        "2025-01"
    );
    let third = send(&layer, request("whsec_a third secret of theirs")).await;
    third.assert_refused(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn one_valid_signature_among_several_is_enough() {
    let signer = Standard::signer(OTHER_STANDARD).unwrap().and_secret(STANDARD).unwrap();
    let headers = signer.sign("msg_1", at(NOW), BODY.as_bytes()).unwrap();
    for secret in [STANDARD, OTHER_STANDARD] {
        let layer = build(Webhook::standard(secret));
        send(&layer, signed("/", headers.clone(), BODY)).await.assert_passed(BODY.as_bytes());
    }
    // Stripe, while a secret is rolled
    let one = Stripe::sign(OTHER, at(NOW), BODY.as_bytes()).unwrap();
    let two = Stripe::sign(STRIPE, at(NOW), BODY.as_bytes()).unwrap();
    let two = two["stripe-signature"].to_str().unwrap().split_once(',').unwrap().1;
    let both = format!("{},{two}", one["stripe-signature"].to_str().unwrap());
    let layer = build(Webhook::stripe(STRIPE));
    send(&layer, post("/", &[("stripe-signature", &both)], BODY))
        .await
        .assert_passed(BODY.as_bytes());
}

fn replays(capacity: usize) -> Replays {
    Replays::new(InMemoryReplays::new(capacity).unwrap())
}

#[test]
fn keeps_the_layer_contract() {
    let request = || {
        let body = Script::from_steps([
            Step::Data(r#"{"id":"#),
            Step::Wait,
            Step::Data(r#""evt_1"}"#),
            Step::Trailers(&[("x-trailer", "here")]),
        ]);
        stripe_at(NOW).map(|_| body)
    };
    Contract::new(request).check(|| build(Webhook::stripe(STRIPE)));
    // a request that is sent twice is answered without the inner service, so each has a name of its own
    let next = std::sync::atomic::AtomicU64::new(0);
    let other = || {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let signer = Standard::signer(STANDARD).unwrap();
        let headers = signer.sign(&format!("msg_{n}"), at(NOW), BODY.as_bytes()).unwrap();
        signed("/", headers, "").map(|_| Script::from_steps([Step::Data(BODY)]))
    };
    Contract::new(other).check(|| build_at(Webhook::standard(STANDARD).replays(replays(100)), NOW));
}

#[tokio::test]
async fn separator_in_an_id_cannot_shift_the_signed_fields() {
    let acme = HmacScheme::new("acme", "x-acme-signature")
        .signs("{id}|{body}")
        .id_header("x-acme-id")
        .without_timestamp();
    // signed: id `a`, body `b|X`; the same bytes as id `a|b`, body `X`
    let mut headers = acme.sign(STRIPE, "a", at(NOW), b"b|X").unwrap();
    headers.insert("x-acme-id", "a|b".parse().unwrap());
    assert_eq!(acme.sign(STRIPE, "a|b", at(NOW), b"X").unwrap_err().setting(), "id");
    let layer = build(Webhook::hmac(acme, STRIPE));
    send(&layer, signed("/", headers, "X")).await.assert_refused(StatusCode::BAD_REQUEST);
}
