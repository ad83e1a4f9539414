//! Every group of comparisons: `cargo bench`, or `cargo bench -- cors` for one of them. `cargo bench --bench policies -- report`
//! writes `docs/performance.md`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use palisade_bench::CountingAllocator;
use palisade_benches::{
    groups, keys,
    report::{self, Options},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// At the end of all groups.
const LATENCIES: (&str, u32) = ("latencies", keys::LATENCY_SECONDS);

/// `[profile.bench]` of the workspace.
const PROFILE: &str = "fat LTO, one codegen unit";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    let is_measured = arguments.iter().any(|argument| argument == "--bench");
    arguments.retain(|argument| argument != "--bench");
    if let Some(options) = Options::parse(&arguments).filter(|_| is_measured) {
        return report::write(&options, PROFILE);
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with("--"));
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| name.contains(&**wanted));
    let chosen: Vec<_> = groups().filter(|group| is_wanted(group.name)).collect();
    if !is_measured {
        println!("TEST MODE: NOTHING IS MEASURED. `cargo bench` measures.");
        for group in chosen {
            let report = group.small_comparison().rounds(0).run()?;
            println!("{}: {} sets work", group.name, report.requests.len());
        }
        return Ok(());
    }
    let latencies = is_wanted(LATENCIES.0).then_some(LATENCIES.1);
    let seconds = chosen.iter().map(|group| group.seconds).chain(latencies).sum::<u32>();
    let names: Vec<_> =
        chosen.iter().map(|group| group.name).chain(latencies.map(|_| LATENCIES.0)).collect();
    eprintln!(
        "This takes about {}: {}.",
        minutes(Duration::from_secs(seconds.into())),
        names.join(", ")
    );
    let start = Instant::now();
    for group in chosen {
        if let Some(comparison) = group.comparison() {
            comparison.run()?.print();
        }
    }
    if latencies.is_some() {
        println!("{}", keys::latencies(1_000_000).to_markdown());
    }
    eprintln!("It took {}.", minutes(start.elapsed()));
    Ok(())
}

fn minutes(duration: Duration) -> String {
    format!("{}:{:02} minutes", duration.as_secs() / 60, duration.as_secs() % 60)
}
