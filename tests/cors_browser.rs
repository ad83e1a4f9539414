//! What a real browser makes of the CORS example: pages of one origin call the API of another.
//!
//! The page, `cors_browser.html`, does all its calls and reports what it got to see. What it does not get to see, the
//! preflights, is read on the wire.

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{Router, response::Html, routing};
use palisade_tests::{Browser, Example, Wiretap};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

/// It starts from what a console says, so it must have what this one does.
const GUIDE: &str = include_str!("../docs/guide/cors.md");

const NOT_TESTED: &str = "
!!! NOT TESTED: chromium is not installed, so no real browser has seen the CORS headers.
!!! Install it (apt-get install chromium), name it in CHROMIUM, or run scripts/test as root.

";

/// How long a browser may take to start and to do a page's calls.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server of the page, on a port of its own.
struct Site {
    address: SocketAddr,
    reports: mpsc::UnboundedReceiver<Value>,
}

impl Site {
    fn with_page(listener: TcpListener, api: SocketAddr) -> Self {
        let address = listener.local_addr().unwrap();
        let page = include_str!("cors_browser.html").replace("{api}", &format!("http://{api}"));
        let (sender, reports) = mpsc::unbounded_channel();
        let report = move |body: String| async move {
            let _ = sender.send(serde_json::from_str(&body).expect("a report"));
        };
        let router = Router::new()
            .route("/", routing::get(|| async { Html(page) }))
            .route("/report", routing::post(report));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, reports }
    }

    /// What the page saw as a page of this host, while the browser's console said `expected`.
    async fn visited_as(&mut self, host: &str, program: &PathBuf, expected: &[&str]) -> Value {
        let url = format!("http://{host}:{}/", self.address.port());
        let browser = Browser::open(program, &url);
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        let report = report.expect("the page reports in time").expect("a report");
        assert_eq!(report["error"], Value::Null, "the page's script failed");
        assert_eq!(report["origin"], url.trim_end_matches('/'));
        for message in expected {
            assert!(browser.has_said(message), "the console never said: {message}");
            assert!(GUIDE.contains(message), "the guide does not explain: {message}");
        }
        report
    }
}

#[tokio::test]
async fn browser_pages_read_allowed_responses_only() {
    let Some(chromium) = Browser::installed() else {
        assert!(
            std::env::var("CI").is_err(),
            "chromium is missing, and this is where it must be tested; scripts/test installs it"
        );
        // Past the test harness, which hides the output of tests that pass.
        let _ = std::io::stderr().write_all(NOT_TESTED.as_bytes());
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let example = Example::start_with("cors", &[("PALISADE_ORIGINS", &origin)]);
    let wire = Wiretap::before(example.address).await;
    let mut site = Site::with_page(listener, wire.address);

    let named = [
        "Method DELETE is not allowed by Access-Control-Allow-Methods in preflight response.",
        "Request header field x-other is not allowed by Access-Control-Allow-Headers in preflight response.",
    ];
    let seen = site.visited_as("127.0.0.1", &chromium, &named).await;
    a_listed_page_sees_everything_that_is_exposed(&seen);
    a_listed_page_sees_errors_as_they_are(&seen);
    the_browser_asks_first_and_remembers(&seen, &wire, &origin);

    let calls = wire.heads("GET /orders").len();
    let named = [
        "No 'Access-Control-Allow-Origin' header is present on the requested resource.",
        "Response to preflight request doesn't pass access control check: \
         No 'Access-Control-Allow-Origin' header is present on the requested resource.",
    ];
    let seen = site.visited_as("localhost", &chromium, &named).await;
    a_page_that_is_not_listed_sees_nothing(&seen);
    assert!(wire.heads("GET /orders").len() > calls, "the service runs, and CORS keeps nobody out");
    assert_eq!(wire.heads("PUT ").len(), 2, "the browser sends no PUT whose preflight is refused");
}

fn a_listed_page_sees_everything_that_is_exposed(seen: &Value) {
    let simple = &seen["simple"];
    assert_eq!((&simple["type"], &simple["status"]), (&"cors".into(), &200.into()), "{simple}");
    assert!(simple["body"].as_str().unwrap().contains("tea"));
    assert_eq!(simple["headers"]["x-request-id"].as_str().unwrap().len(), 36);
    assert_eq!(simple["headers"]["x-not-exposed"], Value::Null);
    // a page that does not ask to read may always send
    assert_eq!(seen["opaque"]["type"], "opaque");
    // the same page in a sandboxed frame is `null`, which no list contains
    assert_eq!(seen["sandboxed"]["unreadable"], "TypeError", "{}", seen["sandboxed"]);

    for put in [&seen["put"], &seen["putAgain"]] {
        assert_eq!(put["status"], 200, "{put}");
        assert!(put["body"].as_str().unwrap().contains("coffee"));
    }
    assert_eq!(seen["authorization"]["status"], 200);
    assert_eq!(seen["method"]["unreadable"], "TypeError", "DELETE is not listed");
    assert_eq!(seen["header"]["unreadable"], "TypeError", "X-Other is not listed");

    assert_eq!(seen["session"]["status"], 200);
    assert_eq!((&seen["me"]["status"], &seen["me"]["body"]), (&200.into(), &"visitor\n".into()));
    assert_eq!(seen["omitted"]["status"], 401, "without the cookie nobody is there");
}

fn a_listed_page_sees_errors_as_they_are(seen: &Value) {
    let error = |name: &str, status: u16, code: &str| {
        let answer = &seen[name];
        assert_eq!(answer["status"], status, "{name}: {answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).expect("JSON");
        assert_eq!(body["error"]["code"], code, "{name}");
        assert_eq!(body["error"]["request_id"], answer["headers"]["x-request-id"], "{name}");
        answer["headers"].clone()
    };
    error("unauthorized", 401, "UNAUTHENTICATED");
    error("large", 413, "PAYLOAD_TOO_LARGE");
    error("failed", 500, "INTERNAL");
    let limited = error("limited", 429, "RATE_LIMITED");
    let wait: u64 = limited["retry-after"].as_str().expect("readable").parse().expect("seconds");
    assert!((1..=120).contains(&wait), "{wait}");
    for name in ["ratelimit", "ratelimit-policy"] {
        assert!(limited[name].is_string(), "{name} is exposed: {limited}");
    }
}

fn the_browser_asks_first_and_remembers(seen: &Value, wire: &Wiretap, origin: &str) {
    let asked = |path: &str, method: &str| {
        let heads = wire.heads(&format!("OPTIONS {path} "));
        let method = format!("access-control-request-method: {method}");
        heads
            .iter()
            .filter(|head| head.to_ascii_lowercase().contains(&method.to_ascii_lowercase()))
            .count()
    };
    assert_eq!(wire.heads("PUT ").len(), 2);
    assert_eq!(asked("/orders/7", "PUT"), 1, "the second PUT goes by what the first was told");
    assert_eq!(asked("/orders/7", "DELETE"), 1);
    assert_eq!(wire.heads("DELETE ").len(), 0);
    assert_eq!(asked("/limited", "GET"), 0, "a simple request is not asked about");

    // the three marks, as this browser writes them; no cookie, though there is one by now
    for head in wire.heads("OPTIONS ") {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("access-control-request-method: "), "{head}");
        assert!(head.contains(&format!("origin: {origin}")), "{head}");
        assert!(!head.contains("cookie:") && !head.contains("authorization:"), "{head}");
    }
    let lists: Vec<_> =
        wire.heads("OPTIONS /orders ").iter().filter_map(|head| requested_headers(head)).collect();
    for list in ["authorization", "x-other", "content-type"] {
        assert!(lists.contains(&list.to_owned()), "{lists:?} has no {list}");
    }
    assert_eq!(seen["limited"]["status"], 429);
}

fn requested_headers(head: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let list = lines.find(|(name, _)| name.eq_ignore_ascii_case("access-control-request-headers"));
    list.map(|(_, list)| list.to_owned())
}

fn a_page_that_is_not_listed_sees_nothing(seen: &Value) {
    for (name, answer) in seen.as_object().unwrap() {
        match name.as_str() {
            "origin" => {}
            "opaque" => {
                assert_eq!((&answer["type"], &answer["status"]), (&"opaque".into(), &0.into()));
            }
            _ => assert_eq!(answer["unreadable"], "TypeError", "{name}: {answer}"),
        }
    }
}
