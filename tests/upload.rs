//! The upload example, as it answers to clients: over HTTP/1.1 and HTTP/2.

use http::{Request, StatusCode, Version};
use http_body_util::Full;
use palisade_tests::{Answer, Client, Example};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";

/// `name; filename` and the content of each part.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (disposition, content) in parts {
        form.extend(
            format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n").bytes(),
        );
        form.extend(*content);
        form.extend(b"\r\n");
    }
    form.extend(b"--B--\r\n");
    form
}

async fn post(client: &Client, path: &str, parts: &[(&str, &[u8])]) -> Answer {
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=B");
    client.send(request.body(Full::from(form(parts))).unwrap()).await
}

/// `path code` of each issue.
fn issues(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |issue: &serde_json::Value, name: &str| issue[name].as_str().unwrap().to_owned();
    issues.iter().map(|issue| text(issue, "path") + " " + &text(issue, "code")).collect()
}

const TITLE: (&str, &[u8]) = ("name=\"title\"", b"sunset");

#[tokio::test]
async fn picture_is_read_into_memory_and_all_issues_are_reported() {
    let example = Example::start("upload");
    for client in Client::of_each_version(example.address) {
        let picture = ("name=\"picture\"; filename=\"a.png\"", PNG);
        let good = post(&client, "/pictures", &[TITLE, picture]).await;
        assert_eq!(good.text(), "sunset, no stars\nimage/png, 18 bytes in memory\n");
        let outside = ("name=\"picture\"; filename=\"../a.png\"", PNG);
        let bad = [("name=\"stars\"", &b"9"[..]), outside, ("name=\"title\"", b"")];
        assert_eq!(
            issues(&post(&client, "/pictures", &bad).await),
            ["picture invalid_file_name", "title too_short", "stars too_big"]
        );
        assert_eq!(issues(&post(&client, "/pictures", &[TITLE]).await), ["picture missing"]);
        let script = ("name=\"picture\"; filename=\"a.png\"", &b"<script>"[..]);
        let refused = post(&client, "/pictures", &[TITLE, script]).await;
        assert_eq!(
            (issues(&refused), &*refused.error_code()),
            (vec!["picture invalid_file_type".to_owned()], "VALIDATION_ERROR")
        );
        let large = [PNG, &vec![0; 1024 * 1024]].concat();
        let large = ("name=\"picture\"; filename=\"a.png\"", large.as_slice());
        let refused = post(&client, "/pictures", &[TITLE, large]).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn document_is_read_from_a_temporary_file() {
    let example = Example::start("upload");
    let client = Client::new(example.address, Version::HTTP_11);
    let table = b"1,2\n".repeat(100_000);
    let csv = "name=\"document\"; filename=\"a.csv\"\r\nContent-Type: text/csv";
    let good = post(&client, "/documents", &[TITLE, (csv, &table)]).await;
    assert_eq!(good.text(), "sunset, no stars\ntext/csv, 400000 bytes from a temporary file\n");
    let program = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 60]].concat();
    let refused = post(&client, "/documents", &[TITLE, (csv, &program)]).await;
    assert_eq!(issues(&refused), ["document invalid_file_type"]);
}

#[tokio::test]
async fn film_is_streamed_and_other_file_types_are_rejected() {
    let example = Example::start("upload");
    for client in Client::of_each_version(example.address) {
        let film = [MP4, &vec![0; 3_000_000]].concat();
        let film = ("name=\"film\"; filename=\"film.mp4\"", film.as_slice());
        for parts in [[TITLE, film], [film, TITLE]] {
            let good = post(&client, "/films", &parts).await;
            assert_eq!(good.text(), "sunset, no stars\nvideo/mp4, 3000024 bytes streamed\n");
        }
        let script = ("name=\"film\"; filename=\"film.mp4\"", &b"<script>"[..]);
        for path in ["/films", "/careless"] {
            let refused = post(&client, path, &[TITLE, script]).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (StatusCode::BAD_REQUEST, "VALIDATION_ERROR")
            );
            assert_eq!(issues(&refused), ["film invalid_file_type"]);
            assert_eq!(issues(&post(&client, path, &[film]).await), ["title missing"]);
        }
        assert_eq!(post(&client, "/careless", &[film, TITLE]).await.text(), "all is well\n");
    }
}
