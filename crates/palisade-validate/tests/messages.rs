//! Messages of gRPC, checked before a method is called.

#![cfg(feature = "tonic")]

use std::convert::Infallible;

use bytes::Bytes;
use garde::Validate;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt, Full};
use palisade_core::{Body, BodyPolicyLayer};
use palisade_validate::{Messages, RuleContext, ValidateMessages, Validation, validate_message};
use prost::Message;
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};

#[derive(Clone, PartialEq, Message, Validate)]
struct Order {
    #[prost(string, tag = "1")]
    #[garde(length(chars, min = 1))]
    item_name: String,
    #[prost(message, repeated, tag = "2")]
    #[garde(dive)]
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Message, Validate)]
struct Line {
    #[prost(uint32, tag = "1")]
    #[garde(range(min = 1))]
    amount: u32,
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

/// What the layer answers: the gRPC status, or nothing and the bytes that the method got.
async fn call(path: &str, body: Vec<u8>) -> (Option<String>, Bytes) {
    let layer = ValidateMessages::new().method::<Order>("/shop.Orders/Create").layer(1024).unwrap();
    ask(layer, path, body, Extensions::new()).await
}

async fn ask(
    layer: BodyPolicyLayer<ValidateMessages>,
    path: &str,
    body: Vec<u8>,
    extensions: Extensions,
) -> (Option<String>, Bytes) {
    ask_in("", layer, path, body, extensions).await
}

async fn ask_in(
    coding: &str,
    layer: BodyPolicyLayer<ValidateMessages>,
    path: &str,
    body: Vec<u8>,
    extensions: Extensions,
) -> (Option<String>, Bytes) {
    let method = service_fn(|request: Request<Body<Full<Bytes>>>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let mut request = Request::post(path).header("content-type", "application/grpc");
    if !coding.is_empty() {
        request = request.header("grpc-encoding", coding);
    }
    let mut request = request.body(Full::new(Bytes::from(body))).unwrap();
    request.extensions_mut().extend(extensions);
    let response = layer.layer(method).oneshot(request).await.unwrap();
    let status = response.headers().get("grpc-status");
    let status = status.map(|status| status.to_str().unwrap().to_owned());
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

fn order(name: &str, amount: u32) -> Order {
    Order { item_name: name.to_owned(), lines: vec![Line { amount: 1 }, Line { amount }] }
}

#[tokio::test]
async fn valid_message_reaches_its_method_byte_for_byte() {
    let bytes = framed(0, &order("lamp", 2).encode_to_vec());
    assert_eq!(call("/shop.Orders/Create", bytes.clone()).await, (None, Bytes::from(bytes)));
    // other methods are not looked at
    assert_eq!(call("/shop.Orders/Other", vec![1, 2]).await, (None, Bytes::from_static(&[1, 2])));
}

#[tokio::test]
async fn invalid_messages_are_invalid_argument() {
    let bad = order("", 0).encode_to_vec();
    for body in [
        framed(0, &bad),
        framed(0, &[0xff, 0xff]),
        vec![],
        vec![0, 0],
        framed(0, &bad)[..7].to_vec(),
        [framed(0, &bad), framed(0, &bad)].concat(),
        // a good message, of which the frame says that it is shorter or longer
        [vec![0, 0, 0, 0, 1], order("lamp", 1).encode_to_vec()].concat(),
        [vec![0, 0, 0, 1, 0], order("lamp", 1).encode_to_vec()].concat(),
    ] {
        assert_eq!(call("/shop.Orders/Create", body).await.0.as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn issue_messages_follow_the_settings_of_the_request() {
    let layer = ValidateMessages::new().method::<Order>("/shop.Orders/Create").layer(1024).unwrap();
    let method = service_fn(|_: Request<Body<Full<Bytes>>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let body = Full::new(Bytes::from(framed(0, &order("", 1).encode_to_vec())));
    let mut request = Request::post("/shop.Orders/Create")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap();
    let settings = Validation::new().messages(Messages::table([("too_short", "fehlt")]));
    request.extensions_mut().insert(settings);
    let response = layer.layer(method).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-message"], "item_name: fehlt");
}

/// Compresses as a client of tonic does.
#[cfg(all(feature = "gzip", feature = "deflate", feature = "zstd"))]
mod compressed {
    use std::io::Write;

    use flate2::{Compression, write};

    use super::*;

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(message: &[u8]) -> Vec<u8> {
        let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(message: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(message, 0).unwrap()
    }

    type Coding = (&'static str, fn(&[u8]) -> Vec<u8>);
    const CODINGS: [Coding; 3] = [("gzip", gzip), ("deflate", deflate), ("zstd", zstd)];

    async fn call(coding: &'static str, body: Vec<u8>) -> (Option<String>, Bytes) {
        let layer =
            ValidateMessages::new().method::<Order>("/shop.Orders/Create").layer(1024).unwrap();
        ask_in(coding, layer, "/shop.Orders/Create", body, Extensions::new()).await
    }

    #[tokio::test]
    async fn compressed_message_is_validated_and_passed_unchanged() {
        for (coding, compress) in CODINGS {
            let good = framed(1, &compress(&order("lamp", 2).encode_to_vec()));
            assert_eq!(call(coding, good.clone()).await, (None, Bytes::from(good)), "{coding}");
            let bad = framed(1, &compress(&order("", 0).encode_to_vec()));
            assert_eq!(call(coding, bad).await.0.as_deref(), Some("3"), "{coding}");
            // each message says by itself whether it is compressed
            let plain = framed(0, &order("lamp", 2).encode_to_vec());
            assert_eq!(call(coding, plain).await.0, None, "{coding}");
        }
    }

    #[tokio::test]
    async fn decompressed_message_over_the_limit_is_resource_exhausted() {
        for (coding, compress) in CODINGS {
            let message = compress(&order(&"x".repeat(100_000), 1).encode_to_vec());
            assert!(message.len() < 1024, "{coding}");
            assert_eq!(call(coding, framed(1, &message)).await.0.as_deref(), Some("8"), "{coding}");
        }
    }

    #[tokio::test]
    async fn message_that_does_not_match_its_coding_is_invalid_argument() {
        let plain = order("lamp", 1).encode_to_vec();
        for (coding, compress) in CODINGS {
            let cut = compress(&plain);
            for message in [&plain[..], &cut[..cut.len() - 3]] {
                let body = framed(1, message);
                assert_eq!(call(coding, body).await.0.as_deref(), Some("3"), "{coding}");
            }
        }
        for coding in ["", "identity"] {
            assert_eq!(call(coding, framed(1, &plain)).await.0.as_deref(), Some("3"), "{coding}");
        }
    }
}

#[tokio::test]
async fn message_in_an_unknown_coding_is_rejected() {
    let body = framed(1, &order("", 0).encode_to_vec());
    let layer = ValidateMessages::new().method::<Order>("/shop.Orders/Create").layer(1024).unwrap();
    let told = ask_in("br", layer, "/shop.Orders/Create", body, Extensions::new()).await;
    assert_eq!(told.0.as_deref(), Some("12"));
    let body = framed(2, &order("lamp", 1).encode_to_vec());
    assert_eq!(call("/shop.Orders/Create", body).await.0.as_deref(), Some("3"), "no such flag");
}

#[tokio::test]
async fn message_over_the_limit_is_resource_exhausted() {
    let body = framed(0, &order(&"x".repeat(2_000), 1).encode_to_vec());
    assert_eq!(call("/shop.Orders/Create", body).await.0.as_deref(), Some("8"));
}

#[test]
fn status_message_names_the_invalid_field() {
    let status = validate_message(&order("lamp", 0)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "lines[1].amount: must be at least 1");
    assert!(validate_message(&order("lamp", 1)).is_ok());
}

#[test]
fn status_details_list_every_invalid_field() {
    let order = Order { item_name: String::new(), lines: vec![Line { amount: 0 }; 3] };
    let details = validate_message(&order).unwrap_err().get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "VALIDATION_ERROR");
    let violations = &details.bad_request().unwrap().field_violations;
    let said: Vec<_> = violations
        .iter()
        .map(|violation| (&*violation.field, &*violation.description, &*violation.reason))
        .collect();
    let amount = |at| (at, "must be at least 1", "TOO_SMALL");
    assert_eq!(said[0], ("item_name", "must have a length of at least 1", "TOO_SHORT"));
    assert_eq!(
        said[1..],
        [amount("lines[0].amount"), amount("lines[1].amount"), amount("lines[2].amount")]
    );
}

#[test]
fn status_details_mark_a_truncated_list() {
    let metadata = |amount| {
        let order = Order { item_name: "lamp".into(), lines: vec![Line { amount }; 100] };
        let order = Order { item_name: String::new(), ..order };
        let details = validate_message(&order).unwrap_err().get_error_details();
        details.error_info().unwrap().metadata.clone()
    };
    assert_eq!(metadata(0).get("truncated").map(String::as_str), Some("true"));
    assert_eq!(metadata(1).get("truncated"), None);
}

#[test]
fn invalid_method_path_is_a_config_error() {
    for path in ["shop.Orders/Create", "/shop.Orders", "/shop.Orders/Create/"] {
        let error = ValidateMessages::new().method::<Order>(path).layer(1).unwrap_err();
        assert_eq!(error.setting(), "method", "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(call("/shop.Orders/Create", body));
    }
}

#[tokio::test]
async fn message_at_the_limit_passes() {
    let message = order("lamp", 1).encode_to_vec();
    for (limit, expected) in [(message.len(), None), (message.len() - 1, Some("8"))] {
        let layer = ValidateMessages::new().method::<Order>("/shop.Orders/Create");
        let (layer, body) = (layer.layer(limit).unwrap(), framed(0, &message));
        let (status, _) = ask(layer, "/shop.Orders/Create", body, Extensions::new()).await;
        assert_eq!(status.as_deref(), expected, "{limit}");
    }
}

#[derive(Clone, PartialEq, Message, Validate)]
#[garde(context(Most as most))]
struct Limited {
    #[prost(uint32, tag = "1")]
    #[garde(range(max = most.0))]
    amount: u32,
}

struct Most(u32);

#[tokio::test]
async fn rules_of_a_message_receive_the_context_of_its_call() {
    for (most, expected) in [(Some(3), None), (Some(2), Some("3")), (None, Some("13"))] {
        let layer = ValidateMessages::new().method::<Limited>("/a.B/C").layer(100).unwrap();
        let body = framed(0, &Limited { amount: 3 }.encode_to_vec());
        let mut extensions = Extensions::new();
        if let Some(most) = most {
            extensions.insert(RuleContext::new(Most(most)));
        }
        let (status, _) = ask(layer, "/a.B/C", body, extensions).await;
        assert_eq!(status.as_deref(), expected, "{most:?}");
    }
}
