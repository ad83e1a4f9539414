//! Any change to a signed request is rejected with 400 or 401, before the handler runs.

mod vendors;

#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::{NOW, at, build, send, signed};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use palisade_webhook::{
    Encoding, GitHub, HmacScheme, HttpSignatures, Shopify, Slack, Standard, Stripe, Twilio, Webhook,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"id":"evt_1","amount":100}"#;

/// A signed request and what may be done to it.
struct Mutated {
    layer: Webhook,
    good: Request<Bytes>,
    signature: HeaderName,
    mutants: Vec<(String, Request<Bytes>)>,
}

impl Mutated {
    fn new(layer: Webhook, good: Request<Bytes>, signature: &'static str) -> Self {
        Self { layer, good, signature: HeaderName::from_static(signature), mutants: Vec::new() }
    }

    fn but(mut self, how: &str, mutate: impl FnOnce(&mut Request<Bytes>)) -> Self {
        let mut mutant = self.good.clone();
        mutate(&mut mutant);
        self.mutants.push((how.to_owned(), mutant));
        self
    }

    fn text(&self, name: &HeaderName) -> String {
        self.good.headers()[name].to_str().unwrap().to_owned()
    }

    /// Another value for a header.
    fn with(self, name: &'static str, how: &str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.but(&format!("{name}: {how}"), |request| {
            request.headers_mut().insert(name, value);
        })
    }

    fn with_signature(self, how: &str, value: impl AsRef<[u8]>) -> Self {
        let name = self.signature.clone();
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.but(&format!("signature: {how}"), |request| {
            request.headers_mut().insert(name, value);
        })
    }

    /// What can be done to every body.
    fn body(mut self) -> Self {
        let length = self.good.body().len();
        for at in [0, 1, length / 2, length - 1] {
            for bit in [0, 4] {
                self = self.but(&format!("bit {bit} of byte {at} of the body"), |request| {
                    let mut body = request.body().to_vec();
                    body[at] ^= 1 << bit;
                    *request.body_mut() = body.into();
                });
            }
        }
        let other = |body: &[u8], how: &str| -> Vec<u8> {
            match how {
                "empty" => Vec::new(),
                "shorter" => body[..body.len() - 1].to_vec(),
                "without its first byte" => body[1..].to_vec(),
                "a newline after it" => [body, b"\n"].concat(),
                "a space before it" => [b" ", body].concat(),
                "a byte order mark before it" => [b"\xef\xbb\xbf", body].concat(),
                "a zero byte after it" => [body, b"\0"].concat(),
                "twice" => [body, body].concat(),
                _ => unreachable!(),
            }
        };
        for how in [
            "empty",
            "shorter",
            "without its first byte",
            "a newline after it",
            "a space before it",
            "a byte order mark before it",
            "a zero byte after it",
            "twice",
        ] {
            self = self.but(&format!("the body: {how}"), |request| {
                *request.body_mut() = other(request.body(), how).into();
            });
        }
        self
    }

    /// What can be done to every signature. `tag` is the part of the header that is the signature itself.
    fn signature(mut self, tag: &str) -> Self {
        let whole = self.text(&self.signature);
        let start = whole.find(tag).unwrap();
        let flip = |at: usize, mask: u8| {
            let mut bytes = whole.clone().into_bytes();
            bytes[start + at] ^= mask;
            bytes
        };
        let last = tag.trim_end_matches('=').len() - 1;
        for at in [0, tag.len() / 2, last] {
            self = self.with_signature(&format!("bit 0 of character {at}"), flip(at, 1));
            self = self.with_signature(&format!("bit 1 of character {at}"), flip(at, 2));
        }
        let replaced = |by: &str| whole.replacen(tag, by, 1);
        let name = self.signature.clone();
        self = self
            .with_signature("nothing", "")
            .with_signature("no tag", replaced(""))
            .with_signature("a shorter tag", replaced(&tag[..tag.len() - 1]))
            .with_signature("a tag of a character", replaced(&tag[..1]))
            .with_signature("two characters less", replaced(&tag[..tag.len() - 2]))
            .with_signature("half a tag", replaced(&tag[..tag.len() / 2]))
            .with_signature("a longer tag", replaced(&format!("{tag}00")))
            .with_signature("a tag twice", replaced(&tag.repeat(2)))
            .with_signature("a tag of zeros", replaced(&"0".repeat(tag.len())))
            .with_signature("a space before it", format!(" {whole}"))
            .with_signature("a space after it", format!("{whole} "))
            .with_signature("a tab after it", format!("{whole}\t"))
            .with_signature("a space inside", replaced(&format!(" {tag}")))
            .with_signature("a byte that is not ASCII", [whole.as_bytes(), b"\xff"].concat())
            .with_signature("UTF-8", replaced(&tag.replacen(&tag[..1], "\u{e9}", 1)))
            .with_signature("huge", replaced(&"a".repeat(100_000)))
            .with_signature("many commas", ",".repeat(4000))
            .with_signature("many spaces", " ".repeat(4000))
            .with_signature("quoted", format!("\"{whole}\""));
        let value = HeaderValue::from_str(&whole).unwrap();
        self.but("no signature", |request| {
            request.headers_mut().remove(&name);
        })
        .but("the signature twice", |request| {
            request.headers_mut().append(&name, value.clone());
        })
        .but("another signature before it", |request| {
            let wrong = HeaderValue::from_static("x");
            request.headers_mut().insert(&name, wrong);
            request.headers_mut().append(&name, value.clone());
        })
    }

    /// What can be done to a timestamp that has a header.
    fn timestamp(self, name: &'static str) -> Self {
        self.with(name, "a second later", (NOW + 1).to_string())
            .with(name, "a second sooner", (NOW - 1).to_string())
            .with(name, "in milliseconds", (NOW * 1000).to_string())
            .with(name, "with a sign", format!("+{NOW}"))
            .with(name, "negative", format!("-{NOW}"))
            .with(name, "with a zero before it", format!("0{NOW}"))
            .with(name, "with a fraction", format!("{NOW}.0"))
            .with(name, "with a space", format!("{NOW} "))
            .with(name, "hexadecimal", format!("{NOW:#x}"))
            .with(name, "over 64 bits", "18446744073709551616")
            .with(name, "over 63 bits", "9223372036854775808")
            .with(name, "other digits", "\u{661}\u{662}")
            .with(name, "nothing", "")
            .but("no timestamp", |request| {
                request.headers_mut().remove(name);
            })
            .but("the timestamp twice", |request| {
                request.headers_mut().append(name, HeaderValue::from(NOW));
            })
    }

    async fn all_refused(self) {
        let passes = send(&self.layer, self.good.clone()).await;
        passes.assert_passed(self.good.body());
        assert!(self.mutants.len() >= 30, "there are {} only", self.mutants.len());
        for (how, mutant) in self.mutants {
            let answer = send(&self.layer, mutant).await;
            let refused =
                [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&answer.status);
            assert!(refused && answer.calls == 0, "{how}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn standard() {
    let sign = |secret: &str, id: &str, time| {
        let signer = Standard::signer(secret).unwrap();
        signed("/", signer.sign(id, at(time), BODY.as_bytes()).unwrap(), BODY)
    };
    let good = sign(SECRET, "msg_1", NOW);
    let whole = good.headers()["webhook-signature"].to_str().unwrap().to_owned();
    let tag = whole.strip_prefix("v1,").unwrap().to_owned();
    Mutated::new(build(Webhook::standard(SECRET)), good, "webhook-signature")
        .body()
        .signature(&tag)
        .timestamp("webhook-timestamp")
        .with("webhook-id", "another", "msg_2")
        .with("webhook-id", "another case", "MSG_1")
        .with("webhook-id", "nothing", "")
        .with("webhook-id", "with a dot", "msg_1.")
        .with("webhook-id", "the timestamp in it", format!("msg_1.{NOW}"))
        .with("webhook-id", "with a space", "msg 1")
        .with("webhook-id", "huge", "m".repeat(257))
        .but("no id", |request| {
            request.headers_mut().remove("webhook-id");
        })
        .but("the id twice", |request| {
            request.headers_mut().append("webhook-id", HeaderValue::from_static("msg_1"));
        })
        .but("id and timestamp swapped", |request| {
            request.headers_mut().insert("webhook-id", HeaderValue::from(NOW));
            request.headers_mut().insert("webhook-timestamp", HeaderValue::from_static("msg_1"));
        })
        .but("of another secret", |request| *request = sign(OTHER, "msg_1", NOW))
        .but("too old", |request| *request = sign(SECRET, "msg_1", NOW - 301))
        .but("in the future", |request| *request = sign(SECRET, "msg_1", NOW + 301))
        .with_signature("the asymmetric version", format!("v1a,{tag}"))
        .with_signature("a version to come", format!("v2,{tag}"))
        .with_signature("no version", &tag)
        .with_signature("an equals sign", format!("v1={tag}"))
        .with_signature("commas between", format!("{whole},{whole}"))
        .with_signature("two spaces between", format!("{whole}  {whole}"))
        .all_refused()
        .await;
}

#[tokio::test]
async fn custom_hmac() {
    let acme = HmacScheme::new("acme", "x-acme-signature")
        .prefix("v1=")
        .encoding(Encoding::Base64)
        .signs("{id}.{timestamp}.{body}")
        .id_header("x-acme-id")
        .timestamp_header("x-acme-time");
    let sign = |secret: &str, id: &str, time| {
        signed("/", acme.sign(secret, id, at(time), BODY.as_bytes()).unwrap(), BODY)
    };
    let good = sign(SECRET, "7", NOW);
    let whole = good.headers()["x-acme-signature"].to_str().unwrap().to_owned();
    let tag = whole.strip_prefix("v1=").unwrap().to_owned();
    Mutated::new(build(Webhook::hmac(acme.clone(), SECRET)), good, "x-acme-signature")
        .body()
        .signature(&tag)
        .timestamp("x-acme-time")
        .with("x-acme-id", "another", "8")
        .with("x-acme-id", "with a dot", "7.")
        .with("x-acme-id", "nothing", "")
        .but("no id", |request| {
            request.headers_mut().remove("x-acme-id");
        })
        .but("of another secret", |request| *request = sign(OTHER, "7", NOW))
        .but("too old", |request| *request = sign(SECRET, "7", NOW - 301))
        .but("in the future", |request| *request = sign(SECRET, "7", NOW + 301))
        .with_signature("another version", format!("v2={tag}"))
        .with_signature("no version", &tag)
        .all_refused()
        .await;
}

#[tokio::test]
async fn http_signatures() {
    let partner = HttpSignatures::hmac_sha256("https://a.example").unwrap();
    let sign = |secret: &str, time| {
        let headers = partner.sign(
            secret,
            "default",
            &Method::POST,
            "/events?a=b",
            at(time),
            BODY.as_bytes(),
        );
        signed("/events?a=b", headers.unwrap(), BODY)
    };
    let good = sign(SECRET, NOW);
    let text = |name: &str| good.headers()[name].to_str().unwrap().to_owned();
    let (input, digest, whole) =
        (text("signature-input"), text("content-digest"), text("signature"));
    let tag = whole.trim_start_matches("sig=:").trim_end_matches(':').to_owned();
    let uri = |uri: &'static str| {
        move |request: &mut Request<Bytes>| *request.uri_mut() = uri.parse().unwrap()
    };
    let changed = |from: &str, to: &str| {
        assert!(input.contains(from), "{from}");
        input.replacen(from, to, 1)
    };
    let now = NOW.to_string();
    Mutated::new(build(Webhook::http_signatures(partner.clone(), SECRET)), good, "signature")
        .body()
        .signature(&tag)
        .but("another method", |request| *request.method_mut() = Method::PUT)
        .but("another path", uri("/event?a=b"))
        .but("another query", uri("/events?a=c"))
        .but("no query", uri("/events"))
        .but("of another secret", |request| *request = sign(OTHER, NOW))
        .but("too old", |request| *request = sign(SECRET, NOW - 301))
        .but("in the future", |request| *request = sign(SECRET, NOW + 301))
        .with("signature-input", "a second later", changed(&now, &(NOW + 1).to_string()))
        .with("signature-input", "in milliseconds", changed(&now, &format!("{now}000")))
        .with("signature-input", "no time", changed(&format!(";created={now}"), ""))
        .with(
            "signature-input",
            "the time twice",
            changed(";keyid", &format!(";created={now};keyid")),
        )
        .with(
            "signature-input",
            "an end",
            changed(";keyid", &format!(";expires={};keyid", NOW + 60)),
        )
        .with(
            "signature-input",
            "an end that is over",
            changed(";keyid", &format!(";expires={NOW};keyid")),
        )
        .with("signature-input", "no key", changed(";keyid=\"default\"", ""))
        .with("signature-input", "another key", changed("default", "other"))
        .with("signature-input", "no algorithm", format!("{input};alg=\"none\""))
        .with("signature-input", "an algorithm", format!("{input};alg=\"hmac-sha256\""))
        .with("signature-input", "another algorithm", format!("{input};alg=\"ed25519\""))
        .with("signature-input", "a nonce", format!("{input};nonce=\"1\""))
        .with("signature-input", "a parameter", format!("{input};a=\"1\""))
        .with("signature-input", "no method", changed("\"@method\" ", ""))
        .with("signature-input", "no digest", changed(" \"content-digest\"", ""))
        .with(
            "signature-input",
            "nothing signed",
            changed("\"@method\" \"@target-uri\" \"content-digest\"", ""),
        )
        .with(
            "signature-input",
            "in another order",
            changed("\"@method\" \"@target-uri\"", "\"@target-uri\" \"@method\""),
        )
        .with(
            "signature-input",
            "a component more",
            changed(" \"content-digest\"", " \"content-digest\" \"@path\""),
        )
        .with(
            "signature-input",
            "a field that is not there",
            changed(" \"content-digest\"", " \"content-digest\" \"date\""),
        )
        .with(
            "signature-input",
            "a component with a parameter",
            changed("\"@method\"", "\"@method\";req"),
        )
        .with("signature-input", "a space more", changed("\" \"", "\"  \""))
        .with("signature-input", "another label", changed("sig=", "gis="))
        .with("signature-input", "twice in one", format!("{input}, {input}"))
        .with("signature-input", "two of them", format!("{input}, {}", changed("sig=", "two=")))
        .with(
            "content-digest",
            "of another body",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        )
        .with("content-digest", "of an unknown kind", digest.replace("sha-256", "md5"))
        .with("content-digest", "in upper case", digest.replace("sha-256", "SHA-256"))
        .with("content-digest", "twice in one", format!("{digest}, {digest}"))
        .but("another body and its digest", |request| {
            *request.body_mut() = Bytes::new();
            let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
            request.headers_mut().insert("content-digest", HeaderValue::from_static(empty));
        })
        .but("the digest twice", |request| {
            let digest = request.headers()["content-digest"].clone();
            request.headers_mut().append("content-digest", digest);
        })
        .all_refused()
        .await;
}
