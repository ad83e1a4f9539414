//! The examples of webhooks, and the libraries of those who send them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use aws_lc_rs::hmac;
use axum::{Router, routing::post};
use http::{HeaderMap, StatusCode};
use palisade::{
    Clock, ErrorLayer, SystemClock,
    observe::RequestIds,
    stack,
    webhook::{GitHub, Standard, Stripe, Twilio, Verified, Webhook},
};
use palisade_tests::{Answer, Client, Example};
use serde_json::{Value, json};
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
async fn stripe_prints_what_to_try() {
    let mut example = Example::start("webhooks_stripe");
    let output = example.output_until("processed anew");
    for needed in
        ["signing secret: whsec_", "openssl dgst -sha256 -hmac", "Stripe-Signature", "-600"]
    {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
}

#[tokio::test]
async fn an_event_of_stripe_is_processed_once() {
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
async fn what_stripe_did_not_sign_is_refused() {
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
        let long = " ".repeat(1024 * 1024 + 1);
        let signed = stripe_signature(&secret, now(), &long);
        let answer = client.post_json("/webhooks/stripe", long, &[&signed]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn an_event_that_could_not_be_processed_is_processed_when_it_comes_again() {
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
fn the_script_that_stripes_example_prints_signs_with_openssl() {
    if !all_installed(&["bash", "curl", "openssl"]) {
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
async fn a_message_is_signed_with_both_keys_and_taken_with_either() {
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

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC_URL: &str = "https://hooks.example.com";

/// One endpoint for each vendor, which answers what it got.
async fn endpoints() -> std::net::SocketAddr {
    async fn echo(_: Verified, body: axum::body::Bytes) -> axum::body::Bytes {
        body
    }
    let route = |webhook: Webhook| post(echo).layer(webhook);
    let app = Router::new()
        .route("/stripe", route(Webhook::stripe(SECRET).build().unwrap()))
        .route("/github", route(Webhook::github(SECRET).build().unwrap()))
        .route("/svix", route(Webhook::svix(SECRET).build().unwrap()))
        .route("/twilio", route(Webhook::twilio(SECRET, PUBLIC_URL).build().unwrap()))
        .route("/forgotten", post(echo))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_route_that_forgot_its_layer_is_our_fault() {
    for client in Client::of_each_version(endpoints().await) {
        let answer = client.post_json("/forgotten", "{}", &[]).await;
        assert_eq!(
            (answer.status, &*answer.error_code()),
            (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
        );
    }
}

#[tokio::test]
async fn the_vendors_own_libraries_sign_what_we_take_and_take_what_we_sign() {
    let Some(folder) = libraries() else { return };
    let (time, id) = (now(), "msg_1");
    let body = "{\"id\":\"evt_1\",\"object\":\"event\",\"name\":\"\u{e9}\u{1f600}\"}";
    let form = "CallSid=CA1&Body=caf%C3%A9+%26+more&To=%2B18005551212&From=%2B14158675309";
    let text = |headers: &HeaderMap, name| headers[name].to_str().unwrap().to_owned();

    let unix = std::time::Duration::from_secs(time);
    let svix = Standard::signer(SECRET).unwrap().svix().sign(id, unix, body.as_bytes()).unwrap();
    let form_url = format!("{PUBLIC_URL}/twilio?foo=1&bar=2");
    let by_form = Twilio::sign_form(SECRET, &form_url, form.as_bytes()).unwrap();
    let (json_url, by_json) = Twilio::sign_json(SECRET, &form_url, body.as_bytes()).unwrap();
    let signed = json!({
        "stripe": text(&Stripe::sign(SECRET, unix, body.as_bytes()).unwrap(), "stripe-signature"),
        "github": text(&GitHub::sign(SECRET, body.as_bytes()).unwrap(), "x-hub-signature-256"),
        "svix": {
            "svix-id": text(&svix, "svix-id"),
            "svix-timestamp": text(&svix, "svix-timestamp"),
            "svix-signature": text(&svix, "svix-signature"),
        },
        "twilio_form": { "url": form_url, "form": form, "signature": text(&by_form, "x-twilio-signature") },
        "twilio_json": { "url": json_url, "signature": text(&by_json, "x-twilio-signature") },
    });
    let input = json!({ "secret": SECRET, "time": time, "id": id, "body": body, "signed": signed });
    let theirs = run(&folder, &input);
    let ours = ["stripe", "github", "svix", "twilio_form", "twilio_json"];
    for vendor in ours {
        assert_eq!(theirs["taken"][vendor], true, "{vendor} does not take what we sign");
    }

    let made = |name: &str| theirs["made"][name].as_str().expect("a signature").to_owned();
    let form_type = "content-type: application/x-www-form-urlencoded".to_owned();
    let json_target = made("twilio_json_url").replace(PUBLIC_URL, "");
    let requests = [
        ("/stripe".to_owned(), body, vec![format!("stripe-signature: {}", made("stripe"))]),
        ("/github".to_owned(), body, vec![format!("x-hub-signature-256: {}", made("github"))]),
        (
            "/svix".to_owned(),
            body,
            vec![
                format!("svix-id: {id}"),
                format!("svix-timestamp: {time}"),
                format!("svix-signature: {}", made("svix")),
            ],
        ),
        (
            "/twilio?foo=1&bar=2".to_owned(),
            form,
            vec![format!("x-twilio-signature: {}", made("twilio_form")), form_type],
        ),
        (json_target, body, vec![format!("x-twilio-signature: {}", made("twilio_json"))]),
    ];
    for client in Client::of_each_version(endpoints().await) {
        for (target, body, fields) in &requests {
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            let answer = send(&client, target, body, &fields).await;
            assert_eq!(
                (answer.status, &*answer.body),
                (StatusCode::OK, body.as_bytes()),
                "{target}"
            );
            let changed = send(&client, target, &body.replacen('1', "2", 1), &fields).await;
            assert_eq!(changed.status, StatusCode::UNAUTHORIZED, "{target}");
            let unsigned = send(&client, target, body, &[]).await;
            assert_eq!(unsigned.error_code(), "UNAUTHENTICATED", "{target}");
        }
    }
}

async fn send(client: &Client, target: &str, body: &str, fields: &[&str]) -> Answer {
    let request = http::Request::post(target);
    let request = fields.iter().fold(request, |request, field| {
        let (name, value) = field.split_once(": ").expect("`name: value`");
        request.header(name, value)
    });
    client.send(request.body(http_body_util::Full::new(body.to_owned().into())).unwrap()).await
}

/// The versions that this was written with.
const LIBRARIES: [&str; 4] =
    ["stripe@23.1.0", "@octokit/webhooks@14.2.0", "svix@1.99.1", "twilio@6.2.0"];

/// A folder with the vendors' libraries; `None`, and loudly, where they cannot be had.
fn libraries() -> Option<PathBuf> {
    if !all_installed(&["node", "npm"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhook-signers");
    let installed = folder.join("installed");
    // No run but the first one downloads them.
    if fs::read_to_string(&installed).ok().as_deref() != Some(&LIBRARIES.join(" ")) {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), r#"{"private":true}"#).unwrap();
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .args(LIBRARIES)
            .current_dir(&folder)
            .output()
            .expect("npm runs");
        if !npm.status.success() {
            return missing(&format!("npm does not install the vendors' libraries: {npm:?}"));
        }
        fs::write(&installed, LIBRARIES.join(" ")).unwrap();
    }
    fs::write(folder.join("signers.mjs"), include_str!("webhook_signers.mjs")).unwrap();
    Some(folder)
}

fn run(folder: &Path, input: &Value) -> Value {
    let mut node = Command::new("node")
        .arg("signers.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs");
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn all_installed(tools: &[&str]) -> bool {
    tools.iter().all(|tool| {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_ok() || missing::<()>(&format!("{tool} is missing")).is_some()
    })
}

/// Where a machine checks for everybody, a test that did not run is a failure.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}");
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "\n*** A TEST OF WEBHOOKS DID NOT RUN: {what} ***\n");
    None
}
