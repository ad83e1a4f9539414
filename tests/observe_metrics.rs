//! The metrics of the observe example, as a scraper reads them.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use palisade::Metric;
use palisade_tests::{Client, Example};

use crate::observe::recorded;

/// Each of these metrics, with its type, help and labels.
fn has_all(text: &str, metrics: &[Metric]) {
    for metric in metrics {
        for line in
            [format!("# TYPE {} ", metric.name), format!("# HELP {} {}", metric.name, metric.help)]
        {
            assert!(text.contains(&line), "{line} is missing:\n{text}");
        }
        let samples = text.lines().filter(|line| line.starts_with(metric.name));
        for label in metric.labels {
            let sample = samples.clone().next().unwrap_or_else(|| panic!("no {}", metric.name));
            assert!(sample.contains(&format!("{label}=\"")), "{label} is not in {sample}");
        }
    }
}

fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|own| own.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
}

#[test]
fn metrics_match_the_tables_in_the_guide() {
    const GUIDE: &str = include_str!("../docs/guide/observability.md");
    let rows: Vec<&str> = GUIDE.lines().filter(|line| line.starts_with("| `palisade_")).collect();
    let all = [palisade::observe::METRICS, palisade::rate_limit::METRICS, palisade::auth::METRICS];
    let expected: Vec<String> = all
        .concat()
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            let cell = if labels.is_empty() { " ".to_owned() } else { format!(" {labels} ") };
            format!("| `{}` | {} |{cell}| {} |", metric.name, metric.kind, metric.help)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn prometheus_exports_metrics_of_the_components() {
    // A port without a listener: it was bound, and is free again.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let redis = format!("redis://:hunter2@{closed}");
    let mut example = Example::start_with("observe", &[("REDIS_URL", &redis)]);
    let [user, admin] =
        ["user", "admin"].map(|whom| format!("authorization: Bearer {}", example.token(whom)));
    let [client, _] = Client::of_each_version(example.address);
    let metrics = async || client.get("/metrics", &[]).await.text();

    let before = metrics().await;
    for (line, expected) in [
        ("palisade_limit_store_errors_total{limit=\"reports\"}", 0.0),
        ("palisade_jwt_cache_hits_total{jwt=\"observe\"}", 0.0),
        ("palisade_jwks_usable{issuer=\"observe\"}", 0.0),
    ] {
        assert_eq!(value(&before, line), expected, "{line}");
    }
    assert!(!before.contains("palisade_jwks_age_seconds{"), "there are no keys yet");

    // The first token waits for the keys; another one is verified once, and used twice.
    assert_eq!(client.get("/profile", &[&admin]).await.text(), "grace");
    for _ in 0..2 {
        assert_eq!(client.get("/profile", &[&user]).await.text(), "ada");
    }
    // Five failures in a row, and then the store is left alone.
    for _ in 0..8 {
        assert_eq!(client.get("/reports", &[]).await.status, StatusCode::OK);
    }
    let stream = Request::get("/events").body(Full::<Bytes>::default()).unwrap();
    let stream = client.start(stream).await;
    let text = metrics().await;
    has_all(&text, palisade::auth::METRICS);
    has_all(&text, palisade::rate_limit::METRICS);
    let limit =
        |name: &str, of: &str| value(&text, &format!("palisade_limit_{name}{{limit=\"{of}\"}}"));
    assert_eq!(limit("store_errors_total", "reports"), 5.0);
    assert_eq!(limit("store_requests_total", "reports"), 5.0);
    assert_eq!(limit("store_skipped_total", "reports"), 3.0);
    assert_eq!(limit("store_breaker_open", "reports"), 1.0);
    assert!(limit("store_wait_microseconds_total", "reports") > 0.0);
    assert_eq!(limit("slots_taken", "streams"), 1.0);
    assert_eq!(value(&text, "palisade_requests_in_flight"), 1.0);
    drop(stream);
    assert_eq!(limit("table_keys", "default"), 1.0, "one client");
    assert_eq!(limit("table_evictions_total", "default"), 0.0);
    assert!(limit("table_bytes", "default") > 1000.0);
    assert!(!text.contains("palisade_limit_store_errors_total{limit=\"default\"}"));
    let token =
        |name: &str| value(&text, &format!("palisade_jwt_cache_{name}_total{{jwt=\"observe\"}}"));
    assert_eq!((token("hits"), token("misses"), token("evictions")), (1.0, 2.0, 0.0));
    let jwks = |name: &str| value(&text, &format!("palisade_jwks_{name}{{issuer=\"observe\"}}"));
    assert_eq!(
        (jwks("usable"), jwks("fetches_total"), jwks("fetch_failures_total")),
        (1.0, 1.0, 0.0)
    );
    assert!((0.0..60.0).contains(&jwks("age_seconds")));
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn prometheus_counts_have_few_and_stable_labels() {
    let mut example = Example::start("observe");
    let token = example.token("user");
    let [client, _] = Client::of_each_version(example.address);
    for at in 0..20 {
        client.get(&format!("/items/{at}?token=s3cret"), &[]).await;
        client.get(&format!("/nowhere/{at}"), &[]).await;
    }
    client.call("BREW".parse().unwrap(), "/items/7", &[]).await;
    client.get("/profile", &[&format!("authorization: Bearer {token}")]).await;
    recorded(&client, client.get("/boom", &[]).await.header("x-request-id").unwrap()).await;

    let text = client.get("/metrics", &[]).await.text();
    has_all(&text, palisade::observe::METRICS);
    let count = |line: &str| value(&text, line);
    let request = |method: &str, route: &str, status: &str| {
        count(&format!(
            "palisade_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\",end=\"complete\"}}"
        )) as u32
    };
    assert_eq!(request("GET", "/items/{id}", "200"), 20);
    assert_eq!(request("GET", "other", "404"), 20);
    assert_eq!(request("other", "/items/{id}", "405"), 1);
    assert_eq!(request("GET", "/boom", "500"), 1);
    let granted = "palisade_policy_decisions_total{policy=\"RateLimit\",outcome=\"granted\",shadow=\"false\"}";
    assert_eq!(count(granted) as u32, 43);
    let shadow =
        "palisade_policy_decisions_total{policy=\"Authorize\",outcome=\"refused\",shadow=\"true\"}";
    assert_eq!(count(shadow) as u32, 43);
    assert_eq!(count("palisade_requests_in_flight") as u32, 0, "all of them are over");
    for secret in ["s3cret", &token, "ada", "/items/7", "/nowhere"] {
        assert!(!text.contains(secret), "{secret} is a label");
    }
}
