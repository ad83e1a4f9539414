//! The examples of webhooks.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use aws_lc_rs::hmac;
use axum::{Router, routing::post};
use http::{StatusCode, Version};
use palisade::{
    Clock, ErrorLayer, SystemClock, observe::RequestIds, redis::testing::RedisServer, stack,
    webhook::Verified,
};
use palisade_tests::{Client, Example, installed};
use tokio::net::TcpListener;

fn now() -> u64 {
    SystemClock.unix().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `Stripe-Signature`, by another HMAC than ours.
fn stripe_signature(secret: &str, time: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    format!("stripe-signature: t={time},v1={}", hex(tag.as_ref()))
}

/// A client and a prefix for ids, as both clients talk to one server that remembers.
fn clients(example: &Example) -> impl Iterator<Item = (String, Client)> {
    let clients = Client::of_each_version(example.address).into_iter().enumerate();
    clients.map(|(version, client)| (format!("evt_{version}"), client))
}

#[tokio::test]
async fn stripe_prints_commands_to_try() {
    let mut example = Example::start("webhooks_stripe");
    let output = example.output_until("processed anew");
    for needed in
        ["signing secret: whsec_", "openssl dgst -sha256 -hmac", "Stripe-Signature", "-600"]
    {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
}

#[tokio::test]
async fn stripe_event_is_processed_once() {
    let mut example = Example::start("webhooks_stripe");
    let secrets = [example.credential("signing secret"), example.credential("old secret")];
    for (event, client) in clients(&example) {
        for (secret, name) in secrets.iter().zip(["current", "old"]) {
            let id = format!("{event}_{name}");
            let body = format!(r#"{{"id":"{id}","type":"invoice.paid"}}"#);
            let signed = stripe_signature(secret, now(), &body);
            let send =
                async || client.post_json("/webhooks/stripe", body.clone(), &[&signed]).await;
            let first = send().await;
            assert_eq!(first.status, StatusCode::OK, "{first:?}");
            assert_eq!(
                (&first.json()["event"], &first.json()["secret"]),
                (&id.into(), &name.into())
            );
            let again = send().await;
            assert_eq!((again.status, again.body.len()), (StatusCode::OK, 0), "{again:?}");
        }
    }
}

#[tokio::test]
async fn event_processed_by_one_instance_is_acknowledged_by_another() {
    let Some(mut server) = RedisServer::start() else { return };
    let secret = "whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s";
    let url = server.url();
    let variables = [("REDIS_URL", &*url), ("STRIPE_WEBHOOK_SECRET", secret)];
    let start = || Example::start_with("webhooks_stripe", &variables);
    let instances = [start(), start()];
    let clients =
        instances.each_ref().map(|instance| Client::new(instance.address, Version::HTTP_11));

    let send = async |client: &Client, body: &'static str| {
        let signed = stripe_signature(secret, now(), body);
        client.post_json("/webhooks/stripe", body, &[&signed]).await
    };
    let body = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    assert_eq!(send(&clients[0], body).await.json()["processed"], 1);
    for client in &clients {
        let again = send(client, body).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::OK, 0), "{again:?}");
    }
    // What was not processed is there to be processed, and fails again.
    let failing = r#"{"id":"evt_2","type":"invoice.payment_failed"}"#;
    assert_eq!(send(&clients[0], failing).await.error_code(), "UNAVAILABLE");
    assert_eq!(server.keys_without_expiry(), [""; 0]);

    server.stop();
    let refused = send(&clients[1], r#"{"id":"evt_3","type":"invoice.paid"}"#).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn rejects_requests_without_a_valid_stripe_signature() {
    let mut example = Example::start("webhooks_stripe");
    let secret = example.credential("signing secret");
    let body = r#"{"id":"evt_x","type":"invoice.paid"}"#;
    for (_, client) in clients(&example) {
        let other = stripe_signature("whsec_00000000000000000000000000000000", now(), body);
        let past = stripe_signature(&secret, now() - 600, body);
        let future = stripe_signature(&secret, now() + 600, body);
        let of_another = stripe_signature(&secret, now(), "{}");
        for fields in [&[][..], &[&*other], &[&past], &[&future], &[&of_another]] {
            let answer = client.post_json("/webhooks/stripe", body, fields).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{fields:?}");
            assert_eq!(answer.error_code(), "UNAUTHENTICATED");
            assert_eq!(answer.header("www-authenticate"), Some("Webhook realm=\"stripe\""));
        }
        let good = stripe_signature(&secret, now(), body);
        for fields in [&[&*good, &good][..], &["stripe-signature: nonsense"]] {
            let answer = client.post_json("/webhooks/stripe", body, fields).await;
            assert_eq!(
                (answer.status, &*answer.error_code()),
                (StatusCode::BAD_REQUEST, "BAD_REQUEST")
            );
        }
        let answer = client.declare_json("/webhooks/stripe", 1024 * 1024 + 1, &[&good]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn failed_event_is_processed_when_it_is_sent_again() {
    let mut example = Example::start("webhooks_stripe");
    let secret = example.credential("signing secret");
    for (event, client) in clients(&example) {
        let body = format!(r#"{{"id":"{event}","type":"invoice.payment_failed"}}"#);
        let signed = stripe_signature(&secret, now(), &body);
        for _ in 0..2 {
            let answer = client.post_json("/webhooks/stripe", body.clone(), &[&signed]).await;
            assert_eq!(answer.error_code(), "UNAVAILABLE");
        }
    }
}

#[test]
fn printed_stripe_script_signs_with_openssl() {
    if !installed(&["bash", "curl", "openssl"]) {
        return;
    }
    let mut example = Example::start("webhooks_stripe");
    let output = example.output_until("invoice.payment_failed");
    // From the function on, the indented lines are what one pastes.
    let script = output.split_once("Paste this first").expect("the script").1;
    let script: Vec<_> = script.lines().filter(|line| line.starts_with("  ")).collect();
    let mut bash = Command::new("bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash");
    bash.stdin.take().unwrap().write_all(script.join("\n").as_bytes()).unwrap();
    let output = String::from_utf8(bash.wait_with_output().unwrap().stdout).unwrap();
    // A body ends without a line break, so an answer may begin in the middle of a line.
    let statuses: Vec<_> =
        output.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "200", "401", "401", "401", "401", "503"], "{output}");
    assert_eq!(output.matches("\"processed\":").count(), 2, "{output}");
}

#[tokio::test]
async fn message_signed_with_both_keys_is_accepted_with_either() {
    let mut example = Example::start("webhooks_standard");
    let output = example.output_until("no signature");
    assert!(output.contains("shared secret: whsec_") && output.contains("public key:    whpk_"));
    for client in Client::of_each_version(example.address) {
        let body = r#"{"type":"invoice.paid"}"#;
        let signed = client.post_json("/sign", body, &[]).await.text();
        let signed: Vec<_> = signed.lines().collect();
        assert_eq!(signed.len(), 3, "{signed:?}");
        for (path, key) in [("/webhooks/shared", "shared"), ("/webhooks/asymmetric", "public")] {
            let first = client.post_json(path, body, &signed).await;
            assert_eq!(first.status, StatusCode::OK, "{first:?}");
            assert_eq!((&first.json()["key"], &first.json()["body"]), (&key.into(), &body.into()));
            assert!(
                signed.contains(&&*format!("webhook-id: {}", first.json()["id"].as_str().unwrap()))
            );
            let again = client.post_json(path, body, &signed).await;
            assert_eq!((again.status, again.body.len()), (StatusCode::OK, 0));

            let other = client.post_json(path, r#"{"type":"invoice.void"}"#, &signed).await;
            assert_eq!(other.error_code(), "UNAUTHENTICATED");
            let unsigned = client.post_json(path, body, &[]).await;
            assert_eq!(unsigned.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn verified_extractor_without_its_layer_is_500() {
    let app = Router::new()
        .route("/forgotten", post(async |_: Verified| "processed"))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for client in Client::of_each_version(address) {
        let answer = client.post_json("/forgotten", "{}", &[]).await;
        assert_eq!(
            (answer.status, &*answer.error_code()),
            (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
        );
    }
}
