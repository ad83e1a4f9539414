//! Counts instructions by a second run of the program under callgrind.
//!
//! The second run comes to the same ladder, sends single requests by [`counted_run`], and ends. Callgrind counts inside this
//! function only, and writes its counts at each [`mark`], so that one run counts all subjects.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use tokio::runtime::Runtime;

use crate::subject::Run;

/// Names the ladder that the second run counts.
const COUNTED_LADDER: &str = "PALISADE_BENCH_COUNTED_LADDER";

/// Takes the copying functions of the C library that every x86-64 processor has, so that counts are the same on newer ones, too.
/// Names that a version of the library does not know are ignored, as is the variable on other systems.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-AVX512VL,-AVX512BW,-ERMS,-FSRM";

/// Returns the title of the ladder that this process counts, if it is a second run.
pub(crate) fn counted_ladder() -> Option<String> {
    env::var(COUNTED_LADDER).ok()
}

/// Runs a subject. Callgrind counts only while this function runs.
#[inline(never)]
pub(crate) fn counted_run(run: &mut dyn Run, runtime: &Runtime) {
    keep_apart("counted_run");
    run.run(runtime);
}

/// Marks the end of a count. Callgrind writes what it counted since the last mark.
#[inline(never)]
pub(crate) fn mark() {
    keep_apart("mark");
}

/// Makes the body of a function unique: the compiler merges functions with the same body, and callgrind would see another name.
fn keep_apart(name: &'static str) {
    std::hint::black_box(name);
}

/// Runs this program under callgrind and returns the instructions before each mark: `counts` of them.
pub(crate) fn count(title: &str, counts: usize) -> Result<Vec<u64>, String> {
    let program = env::current_exe().map_err(|error| format!("this program's file: {error}"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let output = Command::new("valgrind")
        // With a second `*` inside of these patterns, callgrind 3.19 ignores one of them.
        .args(["--tool=callgrind", "--toggle-collect=*callgrind::counted_run*"])
        .arg("--dump-before=*callgrind::mark*")
        .arg(format!("--callgrind-out-file={}", folder.path().join("out").display()))
        .arg(program)
        .args(env::args_os().skip(1))
        .env(COUNTED_LADDER, title)
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        // The tests of one file share a process, and callgrind counts all threads together.
        .env("RUST_TEST_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("valgrind: {error}; install valgrind to count instructions"))?;
    let dumped: Result<Vec<u64>, _> =
        (1..=counts).map(|part| read(&folder.path().join(format!("out.{part}")))).collect();
    dumped.map_err(|error| {
        let log = String::from_utf8_lossy(&output.stderr);
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        format!(
            "callgrind ({}) did not count ladder {title:?}: {error}; its last line: {last}",
            output.status
        )
    })
}

/// Reads the sum of one of callgrind's files.
fn read(file: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| format!("{} has no sum", file.display()))
}
