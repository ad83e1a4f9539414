//! tower-http's layers, measured by `palisade_bench::Comparison` and by criterion in one run: `cargo bench --bench criterion`.
//!
//! Both measure the bare service and the service with one layer; the difference is what the layer costs. The last column says
//! whether the two methods agree. Three things have to be the same, or the difference is that of something else:
//!
//! - The time. criterion measures one function after another. On a machine that does other work, the bare service of 20 seconds
//!   ago is another one, by more than a small layer costs. So both methods measure everything in [`TURNS`], and a difference
//!   is one of the same turn.
//! - The requests. criterion's `SmallInput` prepares a tenth of all requests of a sample: thousands, which leave the processor's
//!   caches before they are sent. Both methods make [`BATCH`] requests at a time.
//! - The code. The compiler inlines a layer into each loop in another way, which makes up to 20 ns. The services and their
//!   bodies are boxed, so that both loops call the same functions.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{error::Error, fmt, fs, hint::black_box, path::Path, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use palisade_bench::{Comparison, Instructions, Subject};
use palisade_benches::stacks::{Hello, cors, request, security_header};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, util::BoxCloneService};
use tower_http::{
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, SetRequestIdLayer},
    set_header::SetRequestHeaderLayer,
    trace::TraceLayer,
};

type Body = Full<Bytes>;

/// How often each method measures all services.
const TURNS: usize = 12;

/// The lowest and the highest two turns are left out. The median of infinitely many turns is in the range of the others with a
/// probability of 96 %, for noise of any distribution: the sign test, 1 - 2 * (1 + 12 + 66) / 2^12.
const LEFT_OUT: usize = 2;

/// The number of requests that `palisade_bench` makes at a time.
const BATCH: u64 = 32;

fn get() -> Request<Body> {
    request("a.b.c", Body::default())
}

/// What the services cost in one turn, in nanoseconds: the bare one, then what each layer adds.
#[derive(Default)]
struct Turn {
    names: Vec<&'static str>,
    criterion: Vec<f64>,
    comparison: Vec<f64>,
}

/// Measures by criterion at once, and collects the services for the comparison.
struct Both<'a> {
    criterion: Criterion,
    folder: &'a Path,
    runtime: Runtime,
    turn: Turn,
    subjects: Vec<Subject>,
}

impl Both<'_> {
    fn measure<S, B>(&mut self, name: &'static str, service: S) -> Result<(), Box<dyn Error>>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: fmt::Debug,
        S::Future: Send,
        B: http_body::Body<Data = Bytes, Error: fmt::Debug> + Send + 'static,
    {
        let boxed = |response: Response<B>| response.map(BodyExt::boxed_unsync);
        let service = BoxCloneService::new(service.map_response(boxed));
        self.subjects.push(Subject::service(name, service.clone(), get));
        self.turn.names.push(name);
        self.criterion.bench_function(name, |bencher| {
            let answer = |request| {
                self.runtime.block_on(async {
                    let response = service.clone().oneshot(request).await.expect("a response");
                    black_box(response.into_body().collect().await.is_ok())
                })
            };
            bencher.iter_batched(get, answer, BatchSize::NumIterations(BATCH));
        });
        let median = estimate(self.folder, name)?;
        let bare = self.turn.criterion.first().copied().unwrap_or_default();
        self.turn.criterion.push(median - bare);
        Ok(())
    }

    fn compare(mut self, rounds: usize) -> Result<Turn, Box<dyn Error>> {
        let report = Comparison::new("tower-http")
            .set("layers", self.subjects)
            .instructions(Instructions::Off)
            .rounds(rounds)
            .threads(1)
            .run()?;
        for step in &report.requests[0].steps {
            let nanos = step.added.map_or(step.total.nanos, |added| added.nanos);
            self.turn.comparison.push(nanos.unwrap_or_default().median);
        }
        Ok(self.turn)
    }
}

fn measure_all(is_measured: bool) -> Result<Turn, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (warm_up, measured, samples, rounds) =
        if is_measured { (20, 100, 30, 15) } else { (1, 10, 10, 1) };
    let criterion = Criterion::default()
        .without_plots()
        .output_directory(folder.path())
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measured))
        .nresamples(1000)
        .sample_size(samples);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (folder, turn) = (folder.path(), Turn::default());
    let mut both = Both { criterion, folder, runtime, turn, subjects: Vec::new() };
    let name = HeaderName::from_static("x-one");
    let header = SetRequestHeaderLayer::overriding(name, HeaderValue::from_static("1"));
    both.measure("bare", Hello)?;
    both.measure("set a request header", header.layer(Hello))?;
    both.measure("set a response header", security_header(0).layer(Hello))?;
    both.measure("request id", SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(Hello))?;
    both.measure("body limit", RequestBodyLimitLayer::new(1024).layer(Hello))?;
    both.measure("CORS", cors().layer(Hello))?;
    both.measure("trace, without a subscriber", TraceLayer::new_for_http().layer(Hello))?;
    both.compare(rounds)
}

fn main() -> Result<(), Box<dyn Error>> {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    if is_measured {
        eprintln!("tower-http's layers beside criterion: this takes about 30 seconds.");
    }
    let turns = if is_measured { TURNS } else { 2 * LEFT_OUT + 1 };
    let turns: Vec<_> = (0..turns).map(|_| measure_all(is_measured)).collect::<Result<_, _>>()?;
    if !is_measured {
        println!("TEST MODE: NOTHING IS MEASURED, and the figures below mean nothing.");
    }
    println!(
        "\nNanoseconds that a layer adds: the median of the turns, and the range that contains it.\n"
    );
    println!("| layer | criterion | | palisade-bench | | |");
    println!("| --- | --: | --- | --: | --- | --- |");
    for (at, name) in turns[0].names.iter().enumerate().skip(1) {
        let criterion = Range::new(turns.iter().map(|turn| turn.criterion[at]));
        let comparison = Range::new(turns.iter().map(|turn| turn.comparison[at]));
        let verdict = if criterion.overlaps(&comparison) { "agree" } else { "DIFFER" };
        println!("| {name} | {criterion} | {comparison} | {verdict} |");
    }
    Ok(())
}

/// The median of the turns, and the range in which it is with a probability of 96 %.
struct Range {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Range {
    fn new(turns: impl Iterator<Item = f64>) -> Self {
        let mut turns: Vec<_> = turns.collect();
        turns.sort_by(f64::total_cmp);
        let last = turns.len() - 1;
        Self {
            lower: turns[LEFT_OUT],
            median: f64::midpoint(turns[last / 2], turns[turns.len() / 2]),
            upper: turns[last - LEFT_OUT],
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.lower <= other.upper && other.lower <= self.upper
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} | {:.0} to {:.0}", self.median, self.lower, self.upper)
    }
}

/// Returns criterion's median, from the file that it writes.
fn estimate(folder: &Path, name: &str) -> Result<f64, Box<dyn Error>> {
    let json = fs::read(folder.join(name).join("new/estimates.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&json)?;
    Ok(json["median"]["point_estimate"].as_f64().ok_or("no median")?)
}
