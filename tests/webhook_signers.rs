//! The webhook libraries of vendors: their signatures are accepted, changed requests are rejected, and they accept the
//! signatures of Palisade.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use palisade::{
    Clock, ErrorLayer, SystemClock,
    observe::RequestIds,
    stack,
    webhook::{GitHub, Standard, Stripe, Twilio, Verified, Webhook},
};
use palisade_tests::{Client, did_not_run, installed};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PUBLIC_URL: &str = "https://hooks.example.com";
const TWILIO: &str = "/twilio?foo=1&bar=2";
const ID: &str = "msg_1";
const BODY: &str = "{\"id\":\"evt_1\",\"object\":\"event\",\"name\":\"\u{e9}\u{1f600}\"}";
const FORM: &str = "CallSid=CA1&Body=caf%C3%A9+%26+more&To=%2B18005551212&From=%2B14158675309";

fn now() -> u64 {
    SystemClock.unix().as_secs()
}

/// One endpoint for each vendor, which answers what it got.
async fn endpoints() -> SocketAddr {
    async fn echo(_: Verified, body: Bytes) -> Bytes {
        body
    }
    let route = |webhook: Webhook| post(echo).layer(webhook);
    let app = Router::new()
        .route("/stripe", route(Webhook::stripe(SECRET).build().unwrap()))
        .route("/github", route(Webhook::github(SECRET).build().unwrap()))
        .route("/standard", route(Webhook::standard(SECRET).build().unwrap()))
        .route("/svix", route(Webhook::svix(SECRET).build().unwrap()))
        .route("/twilio", route(Webhook::twilio(SECRET, PUBLIC_URL).build().unwrap()))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn request(target: &str, fields: &[(&'static str, String)], body: &'static str) -> Request<Bytes> {
    let mut request = Request::post(target);
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    request.body(Bytes::from(body)).unwrap()
}

/// A request that a vendor's library has signed, and what may be done to it.
struct Mutated {
    vendor: &'static str,
    good: Request<Bytes>,
    signature: HeaderName,
    mutants: Vec<(String, Request<Bytes>)>,
}

impl Mutated {
    /// `tag` is the part of the header that is the signature itself.
    fn new(
        vendor: &'static str,
        good: Request<Bytes>,
        signature: &'static str,
        prefix: &str,
    ) -> Self {
        let signature = HeaderName::from_static(signature);
        let whole = good.headers()[&signature].to_str().unwrap().to_owned();
        let (before, tag) = whole.split_once(prefix).expect("the version");
        let (before, tag) = (format!("{before}{prefix}"), tag.to_owned());
        Self { vendor, good, signature, mutants: Vec::new() }.bodies().signatures(&before, &tag)
    }

    fn but(mut self, how: impl Into<String>, mutate: impl FnOnce(&mut Request<Bytes>)) -> Self {
        let mut mutant = self.good.clone();
        mutate(&mut mutant);
        self.mutants.push((how.into(), mutant));
        self
    }

    fn with(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        let how = format!("{name}: {value:?}");
        self.but(how, |request| drop(request.headers_mut().insert(name, value)))
    }

    fn without(self, name: &'static str) -> Self {
        self.but(format!("without {name}"), |request| drop(request.headers_mut().remove(name)))
    }

    fn bodies(mut self) -> Self {
        let body = self.good.body().clone();
        let flipped = [0, 1, body.len() / 2, body.len() - 1].into_iter().map(|at| {
            let mut flipped = body.to_vec();
            flipped[at] ^= 1;
            (format!("bit 0 of byte {at} of the body"), flipped)
        });
        let others = [
            ("empty", Vec::new()),
            ("shorter", body[..body.len() - 1].to_vec()),
            ("without its first byte", body[1..].to_vec()),
            ("a newline after it", [&body[..], b"\n"].concat()),
            ("a space before it", [b" ", &body[..]].concat()),
            ("a byte order mark before it", [b"\xef\xbb\xbf", &body[..]].concat()),
            ("a zero byte after it", [&body[..], b"\0"].concat()),
            ("what is not UTF-8 after it", [&body[..], b"\xff"].concat()),
            ("twice", [&body[..], &body[..]].concat()),
        ];
        let others = others.map(|(how, other)| (format!("the body: {how}"), other));
        for (how, other) in flipped.collect::<Vec<_>>().into_iter().chain(others) {
            self = self.but(how, |request| *request.body_mut() = other.into());
        }
        self
    }

    fn signatures(mut self, before: &str, tag: &str) -> Self {
        let name = self.signature.clone();
        let flipped = |at: usize| {
            let mut flipped = tag.as_bytes().to_vec();
            // Another digit of either alphabet.
            flipped[at] = if flipped[at] == b'a' { b'b' } else { b'a' };
            [before.as_bytes(), &flipped].concat()
        };
        let whole = format!("{before}{tag}");
        let values: Vec<(&str, Vec<u8>)> = vec![
            ("another first character", flipped(0)),
            ("another character in the middle", flipped(tag.len() / 2)),
            ("another character before the last ones", flipped(tag.len() - 3)),
            ("a character less", whole[..whole.len() - 1].into()),
            ("half of it", whole[..before.len() + tag.len() / 2].into()),
            ("no tag", before.into()),
            ("a tag of zeros", format!("{before}{}", "0".repeat(tag.len())).into()),
            ("a tag twice", format!("{whole}{tag}").into()),
            ("quoted", format!("\"{whole}\"").into()),
            ("a space inside", format!("{before}{} {}", &tag[..8], &tag[8..]).into()),
            ("the tag alone, reversed", tag.chars().rev().collect::<String>().into()),
            ("what is not ASCII after it", [whole.as_bytes(), b"\xff"].concat()),
            ("huge", format!("{before}{}", "a".repeat(5000)).into()),
            ("nothing", Vec::new()),
        ];
        for (how, value) in values {
            let value = HeaderValue::from_bytes(&value).unwrap();
            self = self.but(format!("the signature: {how}"), |request| {
                request.headers_mut().insert(&name, value);
            });
        }
        self.but("no signature", |request| drop(request.headers_mut().remove(&name))).but(
            "the signature twice",
            |request| {
                let value = request.headers()[&name].clone();
                request.headers_mut().append(&name, value);
            },
        )
    }

    /// What the vendor's library has signed otherwise.
    fn signed(
        mut self,
        requests: impl IntoIterator<Item = (&'static str, Request<Bytes>)>,
    ) -> Self {
        self.mutants.extend(requests.into_iter().map(|(how, request)| (how.to_owned(), request)));
        self
    }

    async fn passes_and_its_mutants_do_not(self, address: SocketAddr) {
        let vendor = self.vendor;
        assert!(self.mutants.len() >= 30, "{vendor}: there are {} only", self.mutants.len());
        for client in Client::of_each_version(address) {
            let answer = client.send(self.good.clone().map(Full::new)).await;
            assert_eq!(
                (answer.status, &answer.body),
                (StatusCode::OK, self.good.body()),
                "{vendor}"
            );
            for (how, mutant) in &self.mutants {
                let answer = client.send(mutant.clone().map(Full::new)).await;
                let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
                assert!(refused.contains(&answer.status), "{vendor}, {how}: {answer:?}");
                let code = answer.error_code();
                assert!(
                    code == "BAD_REQUEST" || code == "UNAUTHENTICATED",
                    "{vendor}, {how}: {code}"
                );
            }
        }
    }
}

#[tokio::test]
async fn interoperates_with_stripe_github_and_twilio_libraries() {
    let Some(folder) = libraries() else { return };
    let time = now();
    let theirs = run(
        &folder,
        &json!({
            "secret": SECRET, "other": OTHER, "time": time, "id": ID, "body": BODY, "signed": signed_by_us(time),
        }),
    );
    for vendor in ["stripe", "github", "svix", "twilio_form", "twilio_json"] {
        assert_eq!(theirs["taken"][vendor], true, "{vendor} does not take what we sign");
    }

    let made = |how: &str, name: &str| theirs[how][name].as_str().expect("a signature").to_owned();
    let address = endpoints().await;
    let form_type = ("content-type", "application/x-www-form-urlencoded".to_owned());

    let stripe = |how| request("/stripe", &[("stripe-signature", made(how, "stripe"))], BODY);
    Mutated::new("stripe", stripe("made"), "stripe-signature", "v1=")
        .signed([
            ("of another secret", stripe("by_other")),
            ("too old", stripe("too_old")),
            ("in the future", stripe("in_the_future")),
        ])
        .with("stripe-signature", made("made", "stripe").replace("v1=", "v0="))
        .with("stripe-signature", made("made", "stripe").replace("t=", "t=1"))
        .with("stripe-signature", made("made", "stripe").split_once(',').unwrap().1)
        .with("stripe-signature", made("made", "github"))
        .passes_and_its_mutants_do_not(address)
        .await;

    let github = |how| request("/github", &[("x-hub-signature-256", made(how, "github"))], BODY);
    Mutated::new("github", github("made"), "x-hub-signature-256", "sha256=")
        .signed([("of another secret", github("by_other"))])
        .with("x-hub-signature-256", made("made", "github").replace("sha256", "sha1"))
        .with("x-hub-signature-256", made("made", "github").replace("sha256=", ""))
        .with("x-hub-signature-256", made("made", "github").to_uppercase())
        .with("x-hub-signature-256", made("made", "stripe"))
        .passes_and_its_mutants_do_not(address)
        .await;

    let svix = |how, time: u64| request("/svix", &svix_fields(ID, time, made(how, "svix")), BODY);
    Mutated::new("svix for node", svix("made", time), "svix-signature", "v1,")
        .signed([
            ("of another secret", svix("by_other", time)),
            ("too old", svix("too_old", time - 600)),
            ("in the future", svix("in_the_future", time + 600)),
        ])
        .passes_and_its_mutants_do_not(address)
        .await;

    let twilio = |how| {
        let fields = [("x-twilio-signature", made(how, "twilio_form")), form_type.clone()];
        request(TWILIO, &fields, FORM)
    };
    Mutated::new("twilio", twilio("made"), "x-twilio-signature", "")
        .signed([("of another token", twilio("by_other"))])
        .without("content-type")
        .but("another query", |request| {
            *request.uri_mut() = "/twilio?foo=1&bar=3".parse().unwrap();
        })
        .passes_and_its_mutants_do_not(address)
        .await;
    let json_target = made("made", "twilio_json_url").replace(PUBLIC_URL, "");
    let json = [("x-twilio-signature", made("made", "twilio_json"))];
    Mutated::new("twilio in JSON", request(&json_target, &json, BODY), "x-twilio-signature", "")
        .but("no hash", |request| *request.uri_mut() = TWILIO.parse().unwrap())
        .passes_and_its_mutants_do_not(address)
        .await;
}

/// What Stripe, GitHub, Svix and Twilio would get from us.
fn signed_by_us(time: u64) -> Value {
    let text = |headers: &HeaderMap, name| headers[name].to_str().unwrap().to_owned();
    let (unix, body) = (Duration::from_secs(time), BODY.as_bytes());
    let svix = Standard::signer(SECRET).unwrap().svix().sign(ID, unix, body).unwrap();
    let form_url = format!("{PUBLIC_URL}{TWILIO}");
    let by_form = Twilio::sign_form(SECRET, &form_url, FORM.as_bytes()).unwrap();
    let (json_url, by_json) = Twilio::sign_json(SECRET, &form_url, body).unwrap();
    json!({
        "stripe": text(&Stripe::sign(SECRET, unix, body).unwrap(), "stripe-signature"),
        "github": text(&GitHub::sign(SECRET, body).unwrap(), "x-hub-signature-256"),
        "svix": {
            "svix-id": text(&svix, "svix-id"),
            "svix-timestamp": text(&svix, "svix-timestamp"),
            "svix-signature": text(&svix, "svix-signature"),
        },
        "twilio_form": { "url": form_url, "form": FORM, "signature": text(&by_form, "x-twilio-signature") },
        "twilio_json": { "url": json_url, "signature": text(&by_json, "x-twilio-signature") },
    })
}

fn svix_fields(id: &str, time: u64, signature: String) -> [(&'static str, String); 3] {
    [
        ("svix-id", id.to_owned()),
        ("svix-timestamp", time.to_string()),
        ("svix-signature", signature),
    ]
}

#[tokio::test]
async fn interoperates_with_the_svix_crate() {
    let sign = |secret: &str, id: &str, time: u64| {
        let svix = svix::webhooks::Webhook::new(secret).unwrap();
        let signature = svix.sign(id, time.try_into().unwrap(), BODY.as_bytes()).unwrap();
        request("/svix", &svix_fields(id, time, signature), BODY)
    };
    mutated_message("svix", ["svix-id", "svix-timestamp", "svix-signature"], sign).await;

    let reference = svix::webhooks::Webhook::new(SECRET).unwrap();
    let signer = Standard::signer(OTHER).unwrap().and_secret(SECRET).unwrap().svix();
    let headers = signer.sign(ID, SystemClock.unix(), BODY.as_bytes()).unwrap();
    reference.verify(BODY.as_bytes(), &headers).unwrap();
    assert!(reference.verify(b"another", &headers).is_err());
}

#[tokio::test]
async fn interoperates_with_the_standardwebhooks_crate() {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let sign = |secret: &str, id: &str, time: u64| {
        let standard = standardwebhooks::Webhook::new(secret).unwrap();
        let signature = standard.sign(id, time.try_into().unwrap(), BODY.as_bytes()).unwrap();
        let values = [id.to_owned(), time.to_string(), signature];
        let fields: Vec<_> = names.into_iter().zip(values).collect();
        request("/standard", &fields, BODY)
    };
    mutated_message("standard", names, sign).await;

    let reference = standardwebhooks::Webhook::new(SECRET).unwrap();
    let headers = Standard::signer(SECRET).unwrap().sign(ID, SystemClock.unix(), BODY.as_bytes());
    reference.verify(BODY.as_bytes(), &headers.unwrap()).unwrap();
}

async fn mutated_message(
    vendor: &'static str,
    [id, timestamp, signature]: [&'static str; 3],
    sign: impl Fn(&str, &str, u64) -> Request<Bytes>,
) {
    let time = now();
    let good = sign(SECRET, ID, time);
    let whole = good.headers()[signature].to_str().unwrap().to_owned();
    Mutated::new(vendor, good, signature, "v1,")
        .signed([
            ("of another secret", sign(OTHER, ID, time)),
            ("too old", sign(SECRET, ID, time - 600)),
            ("in the future", sign(SECRET, ID, time + 600)),
            ("in milliseconds", sign(SECRET, ID, time * 1000)),
        ])
        .with(signature, whole.replace("v1,", "v1a,"))
        .with(signature, whole.replace("v1,", "v2,"))
        .with(timestamp, (time + 1).to_string())
        .with(timestamp, (time - 1).to_string())
        .with(timestamp, format!("{time}.0"))
        .without(timestamp)
        .with(id, "msg_2")
        .with(id, format!("{ID}.{time}"))
        .without(id)
        .passes_and_its_mutants_do_not(endpoints().await)
        .await;
}

/// The versions that this was written with.
const LIBRARIES: [&str; 4] =
    ["stripe@23.1.0", "@octokit/webhooks@14.2.0", "svix@1.99.1", "twilio@6.2.0"];

/// A folder with the vendors' libraries; `None`, and loudly, where they cannot be had.
fn libraries() -> Option<PathBuf> {
    if !installed(&["node", "npm"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhook-signers");
    let list = folder.join("installed");
    // No run but the first one downloads them.
    if fs::read_to_string(&list).ok().as_deref() != Some(&LIBRARIES.join(" ")) {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), r#"{"private":true}"#).unwrap();
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .args(LIBRARIES)
            .current_dir(&folder)
            .output()
            .expect("npm runs");
        if !npm.status.success() {
            return did_not_run(&format!("npm does not install the vendors' libraries: {npm:?}"));
        }
        fs::write(&list, LIBRARIES.join(" ")).unwrap();
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
