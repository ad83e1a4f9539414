//! The observe example, as its operators see it: a browser, and a client that asks why.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Channel, Full};
use palisade_tests::{Client, Example};
use serde_json::{Value, json};

pub(crate) async fn recorded(client: &Client, id: &str) -> Value {
    // The record is made when the response is over, which the client may know a moment before the server.
    for _ in 0..100 {
        let all = client.get(&format!("/debug/requests?format=json&id={id}"), &[]).await.json();
        if let Some(request) = all["requests"].as_array().and_then(|requests| requests.first()) {
            return request.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{id} was not recorded")
}

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("observe");
    let output = example.output_until("/metrics");
    for needed in ["user token:", "explain secret:", "traceparent", "/debug/requests", "/boom"] {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
}

#[tokio::test]
async fn each_request_is_recorded_once_with_its_outcome() {
    let mut example = Example::start("observe");
    let admin = format!("authorization: Bearer {}", example.token("admin"));
    for (version, client) in Client::of_each_version(example.address).into_iter().enumerate() {
        let id = |name: &str| format!("{name}-{version}");
        let field = |name: &str| format!("x-request-id: {}", id(name));

        client.get("/items/7?token=s3cret&page=2", &[&field("item")]).await;
        let item = recorded(&client, &id("item")).await;
        assert_eq!(item["path"], "/items/7?page=2&…");
        assert_eq!(item["route"], "/items/{id}");
        assert_eq!((&item["status"], &item["end"]), (&json!(200), &json!("complete")));
        assert_eq!((&item["bytes_out"], &item["client"]), (&json!(10), &json!("127.0.0.1")));
        let shadow = &item["policies"][1];
        assert_eq!(
            (&shadow["policy"], &shadow["outcome"]),
            (&json!("Authorize"), &json!("refused"))
        );
        assert_eq!(shadow["shadow"], true);

        let removed =
            client.call(Method::DELETE, "/admin/items/7", &[&admin, &field("gone")]).await;
        assert_eq!(removed.error_code(), "ITEM_NOT_FOUND");
        let gone = recorded(&client, &id("gone")).await;
        assert_eq!((&gone["status"], &gone["code"]), (&json!(404), &json!("ITEM_NOT_FOUND")));
        assert_eq!(gone["principal"].as_str().unwrap().len(), 32, "a hash, and not a name");

        client.get("/boom", &[&field("boom")]).await;
        let boom = recorded(&client, &id("boom")).await;
        assert_eq!((&boom["status"], &boom["code"]), (&json!(500), &json!("INTERNAL")));
    }
}

#[tokio::test]
async fn client_that_disconnects_is_not_recorded_as_complete() {
    let example = Example::start("observe");
    for (version, client) in Client::of_each_version(example.address).into_iter().enumerate() {
        let id = |name: &str| format!("{name}-{version}");
        let request = Request::get("/events").header("x-request-id", id("left"));
        let mut response = client.start(request.body(Full::<Bytes>::default()).unwrap()).await;
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        let left = recorded(&client, &id("left")).await;
        assert_eq!((&left["status"], &left["end"]), (&json!(200), &json!("aborted")), "{left}");
        assert!(left["bytes_out"].as_u64().unwrap() >= 13, "{left}");

        let field = format!("x-request-id: {}", id("head"));
        client.call(Method::HEAD, "/items/7", &[&field]).await;
        let head = recorded(&client, &id("head")).await;
        assert_eq!((&head["status"], &head["end"]), (&json!(200), &json!("complete")), "{head}");
        assert_eq!(head["bytes_out"], 0);
    }
}

#[tokio::test]
async fn every_log_line_contains_the_request_id() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let ask = async |example: &Example, id: &str| {
        let [client, _] = Client::of_each_version(example.address);
        let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
        let name = format!("x-request-id: {id}");
        client.get("/items/7?token=s3cret&page=2", &[&parent, &name]).await;
    };
    let mut example = Example::start_logging("observe", &[("PALISADE_LOG", "json")]);
    ask(&example, "in-json").await;
    let lines = example.log_until(|line| line.contains("palisade::access"));
    let events: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of = |target: &str| {
        let found = events.iter().find(|event| event["target"] == target);
        found.unwrap_or_else(|| panic!("nothing of {target} in {lines:#?}"))
    };
    let access = of("palisade::access");
    for (field, value) in [
        ("request_id", json!("in-json")),
        ("trace_id", json!(TRACE)),
        ("method", json!("GET")),
        ("path", json!("/items/7?page=2&…")),
        ("route", json!("/items/{id}")),
        ("status", json!(200)),
        ("end", json!("complete")),
        ("bytes_out", json!(10)),
        ("client", json!("127.0.0.1")),
        ("peer", json!("127.0.0.1")),
    ] {
        assert_eq!(access[field], value, "{field}");
    }
    assert!(access["ratelimit"].as_str().unwrap().starts_with("\"default\";r=999;"), "{access}");
    assert!(access["duration_us"].as_u64() >= access["first_byte_us"].as_u64(), "{access}");
    // what the handler writes is inside of the request's span, and so is what a shadow writes
    for target in ["example", "palisade::shadow"] {
        let span = &of(target)["span"];
        assert_eq!(span["request_id"], "in-json", "{target}");
        assert_eq!(span["trace_id"], TRACE, "{target}");
    }

    let mut example = Example::start_logging("observe", &[]);
    ask(&example, "to-read").await;
    let lines = example.log_until(|line| line.contains("palisade::access"));
    let access = lines.last().unwrap();
    assert!(access.contains("to-read") && serde_json::from_str::<Value>(access).is_err());
}

#[tokio::test]
async fn too_large_body_is_logged_with_the_layer_that_rejected_it() {
    let mut example = Example::start("observe");
    let explain = example.credential("explain secret");
    for (version, client) in Client::of_each_version(example.address).into_iter().enumerate() {
        let id = format!("large-{version}");
        let (mut sender, body) = Channel::<Bytes>::new(4);
        for _ in 0..3 {
            sender.try_send(Frame::data(Bytes::from(vec![b'x'; 512]))).unwrap();
        }
        drop(sender);
        let request = Request::put("/items/7").header("x-explain", &explain);
        let refused = client.send(request.header("x-request-id", &id).body(body).unwrap()).await;
        assert_eq!(refused.error_code(), "PAYLOAD_TOO_LARGE");
        let why = refused.header("x-palisade-explain").expect("an explanation");
        assert!(why.contains("BodyLimit=refused(PAYLOAD_TOO_LARGE);"), "{why}");

        let large = recorded(&client, &id).await;
        assert_eq!((&large["status"], &large["code"]), (&json!(413), &json!("PAYLOAD_TOO_LARGE")));
        let last = large["policies"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["policy"], &last["outcome"], &last["code"]),
            (&json!("BodyLimit"), &json!("refused"), &json!("PAYLOAD_TOO_LARGE"))
        );
    }
}

#[tokio::test]
async fn trace_is_continued() {
    let example = Example::start("observe");
    let [client, _] = Client::of_each_version(example.address);
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.get("/items/7", &[parent, "x-request-id: traced"]).await;
    let traced = recorded(&client, "traced").await;
    assert_eq!(traced["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn explanation_of_a_rejection_requires_the_secret() {
    let mut example = Example::start("observe");
    let user = format!("authorization: Bearer {}", example.token("user"));
    let secret = format!("x-explain: {}", example.credential("explain secret"));
    for client in Client::of_each_version(example.address) {
        let delete =
            async |fields: &[&str]| client.call(Method::DELETE, "/admin/items/7", fields).await;
        let refused = delete(&[&user, &secret]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let why = refused.header("x-palisade-explain").expect("an explanation");
        for said in [
            "RateLimit=granted;",
            "Authorize=refused(UNAUTHENTICATED) in shadow",
            "in shadow;",
            "Jwt=granted;",
            "RequireRole=refused(FORBIDDEN);",
        ] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        for others in [&[&*user][..], &[&user, "x-explain: guess"]] {
            assert!(delete(others).await.header("x-palisade-explain").is_none());
        }
    }
}

/// The browser, if it is installed. `CHROMIUM` may name it.
fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    let mut places =
        std::env::split_paths(&path).flat_map(|place| names.map(|name| place.join(name)));
    places.find(|place| place.is_file())
}

#[tokio::test]
async fn debug_page_shows_each_request_with_its_policies() {
    let mut example = Example::start("observe");
    let user = format!("authorization: Bearer {}", example.token("user"));
    let [client, _] = Client::of_each_version(example.address);
    client.get("/items/7?token=s3cret", &["x-request-id: first"]).await;
    client.call(Method::DELETE, "/admin/items/7", &[&user, "x-request-id: second"]).await;
    recorded(&client, "second").await;

    let page = client.get("/debug/requests", &[]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let as_sent = page.text();
    let Some(chromium) = chromium() else {
        eprintln!("chromium is not installed: the page is only parsed");
        shows_both(&as_sent);
        return;
    };
    let profile = std::env::temp_dir().join(format!("palisade-observe-{}", std::process::id()));
    let url = format!("http://{}/debug/requests", example.address);
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        "--dump-dom",
    ];
    let seen = tokio::task::spawn_blocking({
        let profile = profile.clone();
        move || {
            Command::new(chromium)
                .args(flags)
                .arg(format!("--user-data-dir={}", profile.display()))
                .arg(url)
                .stdin(Stdio::null())
                .output()
                .expect("the browser starts")
        }
    })
    .await
    .unwrap();
    let _ = std::fs::remove_dir_all(profile);
    let dom = String::from_utf8_lossy(&seen.stdout);
    shows_both(&dom);
    let log = String::from_utf8_lossy(&seen.stderr);
    assert!(!log.contains("CONSOLE"), "the browser complains of the page: {log}");
}

/// What a browser, or else the server, makes of the page.
fn shows_both(dom: &str) {
    let row = |id: &str| {
        let start = dom
            .find(&format!("<tr id=\"{id}\""))
            .unwrap_or_else(|| panic!("{id} is missing: {dom}"));
        let end = dom[start..].find("</tr>").unwrap();
        dom[start..start + end].to_owned()
    };
    let (first, second) = (row("first"), row("second"));
    assert!(first.contains("GET</b> /items/7?…") && first.contains("class=\"s2\">200"), "{first}");
    assert!(
        second.contains("DELETE</b> /admin/items/7") && second.contains("class=\"s4\">403"),
        "{second}"
    );
    // one bar for each policy
    assert_eq!(first.matches("<i style=\"margin-left:").count(), 2, "{first}");
    assert_eq!(second.matches("<i style=\"margin-left:").count(), 4, "{second}");
    assert!(
        second.contains("<li class=\"refused\"><span>RequireRole=refused(FORBIDDEN)"),
        "{second}"
    );
    assert!(
        dom.find("id=\"second\"").unwrap() < dom.find("id=\"first\"").unwrap(),
        "the latest first"
    );
}
