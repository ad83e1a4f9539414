//! tower-http's layers, measured by `palisade_bench::Comparison` and by criterion in one run: `cargo bench --bench criterion`.
//!
//! Both measure the bare service and the service with one layer; the difference is what the layer costs. The last column says
//! whether the two differences agree within the noise: the interquartile ranges of `palisade-bench`, and criterion's confidence
//! intervals of the medians.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{error::Error, fs, hint::black_box, path::Path, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use palisade_bench::{Comparison, Instructions, MeasuredResponse, Spread, Subject};
use palisade_benches::stacks::{Hello, cors, request, security_header};
use tower::{Layer, Service, ServiceExt};
use tower_http::{
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, SetRequestIdLayer},
    set_header::SetRequestHeaderLayer,
    trace::TraceLayer,
};

type Body = Full<Bytes>;

fn get() -> Request<Body> {
    request("a.b.c", Body::default())
}

/// Runs the same service in both, by turns of criterion and a comparison at the end.
struct Both {
    criterion: Criterion,
    subjects: Vec<Subject>,
}

impl Both {
    fn measure<S, B>(&mut self, name: &'static str, service: &S)
    where
        S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: std::fmt::Debug,
        S::Future: Send,
        B: http_body::Body + Send,
        http::Response<B>: MeasuredResponse,
    {
        self.subjects.push(Subject::service(name, service.clone(), get));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                get,
                |request| {
                    runtime.block_on(async {
                        let response = service.clone().oneshot(request).await.expect("a response");
                        black_box(response.into_body().collect().await.is_ok())
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let folder = tempfile::tempdir()?;
    let (warm_up, measured) = if is_measured { (500, 2000) } else { (1, 10) };
    let criterion = Criterion::default()
        .without_plots()
        .output_directory(folder.path())
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measured))
        .sample_size(if is_measured { 100 } else { 10 });
    let mut both = Both { criterion, subjects: Vec::new() };
    eprintln!("tower-http's layers beside criterion: this takes about 25 seconds.");
    let name = HeaderName::from_static("x-one");
    let header = SetRequestHeaderLayer::overriding(name, HeaderValue::from_static("1"));
    both.measure("bare", &Hello);
    both.measure("set a request header", &header.layer(Hello));
    both.measure("set a response header", &security_header(0).layer(Hello));
    both.measure("request id", &SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(Hello));
    both.measure("body limit", &RequestBodyLimitLayer::new(1024).layer(Hello));
    both.measure("CORS", &cors().layer(Hello));
    both.measure("trace, without a subscriber", &TraceLayer::new_for_http().layer(Hello));

    let rounds = if is_measured { 301 } else { 1 };
    let report = Comparison::new("tower-http")
        .set("layers", both.subjects)
        .instructions(Instructions::Off)
        .rounds(rounds)
        .threads(1)
        .run()?;
    if !is_measured {
        println!("TEST MODE: NOTHING IS MEASURED, and figures below mean nothing.");
    }
    println!("| layer | criterion, ns | palisade-bench, ns | quartiles | |");
    println!("|---|--:|--:|--:|---|");
    let bare = estimate(folder.path(), "bare")?;
    for step in &report.requests[0].steps[1..] {
        let criterion = estimate(folder.path(), &step.name)?;
        let theirs = criterion.median - bare.median;
        let ours = step.added.and_then(|added| added.nanos).unwrap_or_default();
        let noise = (criterion.upper - criterion.lower)
            + (bare.upper - bare.lower)
            + (ours.upper - ours.lower);
        let verdict = if (theirs - ours.median).abs() <= noise { "agree" } else { "DIFFER" };
        let Spread { lower, median, upper } = ours;
        println!(
            "| {} | {theirs:.0} | {median:.0} | {lower:.0} to {upper:.0} | {verdict} |",
            step.name
        );
    }
    Ok(())
}

/// Returns criterion's median with its confidence interval, from the file that it writes.
fn estimate(folder: &Path, name: &str) -> Result<Spread, Box<dyn Error>> {
    let json = fs::read(folder.join(name).join("new/estimates.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&json)?;
    let median = &json["median"];
    let number = |value: &serde_json::Value| value.as_f64().ok_or("a number");
    let interval = &median["confidence_interval"];
    Ok(Spread {
        lower: number(&interval["lower_bound"])?,
        median: number(&median["point_estimate"])?,
        upper: number(&interval["upper_bound"])?,
    })
}
