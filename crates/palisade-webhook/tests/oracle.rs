//! The reference library of Standard Webhooks, as sender and as receiver. It knows the machine's clock only.

mod common;

use bytes::Bytes;
use common::{send, signed};
use http::{HeaderMap, Request, StatusCode};
use palisade_core::{Clock, SystemClock};
use palisade_webhook::{Standard, Webhook};
use standardwebhooks::Webhook as Reference;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODIES: [&str; 4] = [r#"{"test": 2432232314}"#, "", "\u{e9}\n", "{}{}{}"];

fn by_reference(secret: &str, id: &str, off: i64, body: &'static str) -> Request<Bytes> {
    let now = i64::try_from(SystemClock.unix().as_secs()).unwrap() + off;
    let signature = Reference::new(secret).unwrap().sign(id, now, body.as_bytes()).unwrap();
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signature),
    ];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    signed("/", HeaderMap::from_iter(headers), body)
}

#[tokio::test]
async fn accepts_signatures_of_the_reference_library() {
    let layer = Webhook::standard(SECRET).build().unwrap();
    for body in BODIES {
        let answer = send(&layer, by_reference(SECRET, "msg_1", 0, body)).await;
        assert_eq!(answer.assert_passed(body.as_bytes()).id(), Some("msg_1"));
        for wrong in [
            by_reference(OTHER, "msg_1", 0, body),
            by_reference(SECRET, "msg_1", -302, body),
            by_reference(SECRET, "msg_1", 302, body),
        ] {
            send(&layer, wrong).await.assert_refused(StatusCode::UNAUTHORIZED);
        }
    }
}

#[test]
fn reference_library_accepts_our_signatures() {
    let reference = Reference::new(SECRET).unwrap();
    let signer = Standard::signer(OTHER).unwrap().and_secret(SECRET).unwrap();
    for body in BODIES {
        let headers = signer.sign("msg_1", SystemClock.unix(), body.as_bytes()).unwrap();
        reference.verify(body.as_bytes(), &headers).unwrap();
        assert!(reference.verify(b"another", &headers).is_err());
    }
}
