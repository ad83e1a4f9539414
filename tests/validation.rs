//! The validation example, as it answers to clients: over HTTP/1.1 and HTTP/2.

use http::{Request, StatusCode, Version};
use http_body_util::Full;
use palisade_tests::{Answer, Client, Example};
use serde_json::{Value, json};

const ORDER: &str =
    r#"{"customerEmail":"ada@example.com","orderLines":[{"productCode":"lamp","amount":2}]}"#;
const KEY: &str = "idempotency-key: 12345678";

/// `source pointer code` of each issue, sorted.
fn issues(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let issues = body["error"]["issues"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |issue: &Value, name: &str| issue[name].as_str().unwrap().to_owned();
    let mut issues: Vec<_> = issues
        .iter()
        .map(|issue| [text(issue, "source"), text(issue, "pointer"), text(issue, "code")].join(" "))
        .collect();
    issues.sort();
    issues
}

async fn post(client: &Client, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let request = Request::post(path).header("content-type", content_type);
    client.send(request.body(Full::from(body.to_vec())).unwrap()).await
}

#[tokio::test]
async fn order_is_created_with_converted_parameters() {
    let example = Example::start("validation");
    for client in Client::of_each_version(example.address) {
        let answer = client
            .post_json(
                "/shops/7/orders?parcels=2&isGift=true&label=a&label=b",
                ORDER,
                &[KEY, "x-api-version: 2"],
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let order: Value = serde_json::from_str(ORDER).unwrap();
        let expected = json!({
            "shopId": 7, "parcels": 2, "isGift": true, "labels": ["a", "b"], "key": "12345678", "apiVersion": 2,
            "order": order,
        });
        assert_eq!(answer.json(), expected);
        let defaults = client.post_json("/shops/7/orders", ORDER, &[KEY]).await.json();
        assert_eq!((&defaults["parcels"], &defaults["isGift"]), (&json!(1), &json!(false)));
    }
}

#[tokio::test]
async fn all_issues_are_reported_with_the_names_of_the_client() {
    let example = Example::start("validation");
    for client in Client::of_each_version(example.address) {
        let body = r#"{"customerEmail":"hunter2","orderLines":[{"productCode":"lamp","amount":1},{"productCode":"hunter2","amount":9}]}"#;
        let answer =
            client.post_json("/shops/0/orders?parcels=many", body, &["idempotency-key: 1"]).await;
        assert_eq!(
            (answer.status, &*answer.error_code()),
            (StatusCode::BAD_REQUEST, "VALIDATION_ERROR")
        );
        assert_eq!(
            issues(&answer),
            [
                "body /customerEmail invalid_email",
                "body /orderLines/1/amount too_big",
                "body /orderLines/1/productCode invalid",
                "headers /idempotency-key too_short",
                "path /shopId too_small",
                "query /parcels wrong_type",
            ]
        );
        assert!(!answer.text().contains("hunter2"));
        let amount = answer.json()["error"]["issues"]
            .as_array()
            .unwrap()
            .iter()
            .find(|issue| issue["code"] == "too_big")
            .cloned()
            .unwrap();
        assert_eq!(amount["params"], json!({"max": 5}));
        assert_eq!(amount["path"], "orderLines[1].amount");
        let empty = client.post_json("/shops/7/orders", "{}", &[]).await;
        assert_eq!(
            issues(&empty),
            [
                "body /customerEmail missing",
                "body /orderLines missing",
                "headers /idempotency-key missing"
            ]
        );
    }
}

#[tokio::test]
async fn malformed_json_gets_a_clear_message() {
    let example = Example::start("validation");
    for client in Client::of_each_version(example.address) {
        let twice = ORDER.replacen('{', r#"{"customerEmail":"a@b.cc","#, 1);
        for (body, says) in [
            ("", "is empty"),
            ("{\"customerEmail\":", "line 1, column 17"),
            (&twice, "twice"),
            ("{} {}", "more after its end"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            let answer = client.post_json("/shops/7/orders", body.to_owned(), &[KEY]).await;
            assert_eq!(
                (answer.status, &*answer.error_code()),
                (StatusCode::BAD_REQUEST, "INVALID_JSON")
            );
            assert!(answer.text().contains(says), "{}", answer.text());
        }
        let deep = "[".repeat(200_000);
        let answer = client.post_json("/shops/7/orders", deep, &[KEY]).await;
        assert!(answer.text().contains("nested too deeply"));
        for other in ["text/plain", "application/x-www-form-urlencoded"] {
            let answer = post(&client, "/shops/7/orders", other, ORDER.as_bytes()).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(answer.header("accept"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn form_issues_are_grouped_by_field() {
    let example = Example::start("validation");
    let client = Client::new(example.address, Version::HTTP_11);
    let form = "application/x-www-form-urlencoded";
    let good = b"name=ada&password=correct+horse&repeat=correct+horse";
    assert_eq!(
        post(&client, "/signup", form, good).await.text(),
        "welcome, ada: 13 characters twice"
    );
    let bad = post(&client, "/signup", form, b"name=a&password=short&repeat=other").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let error = bad.json()["error"].clone();
    assert_eq!(error["formErrors"], json!([]));
    let mut fields: Vec<_> = error["fieldErrors"].as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, ["name", "password", "repeat"]);
    assert!(!bad.text().contains("short\""));
}

#[tokio::test]
async fn file_type_is_detected_from_its_bytes() {
    let example = Example::start("validation");
    for client in Client::of_each_version(example.address) {
        let form = |content: &[u8]| {
            let head = "--B\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nsunset\r\n--B\r\n\
                Content-Disposition: form-data; name=\"picture\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n";
            [head.as_bytes(), content, b"\r\n--B--\r\n"].concat()
        };
        let send = async |content: &[u8]| {
            post(&client, "/pictures", "multipart/form-data; boundary=B", &form(content)).await
        };
        let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 500_000]].concat();
        assert_eq!(send(&png).await.text(), "sunset: image/png 500008");
        assert_eq!(issues(&send(b"<script>").await), ["part /picture invalid_file_type"]);
        let large = [png.as_slice(), &[0; 600_000]].concat();
        assert_eq!(send(&large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn schema_validates_like_a_type() {
    let example = Example::start("validation");
    let client = Client::new(example.address, Version::HTTP_2);
    let reading = r#"{"sensor":"roof-1","celsius":21.5}"#;
    let good = client.post_json("/readings", reading, &[]).await;
    assert_eq!(
        (good.status, good.json()),
        (StatusCode::OK, serde_json::from_str(reading).unwrap())
    );
    let bad =
        client.post_json("/readings", r#"{"sensor":"roof","celsius":100,"unit":"K"}"#, &[]).await;
    assert_eq!(
        issues(&bad),
        ["body /celsius too_big", "body /sensor invalid_format", "body /unit unknown_field"]
    );
}

#[tokio::test]
async fn response_that_violates_its_schema_is_500_in_development() {
    let example = Example::start("validation");
    let client = Client::new(example.address, Version::HTTP_11);
    assert_eq!(client.get("/health", &[]).await.json(), json!({"state": "up"}));
    let broken = client.get("/broken", &[]).await;
    assert_eq!((broken.status.as_u16(), &*broken.error_code()), (500, "INVALID_RESPONSE"));
}
