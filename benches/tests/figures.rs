//! What the policies cost stays: allocations exactly, instructions within 2 %.
//!
//! The stored figures in `figures/` are those of `cargo test`, without optimizations: such code does not change with the order in
//! which the compiler inlines. A change that is meant stores new figures with one command: `scripts/figures`.
//!
//! Instructions depend on the compiler and on the C library. `figures/toolchain.txt` contains those of the stored figures; with
//! others, instructions may differ by a quarter.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use palisade_bench::{CountingAllocator, Instructions, Report, Tolerance};
use palisade_benches::{BARE, POLICIES};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

macro_rules! figures_stay {
    ($($test:ident: $group:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            check($group);
        })*

        #[test]
        fn every_group_of_policies_is_checked() {
            assert_eq!(POLICIES.map(|group| group.name), [$($group),*]);
        }
    };
}

figures_stay! {
    cost_of_the_stack_stays: "stack",
    cost_of_the_engine_stays: "engine",
    cost_of_client_addresses_stays: "client address",
    cost_of_observing_stays: "observe",
    cost_of_headers_stays: "headers",
    cost_of_cors_stays: "cors",
    cost_of_rate_limits_stays: "rate limit",
    cost_of_auth_stays: "auth",
    cost_of_body_limits_stays: "body",
    cost_of_validation_stays: "validate",
    cost_of_the_cache_stays: "cache",
    cost_of_idempotency_stays: "idempotency",
}

/// How often a group is measured until it fails. Keys of hash tables are random, and in one of about ten runs a request meets
/// another path through them.
const ATTEMPTS: usize = 3;

/// Compares the cost of our subjects of one group with the stored one, or stores it.
fn check(name: &str) {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        let group = POLICIES.into_iter().find(|group| group.name == name).unwrap();
        let Some(comparison) = group.comparison() else { return };
        let report = comparison
            // Without optimizations, callgrind takes a minute for the larger bodies; their work is of the same kind.
            .retain(|set, _| !set.contains("10 KB"))
            .retain(|_, subject| subject.name() == BARE || subject.name().starts_with("Palisade"))
            .instructions(how_to_count())
            .rounds(0)
            .run()
            .unwrap();
        outcome = compare(&report, &name.replace(' ', "_"));
        if outcome.is_ok() {
            return;
        }
    }
    if let Err(changed) = outcome {
        panic!("{changed}`scripts/figures` stores the new figures.");
    }
}

fn compare(report: &Report, name: &str) -> Result<(), String> {
    let file = folder().join(format!("{name}.json"));
    let stored_toolchain = folder().join("toolchain.txt");
    if env::var("PALISADE_FIGURES").is_ok_and(|value| value == "write") {
        report.write_json(&file).unwrap();
        fs::write(&stored_toolchain, toolchain()).unwrap();
        return Ok(());
    }
    let stored = fs::read_to_string(&stored_toolchain).unwrap();
    let percent = if stored == toolchain() { 2.0 } else { 25.0 };
    if percent > 2.0 {
        eprintln!(
            "!!! instructions may differ by {percent} %: the stored ones are those of {stored}"
        );
    }
    let tolerance = Tolerance::allocations(0).instructions_percent(percent);
    report.check_against(&file, tolerance).map_err(|changed| changed.to_string())
}

/// By callgrind: the processor's counter sees instructions that callgrind hides from programs, and gives other figures.
fn how_to_count() -> Instructions {
    if Command::new("valgrind").arg("--version").output().is_ok() {
        return Instructions::Callgrind;
    }
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "install valgrind to count instructions");
    eprintln!("!!! instructions are NOT compared: valgrind is not installed");
    Instructions::Off
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("figures")
}

/// Returns what the number of instructions depends on.
fn toolchain() -> String {
    let output = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let host = env::consts::ARCH;
    output("rustc", "--version") + &output("getconf", "GNU_LIBC_VERSION") + host + "\n"
}
