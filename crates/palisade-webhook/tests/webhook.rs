//! The behaviour of the layer that all schemes share.

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
async fn a_broken_header_is_a_400() {
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
async fn a_timestamp_is_checked_again_when_the_body_is_there() {
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
async fn a_body_over_the_cap_is_a_413_and_one_of_the_cap_passes() {
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
async fn what_the_handler_answers_is_passed_on() {
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
async fn each_active_secret_is_good_and_says_which_it_was() {
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
async fn one_good_signature_among_several_is_enough() {
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

#[tokio::test]
async fn ten_signatures_are_tried_and_eleven_are_refused() {
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
async fn an_unknown_version_is_passed_over_and_proves_nothing() {
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
async fn a_dot_in_an_id_cannot_move_the_timestamp_into_the_body() {
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

#[cfg(feature = "ed25519")]
mod ed25519 {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    use super::*;

    /// The private key as `whsk_`, of a seed alone and with its public key, and the public one as `whpk_`.
    fn keys(seed: u8) -> ([String; 2], String) {
        let seed = [seed; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = pair.public_key().as_ref();
        let written = |prefix: &str, bytes: &[u8]| format!("{prefix}_{}", BASE64.encode(bytes));
        (
            [written("whsk", &seed), written("whsk", &[&seed, public].concat())],
            written("whpk", public),
        )
    }

    #[tokio::test]
    async fn an_asymmetric_signature_is_verified_with_the_public_key() {
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
    async fn a_public_key_is_never_taken_for_the_secret_of_an_hmac() {
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
    fn a_key_of_another_kind_or_length_is_refused() {
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
}

#[cfg(not(feature = "ed25519"))]
#[test]
fn an_asymmetric_key_names_the_feature_that_it_needs() {
    let key = format!("whpk_{}=", "A".repeat(43));
    let error = Webhook::standard(key).build().unwrap_err();
    assert!(error.to_string().contains("webhook-ed25519"), "{error}");
}

#[tokio::test]
async fn slacks_challenge_is_answered_once_it_was_verified() {
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
async fn an_event_of_slack_is_called_by_its_event_id() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body = r#"{"type":"event_callback","event_id":"Ev0PV52K21"}"#;
    let headers = Slack::sign(secret, at(NOW), body.as_bytes()).unwrap();
    let answer = send(&build(Webhook::slack(secret)), signed("/", headers, body)).await;
    assert_eq!(answer.assert_passed(body.as_bytes()).id(), Some("Ev0PV52K21"));
}

fn replays(capacity: usize) -> Replays {
    Replays::new(InMemoryReplays::new(capacity).unwrap())
}

fn refused(builder: WebhookBuilder) -> ConfigError {
    builder.build().expect_err("it should be refused")
}

#[test]
fn a_secret_that_anybody_can_guess_is_refused() {
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
fn signers_refuse_what_layers_refuse() {
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
fn settings_that_make_no_sense_are_refused() {
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

#[test]
fn it_passes_the_contract_of_layers() {
    let request = || {
        let body = Script::of([
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
        signed("/", headers, "").map(|_| Script::of([Step::Data(BODY)]))
    };
    Contract::new(other).check(|| build_at(Webhook::standard(STANDARD).replays(replays(100)), NOW));
}

#[tokio::test]
async fn nor_does_the_separator_of_anybodys_hmac() {
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

mod http_signatures {
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
    async fn a_message_is_verified_with_the_key_that_it_names() {
        let answer = send(&layer(), signed("/events?a=b", sign(&partner(), "new"), BODY)).await;
        let verified = answer.assert_passed(BODY.as_bytes());
        assert_eq!((verified.scheme(), verified.key_id()), ("http-signatures", "new"));
        assert_eq!(verified.timestamp(), Some(at(NOW)));
        for unknown in ["default", "NEW", "old"] {
            let answer =
                send(&layer(), signed("/events?a=b", sign(&partner(), unknown), BODY)).await;
            answer.assert_refused(StatusCode::UNAUTHORIZED);
        }
    }

    #[tokio::test]
    async fn what_must_be_signed_is_and_the_sender_cannot_choose_less() {
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
    async fn a_message_ends_when_it_says_and_is_called_by_its_nonce() {
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
    async fn of_several_signatures_the_tag_says_which_is_meant() {
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
    async fn an_asymmetric_key_is_one_of_its_own_scheme() {
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
}
