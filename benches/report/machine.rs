//! Where and with what the figures were measured, without names of hosts or paths.

use std::{env, fs, process::Command};

/// Returns the processor, the system, the compiler and the date.
pub(super) fn describe(profile: &str) -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let model = text.lines().find_map(|line| line.strip_prefix("model name"))?;
        Some(model.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or(String::new(), |output| {
        let version = String::from_utf8_lossy(&output.stdout);
        version.split(" (").next().unwrap_or_default().to_owned()
    });
    let date = jiff::Zoned::now().date();
    let profile = if cfg!(debug_assertions) { "WITHOUT OPTIMIZATIONS" } else { profile };
    format!(
        "Measured on {date}: {}, {cores} cores, {} {}, {rustc}, {profile}.",
        processor.as_deref().unwrap_or("unknown processor"),
        env::consts::OS,
        env::consts::ARCH,
    )
}

/// Returns the versions of the crates that Palisade is compared with.
pub(super) fn peers() -> String {
    const PEERS: [&str; 11] = [
        "axum",
        "axum-valid",
        "garde",
        "governor",
        "hyper",
        "jsonschema",
        "jsonwebtoken",
        "serde_json",
        "tonic",
        "tower-http",
        "tower_governor",
    ];
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let after = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1);
        after.and_then(|after| after.split('"').next()).unwrap_or("?")
    };
    PEERS.map(|name| format!("{name} {}", version(name))).join(", ")
}
