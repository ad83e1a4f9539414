//! Forms whose files are streamed to the handler.

#![cfg(feature = "multipart")]

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use futures_core::Stream;
use garde::Validate;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Channel};
use palisade_core::ApiError;
use palisade_validate::{MultipartStream, Uploads, UploadsBuilder, Valid, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt;

#[derive(Debug, Deserialize, Validate)]
struct Caption {
    #[garde(length(chars, min = 1))]
    caption: String,
}

type Form = Valid<MultipartStream<Caption>>;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

/// `caption: field name type bytes, …`
async fn save(Valid(mut form): Form) -> Result<String, ApiError> {
    let mut files = String::new();
    while let Some(mut file) = form.next_file().await? {
        let mut bytes = Vec::new();
        while let Some(chunk) = file.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        let name = file.name().unwrap_or("-");
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(5)..]).into_owned();
        files.push_str(&format!(
            "; {} {name} {} {} {text}",
            file.field(),
            file.content_type(),
            bytes.len()
        ));
    }
    Ok(form.finish().await?.caption + &files)
}

/// Passes over every error, and says that all is well.
async fn careless(Valid(mut form): Form) -> String {
    let mut bytes = 0;
    while let Ok(Some(mut file)) = form.next_file().await {
        while let Some(chunk) = poll_fn(|cx| Pin::new(&mut file).poll_next(cx)).await {
            bytes += chunk.map_or(0, |chunk| chunk.len());
        }
    }
    let _ = form.finish().await;
    format!("stored {bytes} bytes")
}

/// Reads one chunk of each file, and not the end of the form.
async fn hasty(Valid(mut form): Form) -> Result<String, ApiError> {
    let mut files = 0;
    while let Some(mut file) = form.next_file().await? {
        files += usize::from(file.chunk().await?.is_some());
    }
    Ok(files.to_string())
}

fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--B--\r\n"].concat()
}

fn caption(text: &str) -> Vec<u8> {
    part("name=\"caption\"", text.as_bytes())
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    part(&format!("name=\"f\"; filename=\"{name}\"\r\nContent-Type: image/png"), content)
}

fn uploads() -> UploadsBuilder {
    Uploads::builder()
}

fn app(uploads: UploadsBuilder) -> Router {
    let uploads = uploads.build().unwrap();
    Router::new()
        .route("/save", post(save))
        .route("/careless", post(careless))
        .route("/hasty", post(hasty))
        .layer(uploads.layer())
}

async fn send(app: Router, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(path)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(body.into())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
}

fn issues(body: &Value) -> Vec<String> {
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    issues
        .iter()
        .map(|issue| [text(issue, "source"), text(issue, "path"), text(issue, "code")].join(" "))
        .collect()
}

/// A body of these pieces, each a chunk of its own.
fn in_pieces(pieces: Vec<Vec<u8>>) -> Body {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send_data(Bytes::from(piece)).await.is_err() {
                break;
            }
        }
    });
    Body::new(body)
}

#[tokio::test]
async fn files_and_fields_arrive_in_any_order_and_chunks() {
    let parts = [file("a.png", PNG), caption("two"), file("", b""), file("b.png", b"plain")];
    let whole = form(&parts);
    let expected = "two; f a.png image/png 18 so on; f b.png image/png 5 plain";
    assert_eq!(send(app(uploads()), "/save", whole.clone()).await.1, expected);
    for size in [1, 2, 7, 64] {
        let pieces = whole.chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(send(app(uploads()), "/save", in_pieces(pieces)).await.1, expected, "{size}");
    }
}

#[tokio::test]
async fn chunk_reaches_the_handler_before_the_next_is_sent() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let watch = move |Valid(mut form): Form| {
        let seen = seen.clone();
        async move {
            let mut file = form.next_file().await.unwrap().unwrap();
            while let Some(chunk) = file.chunk().await.unwrap() {
                seen.send(chunk.len()).unwrap();
            }
        }
    };
    let app = Router::new().route("/", post(watch));
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let answer = tokio::spawn(async move { send(app, "/", Body::new(body)).await.0 });
    let head = part("name=\"f\"; filename=\"a\"", b"");
    sender.send_data(Bytes::from(head[..head.len() - 2].to_vec())).await.unwrap();
    for _ in 0..3 {
        sender.send_data(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
        // Only what this chunk brought: were it kept until the end, this would wait for ever.
        assert_eq!(sees.recv().await, Some(10_000));
    }
    sender.send_data(Bytes::from_static(b"\r\n--B--\r\n")).await.unwrap();
    drop(sender);
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn rejected_file_delivers_no_bytes() {
    let arrived = Arc::new(Mutex::new(0));
    let count = Arc::clone(&arrived);
    let handler = move |Valid(mut form): Form| async move {
        while let Ok(Some(mut file)) = form.next_file().await {
            while let Ok(Some(chunk)) = file.chunk().await {
                *count.lock().unwrap() += chunk.len();
            }
        }
    };
    let png = uploads().allow_types(["image/png"]).build().unwrap();
    let app = Router::new().route("/", post(handler)).layer(png.layer());
    let script = [b"<script>".as_slice(), &[b' '; 9_000]].concat();
    for (name, content, code) in
        [("a.png", script.as_slice(), "invalid_file_type"), ("../a", PNG, "invalid_file_name")]
    {
        let pieces =
            form(&[caption("a"), file(name, content)]).chunks(100).map(<[u8]>::to_vec).collect();
        let (status, answer) = send(app.clone(), "/", in_pieces(pieces)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(issues(&answer), [format!("part f {code}")]);
    }
    assert_eq!(*arrived.lock().unwrap(), 0);
}

#[tokio::test]
async fn file_type_is_detected_even_from_single_bytes() {
    let png = || app(uploads().allow_types(["image/png"]));
    let body = form(&[caption("a"), file("a.png", PNG)]);
    let pieces = body.chunks(1).map(<[u8]>::to_vec).collect();
    assert_eq!(send(png(), "/save", in_pieces(pieces)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn rejection_of_the_form_overrides_the_handler_response() {
    let over = || form(&[file("a", &[b'x'; 11]), caption("a")]);
    for path in ["/save", "/careless"] {
        let exact = form(&[file("a", &[b'x'; 10]), caption("a")]);
        assert_eq!(send(app(uploads().max_file_bytes(10)), path, exact).await.0, 200, "{path}");
        let (status, answer) = send(app(uploads().max_file_bytes(10)), path, over()).await;
        assert_eq!((status.as_u16(), &answer["error"]["field"]), (413, &"f".into()), "{path}");
        let two = form(&[file("a", b"x"), file("b", b"y"), caption("a")]);
        let (_, answer) = send(app(uploads().max_files(1)), path, two).await;
        assert_eq!(issues(&answer), ["part f too_many_files"], "{path}");
        let latin = part("name=\"caption\"\r\nContent-Type: text/plain; charset=latin1", b"a");
        assert_eq!(send(app(uploads()), path, form(&[latin])).await.0, 415, "{path}");
        let broken = &over()[..60];
        assert_eq!(send(app(uploads()), path, broken.to_vec()).await.0, 400, "{path}");
        let (_, answer) = send(app(uploads().require_file("g")), path, form(&[caption("")])).await;
        assert_eq!(issues(&answer), ["part g missing", "part caption too_short"], "{path}");
        let length = over().len();
        let body = app(uploads().max_file_bytes(11).max_body_bytes(length - 1));
        assert_eq!(send(body, path, in_pieces(vec![over()])).await.0, 413, "{path}");
    }
    // The status of broken rules is a setting.
    let strict =
        app(uploads()).layer(Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY).layer());
    assert_eq!(send(strict.clone(), "/careless", form(&[caption("")])).await.0, 422);
    let unnamed = form(&[caption("a"), file("../a", b"x")]);
    assert_eq!(send(strict, "/save", unnamed).await.0, 422);
}

#[tokio::test]
async fn caps_apply_without_the_layer() {
    let app = Router::new().route("/save", post(save)).route("/careless", post(careless));
    let over = || form(&vec![file("a", b"x"); 11]);
    assert_eq!(issues(&send(app.clone(), "/save", over()).await.1), ["part f too_many_files"]);
    assert_eq!(send(app, "/careless", over()).await.1, "stored 10 bytes");
}

#[tokio::test]
async fn unread_file_content_is_skipped_and_counted() {
    let large = |size: usize| form(&[file("a", &vec![b'x'; size]), file("b", b"y"), caption("a")]);
    let caps = || uploads().max_file_bytes(50_000);
    let in_thousands = |body: Vec<u8>| in_pieces(body.chunks(1_000).map(<[u8]>::to_vec).collect());
    assert_eq!(send(app(caps()), "/hasty", in_thousands(large(50_000))).await.1, 2);
    assert_eq!(send(app(caps()), "/hasty", in_thousands(large(50_001))).await.0, 413);
}

#[tokio::test]
async fn rejected_form_returns_the_same_error_again() {
    let again = |Valid(mut form): Form| async move {
        let mut file = form.next_file().await.unwrap().unwrap();
        let first = loop {
            if let Err(error) = file.chunk().await {
                break error;
            }
        };
        assert_eq!(file.chunk().await.unwrap_err().status(), first.status());
        assert_eq!(form.next_file().await.unwrap_err().status(), first.status());
        form.finish().await.unwrap_err()
    };
    let caps = uploads().max_file_bytes(5_000).build().unwrap();
    let app = Router::new().route("/", post(again)).layer(caps.layer());
    let body = form(&[file("a", &[b'x'; 5_001])]);
    // The first 4 KiB and what else tells what it is are good.
    let pieces = body.chunks(1_000).map(<[u8]>::to_vec).collect();
    let (status, _) = send(app, "/", in_pieces(pieces)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn dropped_read_cannot_complete_the_form() {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let drops = |Valid(mut form): Form| async move {
        {
            let mut first = std::pin::pin!(form.next_file());
            // half of the caption is there, and no more comes before this is dropped
            for _ in 0..8 {
                let _ = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        }
        form.finish().await.map(|caption| caption.caption)
    };
    let half = caption("whole");
    sender.send_data(Bytes::from(half[..half.len() - 4].to_vec())).await.unwrap();
    let app = Router::new().route("/", post(drops));
    let answer = send(app, "/", Body::new(body)).await;
    assert_eq!(answer.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn errors_in_the_head_are_rejected_before_the_handler() {
    let never = async |_: Form| -> () { panic!("it is not called") };
    let app = Router::new()
        .route("/", post(never))
        .layer(uploads().max_body_bytes(10).max_files(0).build().unwrap().layer());
    for (content_type, status) in [
        ("application/json", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=B", 413),
    ] {
        let request = Request::post("/").header("content-type", content_type);
        let response =
            app.clone().oneshot(request.body(Body::from(form(&[caption("a")]))).unwrap());
        assert_eq!(response.await.unwrap().status().as_u16(), status, "{content_type}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_never_panic(
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        starts in proptest::prelude::any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = if starts { [b"--B\r\n".as_slice(), &body].concat() } else { body };
        for path in ["/save", "/careless"] {
            let _ = runtime.block_on(send(app(uploads()), path, body.clone()));
        }
    }

    #[test]
    fn file_content_is_independent_of_chunks(
        content in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..9_000),
        size in 1_usize..5_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let expected = content.clone();
        let same = move |Valid(mut form): Form| async move {
            let mut file = form.next_file().await?.expect("a file");
            let mut bytes = Vec::new();
            while let Some(chunk) = file.chunk().await? {
                bytes.extend_from_slice(&chunk);
            }
            assert!(bytes == expected);
            form.finish().await.map(|caption| caption.caption)
        };
        let app = Router::new().route("/", post(same));
        let body = form(&[file("a", &content), caption("same")]);
        let (_, answer) = runtime.block_on(async {
            let pieces = body.chunks(size).map(<[u8]>::to_vec).collect();
            send(app, "/", in_pieces(pieces)).await
        });
        proptest::prop_assert_eq!(answer, "same");
    }
}
