//! Forms with files.

#![cfg(feature = "multipart")]

use std::io::Read;

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use garde::Validate;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Channel};
use palisade_validate::{Multipart, Uploads, UploadsBuilder, Valid};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

#[derive(Debug, Deserialize, Validate)]
struct Profile {
    #[garde(length(chars, min = 1))]
    name: String,
    #[garde(range(max = 150))]
    #[serde(default)]
    age: u8,
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

async fn save(Valid(form): Valid<Multipart<Profile>>) -> String {
    let mut answer = format!("{} {}", form.fields.name, form.fields.age);
    for file in form.files {
        let about = format!(
            "; {} {} {} {}",
            file.field(),
            file.name().unwrap_or("-"),
            file.content_type(),
            file.size()
        );
        answer.push_str(&about);
        let size = file.size();
        let mut bytes = Vec::new();
        file.into_file().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, size);
    }
    answer
}

fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--B--\r\n"].concat()
}

fn name() -> Vec<u8> {
    part("name=\"name\"", b"ada")
}

fn file(content: &[u8]) -> Vec<u8> {
    part("name=\"avatar\"; filename=\"me.png\"\r\nContent-Type: image/png", content)
}

fn uploads() -> UploadsBuilder {
    Uploads::builder()
}

async fn send(uploads: UploadsBuilder, body: impl Into<Body>) -> (StatusCode, Value) {
    send_as(uploads, "multipart/form-data; boundary=B", body).await
}

async fn send_as(
    uploads: UploadsBuilder,
    content_type: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let app = Router::new().route("/", post(save).layer(uploads.build().unwrap().layer()));
    let request =
        Request::post("/").header("content-type", content_type).body(body.into()).unwrap();
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

#[tokio::test]
async fn fields_and_files_arrive() {
    let body = form(&[name(), part("name=\"age\"", b"36"), file(PNG)]);
    let (status, answer) = send(uploads(), body).await;
    assert_eq!((status, answer), (StatusCode::OK, "ada 36; avatar me.png image/png 18".into()));
}

#[tokio::test]
async fn file_larger_than_the_memory_limit_arrives_complete() {
    let content = [PNG, &vec![7; 3_000_000]].concat();
    let (_, answer) = send(uploads(), form(&[name(), file(&content)])).await;
    assert_eq!(answer, "ada 0; avatar me.png image/png 3000018");
}

#[tokio::test]
async fn all_issues_of_a_form_are_reported_at_once() {
    let body = form(&[
        part("name=\"name\"", b""),
        part("name=\"age\"", b"old"),
        part("name=\"avatar\"; filename=\"../../etc/passwd\"", b"root:x:0:0"),
    ]);
    let (status, answer) =
        send(uploads().allow_types(["image/png"]).require_file("photo"), body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        issues(&answer),
        [
            "part avatar invalid_file_name",
            "part avatar invalid_file_type",
            "part photo missing",
            "part age wrong_type",
        ]
    );
}

#[tokio::test]
async fn file_type_is_detected_from_the_first_bytes() {
    let only_png = || uploads().allow_types(["image/png"]).insecure_allow_declared_type("text/csv");
    assert_eq!(send(only_png(), form(&[name(), file(PNG)])).await.0, StatusCode::OK);
    // and one that is refused is not missing as well
    let needed = only_png().require_file("avatar");
    let (_, answer) = send(needed, form(&[name(), file(b"<script>")])).await;
    assert_eq!(issues(&answer), ["part avatar invalid_file_type"]);
    let csv =
        |content: &[u8]| part("name=\"a\"; filename=\"a.csv\"\r\nContent-Type: text/csv", content);
    assert_eq!(send(only_png(), form(&[name(), csv(b"a,b")])).await.0, StatusCode::OK);
    // what cannot be told is what its sender says, and that is not among those
    let text = part("name=\"a\"; filename=\"a.txt\"\r\nContent-Type: text/plain", b"plain");
    let (_, answer) = send(only_png(), form(&[name(), text])).await;
    assert_eq!(issues(&answer), ["part a invalid_file_type"]);
    // a program that says it is a table
    let (_, answer) = send(
        only_png(),
        form(&[name(), csv(&[b"\x7fELF\x02\x01\x01".as_slice(), &[0; 60]].concat())]),
    )
    .await;
    assert_eq!(issues(&answer), ["part a invalid_file_type"]);
}

#[tokio::test]
async fn rejects_file_names_with_directories() {
    for bad in ["../a", "a/b", "a\\\\b", ".htaccess", "a.", "c:a", &"x".repeat(256)] {
        let body = form(&[name(), part(&format!("name=\"f\"; filename=\"{bad}\""), PNG)]);
        assert_eq!(issues(&send(uploads(), body).await.1), ["part f invalid_file_name"], "{bad}");
    }
}

#[tokio::test]
async fn empty_file_input_counts_as_no_file() {
    let body = form(&[name(), part("name=\"avatar\"; filename=\"\"", b"")]);
    assert_eq!(send(uploads(), body.clone()).await.1, "ada 0");
    assert_eq!(
        issues(&send(uploads().require_file("avatar"), body).await.1),
        ["part avatar missing"]
    );
}

#[tokio::test]
async fn every_cap_is_exact() {
    let files = |count: usize| form(&[&[name()][..], &vec![file(PNG); count]].concat());
    assert_eq!(send(uploads().max_files(2), files(2)).await.0, StatusCode::OK);
    assert_eq!(
        issues(&send(uploads().max_files(2), files(3)).await.1),
        ["part avatar too_many_files"]
    );
    assert_eq!(send(uploads().max_parts(3), files(2)).await.0, StatusCode::OK);
    assert_eq!(send(uploads().max_parts(3), files(3)).await.0, StatusCode::BAD_REQUEST);
    for (caps, status) in [
        (uploads().max_file_bytes(18), 200),
        (uploads().max_file_bytes(17), 413),
        (uploads().max_field_bytes(3), 200),
        (uploads().max_field_bytes(2), 413),
        (uploads().max_body_bytes(files(1).len()).max_file_bytes(18), 200),
        (uploads().max_body_bytes(files(1).len() - 1).max_file_bytes(18), 413),
    ] {
        assert_eq!(send(caps.clone(), files(1)).await.0.as_u16(), status, "{caps:?}");
    }
}

#[tokio::test]
async fn body_without_a_declared_length_is_counted_while_reading() {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let sent = tokio::spawn(async move {
        let head = part("name=\"avatar\"; filename=\"a.png\"", b"");
        let _ = sender.send_data(Bytes::from(head[..head.len() - 2].to_vec())).await;
        let mut sent = 0;
        while sender.send_data(Bytes::from(vec![b'x'; 64 * 1024])).await.is_ok() {
            sent += 64 * 1024;
        }
        sent
    });
    let caps = uploads().max_file_bytes(1024 * 1024);
    assert_eq!(send(caps, Body::new(body)).await.0.as_u16(), 413);
    assert!(sent.await.unwrap() < 2 * 1024 * 1024, "the rest was not read");
}

#[tokio::test]
async fn endless_part_headers_are_rejected_early() {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let sent = tokio::spawn(async move {
        let _ = sender.send_data(Bytes::from_static(b"--B\r\nX-Long: ")).await;
        let mut sent = 0;
        while sent < 10_000_000 && sender.send_data(Bytes::from(vec![b'x'; 1024])).await.is_ok() {
            sent += 1024;
        }
        sent
    });
    assert_eq!(send(uploads(), Body::new(body)).await.0.as_u16(), 413);
    assert!(sent.await.unwrap() < 64 * 1024, "the rest was not read");
}

#[tokio::test]
async fn part_headers_in_one_chunk_are_counted() {
    let name = |length: usize| {
        // `Content-Disposition: form-data; name="name"` and `x: …`, each with its end of a line.
        let rest = "Content-Disposition: form-data; name=\"name\"\r\nx: \r\n".len();
        form(&[part(&format!("name=\"name\"\r\nx: {}", "x".repeat(length - rest)), b"ada")])
    };
    let status = async |length, caps| send(caps, name(length)).await.0.as_u16();
    assert_eq!(status(8 * 1024, uploads()).await, 200);
    assert_eq!(status(8 * 1024 + 1, uploads()).await, 413);
    assert_eq!(status(100, uploads().max_part_header_bytes(100)).await, 200);
    assert_eq!(status(101, uploads().max_part_header_bytes(100)).await, 413);
}

#[tokio::test]
async fn rejects_alternative_spellings_of_a_file_name() {
    for bad in [
        "name=\"f\"; filename*=UTF-8''a.png",
        "name=\"f\"; FileName*=UTF-8''..%2Fa.png",
        "name=\"f\"; name=\"g\"; filename=\"a.png\"",
        "name=\"f\"; filename=\"a.png\"; FileName=\"b.png\"",
        "name=\"f\"; filename*0=\"a\"",
    ] {
        let (status, body) = send(uploads(), form(&[name(), part(bad, b"text")])).await;
        assert_eq!(status.as_u16(), 400, "{bad} {body}");
    }
    for text in
        ["name=\"a; filename*=b\"", "name=\"a\\\"; filename*=b\"", "name=a; filenames=b; x*=y"]
    {
        let text = part(text, b"text");
        let (status, body) = send(uploads(), form(&[name(), text])).await;
        assert_eq!((status.as_u16(), body), (200, "ada 0".into()));
    }
    let (status, body) =
        send(uploads(), form(&[name(), part("Name=f; FileName=a.png", PNG)])).await;
    assert_eq!((status.as_u16(), body), (200, "ada 0; f a.png image/png 18".into()));
    // as .NET writes every name
    let both = part("name=f; filename=a.png; filename*=utf-8''..%2Fb.png", PNG);
    let (_, body) = send(uploads(), form(&[name(), both])).await;
    assert_eq!(body, "ada 0; f a.png image/png 18");
}

#[tokio::test]
async fn invalid_utf8_text_is_one_issue_per_field() {
    let body = form(&[part("name=\"name\"", b"\xff"), part("name=\"age\"", b"\xff")]);
    let (_, body) = send(uploads(), body).await;
    assert_eq!(issues(&body), ["part age wrong_type", "part name wrong_type"]);
}

#[tokio::test]
async fn rejects_malformed_forms_and_other_media_types() {
    let good = || form(&[name()]);
    assert_eq!(send_as(uploads(), "multipart/form-data", good()).await.0.as_u16(), 400);
    let twice = "multipart/form-data; boundary=B; boundary=B";
    assert_eq!(send_as(uploads(), twice, good()).await.0.as_u16(), 400);
    let upper = "multipart/form-data; BOUNDARY=B";
    assert_eq!(send_as(uploads(), upper, good()).await.0.as_u16(), 200);
    assert_eq!(send_as(uploads(), "multipart/mixed; boundary=B", good()).await.0.as_u16(), 415);
    assert_eq!(send_as(uploads(), "application/json", good()).await.0.as_u16(), 415);
    let latin = part("name=\"name\"\r\nContent-Type: text/plain; charset=iso-8859-1", b"ada");
    assert_eq!(send(uploads(), form(&[latin])).await.0.as_u16(), 415);
    let not_text = form(&[part("name=\"name\"", b"\xff")]);
    assert_eq!(issues(&send(uploads(), not_text).await.1), ["part name wrong_type"]);
    for bad in [
        &b""[..],
        b"--B",
        b"--B\r\n\r\n",
        b"nothing",
        &form(&[name()])[..20],
        &form(&[part("x=1", b"")]),
    ] {
        assert_eq!(
            send(uploads(), bad.to_vec()).await.0.as_u16(),
            400,
            "{}",
            String::from_utf8_lossy(bad)
        );
    }
}

#[test]
fn invalid_caps_are_config_errors() {
    let setting = |uploads: UploadsBuilder| uploads.build().unwrap_err().setting();
    assert_eq!(setting(uploads().allow_types(["text/csv"])), "allow_types");
    assert_eq!(setting(uploads().max_body_bytes(10)), "max_file_bytes");
    assert_eq!(setting(uploads().max_files(0).require_file("a")), "max_files");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), starts in proptest::prelude::any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = if starts { [b"--B\r\n".as_slice(), &body].concat() } else { body };
        let _ = runtime.block_on(send(uploads(), body));
    }
}
