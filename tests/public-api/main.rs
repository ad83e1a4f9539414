//! Compares the public API of each published crate, with all features, with the list in `docs/public-api`; with the argument
//! `overwrite`, writes the lists. A change of a list shows in the review what a release changes for users.
//!
//! rustdoc describes a crate as JSON in a format that is not stable: the version of `public-api` belongs to the compiler.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use serde_json::Value;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let overwrite = env::args().nth(1).as_deref() == Some("overwrite");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = cargo(&root).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo names no target folder")?;
    let crates: Vec<&str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["publish"].is_null())
        .filter_map(|package| package["name"].as_str())
        .collect();
    document(&root, &crates)?;

    let mut changed = Vec::new();
    for name in crates {
        let json = PathBuf::from(target).join(format!("doc/{}.json", name.replace('-', "_")));
        let api = public_api::Builder::from_rustdoc_json(&json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(true)
            .build()
            .map_err(|error| {
                format!("{}: {error}. The compiler writes another format: use the version of `public-api` for it", json.display())
            })?;
        let list: String = api.items().map(|item| format!("{item}\n")).collect();
        let path = root.join(format!("docs/public-api/{name}.txt"));
        if overwrite {
            fs::write(&path, list)?;
        } else if let Some(difference) =
            difference(&fs::read_to_string(&path).unwrap_or_default(), &list)
        {
            println!("{name}:\n{difference}");
            changed.push(name);
        }
    }
    if changed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "The public API of {} changed. Run `scripts/public-api`, and commit docs/public-api with a line in CHANGELOG.md.",
        changed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root);
    cargo
}

/// Writes the JSON of each crate. Only rustdoc runs as a nightly compiler, so that dependencies are not compiled again.
fn document(root: &Path, crates: &[&str]) -> Result<(), Box<dyn Error>> {
    let packages = crates.iter().flat_map(|name| ["--package", name]);
    let status = cargo(root)
        .args(["doc", "--quiet", "--lib", "--no-deps", "--all-features"])
        .args(packages)
        .env("RUSTDOC", root.join(".ci/rustdoc"))
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json --cap-lints allow")
        .status()?;
    if status.success() { Ok(()) } else { Err("rustdoc failed".into()) }
}

/// Returns the removed and added lines.
fn difference(before: &str, after: &str) -> Option<String> {
    let lines = |of: &str, without: &str, sign: char| -> Vec<String> {
        let known: std::collections::HashSet<&str> = without.lines().collect();
        of.lines()
            .filter(|line| !known.contains(line))
            .map(|line| format!("  {sign} {line}"))
            .collect()
    };
    let mut changed = lines(before, after, '-');
    changed.extend(lines(after, before, '+'));
    (!changed.is_empty()).then(|| changed.join("\n"))
}
