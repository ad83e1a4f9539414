use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Whether these programs can be run. Where one is missing, that is said loudly, and with `CI=true` it is a failure.
pub fn installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_ok() || did_not_run::<()>(&format!("{program} is missing")).is_some()
    })
}

/// Prints a warning that a test does not run. With `CI=true` the test fails.
///
/// # Panics
///
/// With `CI=true`.
pub fn did_not_run<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "\n*** A TEST DID NOT RUN: {why} ***\n");
    None
}
