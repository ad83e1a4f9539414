//! Writes the report on what Palisade costs: `cargo run --release -p palisade-benches -- report`.
//!
//! `cargo bench -p palisade-benches --bench policies -- report` writes it with the optimizations of `docs/performance.md`.

use std::process::ExitCode;

use palisade_bench::CountingAllocator;
use palisade_benches::report::{self, Options};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const USAGE: &str = "\
cargo run --release -p palisade-benches -- report [--quick] [--note TEXT] [FOLDER]

Measures Palisade beside other crates, and writes performance.md and its charts to FOLDER. Default: docs of the repository.
  --quick      one round of everything: shows that the report can be written; the figures mean nothing
  --note TEXT  adds a sentence to the description of the machine";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match report::write(&options, "cargo's release profile") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
