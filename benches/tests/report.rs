//! The report can be written: a page with all sections, and a chart for each group.

use std::{fs, process::Command};

use palisade_benches::groups;

#[test]
fn quick_report_has_all_sections_and_charts() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_palisade-benches"))
        .args(["report", "--quick", "--note", "A quick test."])
        .arg(folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("NOTHING IS MEASURED"), "{stderr}");
    let page = fs::read_to_string(folder.path().join("performance.md")).unwrap();
    assert!(page.contains("A quick test."), "{page}");
    let mut from = 0;
    for section in [
        "## Design goals",
        "## What is slower than a peer",
        "## What a stack costs",
        "<!-- cost -->\n| | ",
        "<!-- /cost -->",
    ] {
        from += page[from..].find(section).unwrap_or_else(|| panic!("{section}: {page}"));
    }
    let goals: Vec<_> =
        page.lines().filter(|line| line.contains("≤") || line.contains("≥")).collect();
    assert_eq!(goals.len(), 30, "{goals:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(goals.iter().all(|goal| stdout.contains(goal)), "{stdout}");
    // Instructions, servers and latencies are left out of a quick report. Other goals name a comparison that exists.
    let missing = |goal: &&&str| goal.contains("not measured");
    let missing: Vec<_> = goals.iter().filter(missing).collect();
    assert_eq!(missing.len(), 7, "{missing:?}");
    for group in groups() {
        let chart = format!("performance/{}.svg", group.name.to_lowercase().replace(' ', "-"));
        assert!(page.contains(&chart), "{chart}: {page}");
        let svg = fs::read_to_string(folder.path().join(&chart)).unwrap();
        assert!(svg.contains("prefers-color-scheme:dark"), "{chart}");
    }
    assert!(!page.contains("NaN"), "{page}");
    // Nothing about the machine but its kind.
    assert!(!page.contains(env!("CARGO_MANIFEST_DIR")), "{page}");
}

#[test]
fn unknown_arguments_are_rejected_with_the_usage() {
    for arguments in [&["report", "--slow"][..], &["charts"], &[]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_palisade-benches")).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("report [--quick]"), "{stderr}");
    }
}
