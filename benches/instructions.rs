//! Counts instructions: the benchmark runs a second time under callgrind, which writes its counts at each mark.

use std::{
    env, fs,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

const SECOND_RUN: &str = "PALISADE_BENCHES_COUNTED";

/// How many requests are sent in the shorter and in the longer of two batches. The difference contains nothing of the harness.
const BATCHES: [u64; 2] = [4, 20];

/// Returns true if callgrind counts this process.
pub(crate) fn is_second_run() -> bool {
    env::var_os(SECOND_RUN).is_some()
}

/// Runs a subject for callgrind.
pub(crate) fn run(mut subject: impl FnMut()) {
    (0..50).for_each(|_| subject());
    for batch in BATCHES {
        mark();
        (0..batch).for_each(|_| subject());
    }
    mark();
}

#[inline(never)]
fn mark() {
    black_box(());
}

/// Returns the instructions per request of the next subject of this program, or `None` if valgrind does not run.
pub(crate) fn next() -> Option<u64> {
    static COUNTED: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let counted = COUNTED.get_or_init(|| {
        let folder = count();
        if folder.is_none() {
            eprintln!("instructions are not counted: valgrind does not run");
        }
        folder
    });
    // Each subject has three marks. The first part is what came before the first mark.
    let part = 3 * NEXT.fetch_add(1, Ordering::Relaxed) + 2;
    let folder = counted.as_ref()?.path();
    let [shorter, longer] = [part, part + 1].map(|part| read(&folder.join(format!("out.{part}"))));
    Some((longer?.saturating_sub(shorter?)) / (BATCHES[1] - BATCHES[0]))
}

/// Runs this program again. The figures are in files of the folder.
fn count() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().ok()?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*palisade_benches*instructions*mark*"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("out").display()))
        .arg(env::current_exe().ok()?)
        .env(SECOND_RUN, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some(folder)
}

fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    total.trim().parse().ok()
}
