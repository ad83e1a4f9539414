//! Bodies that arrive compressed, and those that are made to explode.

mod chunked;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use chunked::{Chunked, code_of};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError};
use palisade_body::{ByteSize, DecodedBody, Decompression};
use palisade_core::{
    ApiError, BoxError, SystemClock, Trail,
    testing::{Contract, Probe, Script, Step},
};
use tokio::io::AsyncWriteExt;
use tower::{Layer, ServiceExt, service_fn};

type Answer = Result<Response<Full<Bytes>>, BoxError>;

async fn coded(coding: &str, plain: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(plain).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match coding {
        "gzip" | "x-gzip" | "GZip" => with!(GzipEncoder),
        "deflate" => with!(ZlibEncoder),
        "br" => with!(BrotliEncoder),
        "zstd" => with!(ZstdEncoder),
        _ => plain.to_vec(),
    }
}

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// Bytes that compress a little.
fn prose(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoinshrdlu "[(state >> 24) as usize % 13]
    })
    .take(length)
    .collect()
}

fn request(coding: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::post("/")
        .header("content-encoding", coding)
        .header("content-length", body.len())
        .body(Full::from(body))
        .unwrap()
}

async fn reads<B>(request: Request<DecodedBody<B>>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    for gone in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        assert!(!request.headers().contains_key(&gone), "{gone} is that of the coded body");
    }
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

async fn swallows<B>(request: Request<DecodedBody<B>>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let outcome = request.into_body().collect().await;
    if let Err(error) = &outcome {
        assert!(error.is::<LengthLimitError>(), "the error that extractors know: {error}");
    }
    Ok(Response::new(Full::from("never mind")))
}

#[tokio::test]
async fn decodes_each_supported_coding() {
    let plain = prose(200_000);
    for coding in ["gzip", "x-gzip", "GZip", "deflate", "br", "zstd"] {
        let body = coded(coding, &plain).await;
        assert!(body.len() < plain.len());
        let service = Decompression::new(200_000).layer(service_fn(reads));
        let response = service.oneshot(request(coding, body)).await.unwrap();
        let read = response.into_body().collect().await.unwrap().to_bytes();
        assert!(read == plain, "{coding}");
    }
}

#[tokio::test]
async fn uncompressed_bodies_are_unchanged() {
    for coding in [None, Some("identity"), Some("")] {
        let service = Decompression::new(1).layer(service_fn(
            |request: Request<DecodedBody<Full<Bytes>>>| async {
                assert_eq!(request.headers()["content-length"], "5");
                let body = request.into_body().collect().await?.to_bytes();
                Ok::<_, BoxError>(Response::new(Full::new(body)))
            },
        ));
        let mut plain = Request::post("/").header("content-length", "5");
        if let Some(coding) = coding {
            plain = plain.header("content-encoding", coding);
        }
        let response = service.oneshot(plain.body(Full::from("12345")).unwrap()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "12345");
    }
}

#[tokio::test]
async fn unknown_coding_is_415_and_lists_supported_ones() {
    for coding in ["compress", "gzip, br", "gzip, gzip", "identity, nonsense", "gzi"] {
        let probe = Probe::new();
        let service = Decompression::new(100).layer(probe.handle());
        let response = service.oneshot(request(coding, b"1".to_vec())).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}");
        assert_eq!(response.headers()[header::ACCEPT_ENCODING], "gzip, deflate, br, zstd");
        assert_eq!(code_of(response.into_body()).await, "UNSUPPORTED_CONTENT_ENCODING");
        assert_eq!(probe.calls(), 0);
    }
}

#[tokio::test]
async fn decoded_body_over_the_limit_is_413_for_any_handler() {
    for coding in CODINGS {
        let body = coded(coding, &prose(100_000)).await;
        for (limit, expected) in
            [(100_000, StatusCode::OK), (99_999, StatusCode::PAYLOAD_TOO_LARGE)]
        {
            let limit = Decompression::new(limit);
            let read = limit.layer(service_fn(reads)).oneshot(request(coding, body.clone()));
            let ignored = limit.layer(service_fn(swallows)).oneshot(request(coding, body.clone()));
            for response in [read.await.unwrap(), ignored.await.unwrap()] {
                assert_eq!(response.status(), expected, "{coding}");
                if expected.is_client_error() {
                    assert_eq!(response.headers()[header::CONNECTION], "close");
                    assert_eq!(code_of(response.into_body()).await, "DECOMPRESSED_TOO_LARGE");
                }
            }
        }
    }
}

#[tokio::test]
async fn zip_bomb_is_rejected_at_the_cap() {
    for coding in CODINGS {
        // 8 MiB of nothing
        let bomb = coded(coding, &vec![0; 8 << 20]).await;
        assert!(bomb.len() < 10_000, "{coding} {}", bomb.len());
        for (layer, code, most) in [
            (
                Decompression::new(ByteSize::mb(1)).max_ratio(u32::MAX),
                "DECOMPRESSED_TOO_LARGE",
                1 << 20,
            ),
            // the first frame may be all that there is, and the ratio is to what was read
            (Decompression::new(ByteSize::gb(1)), "COMPRESSION_RATIO_TOO_HIGH", 2_000_000),
        ] {
            let read = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&read);
            let service =
                layer.layer(service_fn(move |request: Request<DecodedBody<Full<Bytes>>>| {
                    let counter = Arc::clone(&counter);
                    async move {
                        let mut body = request.into_body();
                        while let Some(Ok(frame)) = body.frame().await {
                            counter.fetch_add(frame.into_data().unwrap().len(), Ordering::SeqCst);
                        }
                        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
                    }
                }));
            let response = service.oneshot(request(coding, bomb.clone())).await.unwrap();
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{coding}");
            assert_eq!(code_of(response.into_body()).await, code, "{coding}");
            assert!(read.load(Ordering::SeqCst) <= most, "{coding} {read:?}");
        }
    }
}

#[tokio::test]
async fn rejection_is_recorded_on_the_trail() {
    let gzip = || async { coded("gzip", &[b'a'; 100]).await };
    for (layer, coding, code) in [
        (Decompression::new(1000), "compress", "UNSUPPORTED_CONTENT_ENCODING"),
        (Decompression::new(99), "gzip", "DECOMPRESSED_TOO_LARGE"),
    ] {
        let trail = Trail::new(SystemClock::shared());
        let mut observed = request(coding, gzip().await);
        observed.extensions_mut().insert(trail.clone());
        layer.layer(service_fn(swallows)).oneshot(observed).await.unwrap();
        let noted: Vec<_> = trail.steps().iter().map(ToString::to_string).collect();
        assert_eq!(noted, [format!("Decompression=refused({code})")]);
    }
}

#[tokio::test]
async fn small_bodies_may_have_any_ratio() {
    for coding in CODINGS {
        let body = coded(coding, &[0; 64 * 1024]).await;
        let service = Decompression::new(ByteSize::mb(1)).max_ratio(2).layer(service_fn(reads));
        let response = service.oneshot(request(coding, body)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{coding}");
    }
}

#[tokio::test]
async fn all_gzip_members_are_read_and_counted() {
    let mut body = coded("gzip", b"first ").await;
    body.extend(coded("gzip", b"second").await);
    let service = Decompression::new(12).layer(service_fn(reads));
    let response = service.oneshot(request("gzip", body.clone())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "first second");
    let service = Decompression::new(11).layer(service_fn(reads));
    let response = service.oneshot(request("gzip", body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn body_that_does_not_match_its_coding_is_400() {
    for coding in CODINGS {
        let whole = coded(coding, &prose(10_000)).await;
        let half = whole[..whole.len() / 2].to_vec();
        let followed = [&whole[..], b"and more"].concat();
        for body in [half, followed, b"nothing of the kind".to_vec()] {
            let service = Decompression::new(100_000).layer(service_fn(reads));
            let response = service.oneshot(request(coding, body)).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            let error = response.extensions().get::<ApiError>().expect("an error of ours");
            assert_eq!(error.code(), "INVALID_CONTENT_ENCODING", "{coding}");
        }
    }
}

#[tokio::test]
async fn error_of_the_body_is_unchanged() {
    let body = Chunked::script([Step::Fail]);
    let request = Request::post("/").header("content-encoding", "gzip").body(body).unwrap();
    let service = Decompression::new(100).layer(service_fn(reads));
    let error = service.oneshot(request).await.unwrap_err();
    assert!(error.is::<palisade_core::testing::ProbeError>());
}

#[tokio::test]
async fn trailers_follow_the_decoded_bytes() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "7".parse().unwrap());
    let body = Full::new(Bytes::from(coded("zstd", b"body").await));
    let expected = trailers.clone();
    let body = body.with_trailers(async move { Some(Ok(trailers)) });
    let request = Request::post("/").header("content-encoding", "zstd").body(body).unwrap();
    let service =
        Decompression::new(100).layer(service_fn(move |request: Request<DecodedBody<_>>| {
            let expected = expected.clone();
            async move {
                let collected = request.into_body().collect().await?;
                assert_eq!(collected.trailers(), Some(&expected));
                assert_eq!(collected.to_bytes(), "body");
                Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
            }
        }));
    service.oneshot(request).await.unwrap();
}

#[tokio::test]
async fn the_layer_keeps_the_contract() {
    Contract::new(|| Request::post("/").body(Script::from_steps([Step::Data("body")])).unwrap())
        .check(|| Decompression::new(1024));
}

/// A route for each extractor of axum that reads the whole body.
fn extractors() -> axum::Router {
    axum::Router::new()
        .route("/bytes", axum::routing::post(|_: Bytes| async {}))
        .route("/string", axum::routing::post(|_: String| async {}))
        .route("/json", axum::routing::post(|_: axum::Json<String>| async {}))
        .layer(Decompression::new(ByteSize::kb(100)).max_ratio(200))
}

#[tokio::test]
async fn rejections_keep_their_code_through_axum_extractors() {
    let text = |length| format!("\"{}\"", "x".repeat(length)).into_bytes();
    let large = coded("gzip", &[b"\"", &prose(110_000)[..], b"\""].concat()).await;
    let blank = coded("gzip", &text(90_000)).await;
    let mut cut = coded("gzip", &text(9)).await;
    cut.truncate(cut.len() - 4);
    for path in ["/bytes", "/string", "/json"] {
        for (coding, body, status, code) in [
            ("gzip", &large, 413, "DECOMPRESSED_TOO_LARGE"),
            ("gzip", &blank, 413, "COMPRESSION_RATIO_TOO_HIGH"),
            ("gzip", &cut, 400, "INVALID_CONTENT_ENCODING"),
            ("zstd", &cut, 400, "INVALID_CONTENT_ENCODING"),
            ("lzma", &cut, 415, "UNSUPPORTED_CONTENT_ENCODING"),
        ] {
            let mut request = request(coding, body.clone()).map(axum::body::Body::new);
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert("content-type", "application/json".parse().unwrap());
            let response = extractors().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{path} {code}");
            assert_eq!(code_of(response.into_body()).await, code, "{path}");
        }
        let mut request = request("gzip", coded("gzip", &text(9)).await).map(axum::body::Body::new);
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        assert_eq!(extractors().oneshot(request).await.unwrap().status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn many_empty_members_are_rejected_early() {
    for coding in ["gzip", "zstd"] {
        let empty = coded(coding, b"").await;
        let service = Decompression::new(ByteSize::mb(10)).layer(service_fn(reads));
        let few = service.clone().oneshot(request(coding, empty.repeat(60))).await.unwrap();
        assert_eq!(few.status(), StatusCode::OK, "{coding}");

        let (probe, body) = Metered::new(empty.repeat(500_000));
        let many = Request::post("/").header("content-encoding", coding).body(body).unwrap();
        let service = Decompression::new(ByteSize::mb(10)).layer(service_fn(reads));
        let outcome = service.oneshot(many).await.unwrap();
        assert_eq!(outcome.status(), StatusCode::BAD_REQUEST, "{coding}");
        let read = probe.load(Ordering::SeqCst);
        assert!(read <= 16, "{coding}: {read} frames of 16 KiB were read");
    }
}

#[tokio::test]
async fn many_empty_blocks_are_rejected_early() {
    // Stored blocks of deflate.
    let deflate = [&[0x78, 0x9c][..], &[0, 0, 0, 0xff, 0xff].repeat(200_000)].concat();
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &deflate[2..]].concat();
    // A zstd frame of empty raw blocks.
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58][..], &[0, 0, 0].repeat(300_000)].concat();
    for (coding, body) in [("gzip", gzip), ("deflate", deflate), ("zstd", zstd)] {
        let (taken, body) = Metered::new(body);
        let request = Request::post("/").header("content-encoding", coding).body(body).unwrap();
        let service = Decompression::new(ByteSize::mb(10)).layer(service_fn(reads));
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{coding}");
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken <= 6, "{coding}: {taken} frames of 16 KiB were read");
    }
}

#[tokio::test]
async fn many_nonempty_members_are_accepted() {
    for coding in ["gzip", "zstd"] {
        let member = coded(coding, &prose(2048)).await;
        let service = Decompression::new(ByteSize::mb(1)).layer(service_fn(reads));
        let response = service.oneshot(request(coding, member.repeat(200))).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 200 * 2048, "{coding}");
    }
}

/// A body in frames of 16 KiB, which counts those that were taken.
struct Metered {
    rest: Bytes,
    taken: Arc<AtomicUsize>,
}

impl Metered {
    fn new(body: Vec<u8>) -> (Arc<AtomicUsize>, Self) {
        let taken = Arc::new(AtomicUsize::new(0));
        (Arc::clone(&taken), Self { rest: body.into(), taken })
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            return std::task::Poll::Ready(None);
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        let length = self.rest.len().min(16 * 1024);
        let piece = self.rest.split_to(length);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}
