//! Writes the report on what Palisade costs: `cargo run --release -p palisade-benches -- report`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "overhead.rs"]
mod overhead;
mod report;

use std::process::ExitCode;

const USAGE: &str = "\
cargo run --release -p palisade-benches -- report [--quick] [--note TEXT] [FOLDER]

Measures Palisade beside other crates, and writes performance.md and its charts to FOLDER. Default: docs of the repository.
  --quick      one round of everything: shows that the report can be written; the figures mean nothing
  --note TEXT  adds a sentence to the description of the machine";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(options) = report::Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match report::write(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
