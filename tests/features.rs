//! The features of `palisade`: each feature of each crate can be enabled through it, and the README, which is made of
//! the parts in `crates/palisade/docs`, lists them.
//!
//! `scripts/readme` writes the table of features, copies the table of costs from `docs/performance.md`, and writes the README.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

/// Tools for development, which no service depends on.
const TOOLS: [&str; 2] = ["palisade-bench", "palisade-testing"];

/// Features by crate, and what each of them enables.
type Features = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {stderr}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

fn features() -> Features {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .filter(|package| package["publish"].is_null())
        .map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            (name, serde_json::from_value(package["features"].clone()).unwrap())
        })
        .filter(|(name, _)| !TOOLS.contains(&name.as_str()))
        .collect()
}

/// Returns all that `feature` of `krate` enables, as (crate, feature).
fn enabled_by<'a>(
    all: &'a Features,
    krate: &'a str,
    feature: &'a str,
    found: &mut BTreeSet<(&'a str, &'a str)>,
) {
    if !found.insert((krate, feature)) {
        return;
    }
    for enabled in all[krate].get(feature).into_iter().flatten() {
        match enabled.split_once('/') {
            Some((other, feature)) if all.contains_key(other.trim_end_matches('?')) => {
                enabled_by(all, other.trim_end_matches('?'), feature, found);
            }
            Some(_) => {}
            None => enabled_by(all, krate, enabled, found),
        }
    }
}

#[test]
fn palisade_forwards_every_feature_of_every_crate() {
    let all = features();
    let front = &all["palisade"];
    let mut enabled = BTreeMap::new();
    for feature in front.keys() {
        let mut found = BTreeSet::new();
        enabled_by(&all, "palisade", feature, &mut found);
        enabled.insert(feature.as_str(), found);
    }

    let mut missing = Vec::new();
    for (krate, features) in all.iter().filter(|(krate, _)| *krate != "palisade") {
        for feature in features.keys().filter(|name| *name != "default" && !name.starts_with('_')) {
            let is_enabled = |found: &BTreeSet<_>| found.contains(&(krate.as_str(), &**feature));
            if !enabled.values().any(is_enabled) {
                missing.push(format!("no feature enables {krate}/{feature}"));
            }
            // a host, for example: `axum` without `palisade-rate-limit?/axum` counts each path by itself
            if enabled.get(feature.as_str()).is_some_and(|found| !is_enabled(found)) {
                missing.push(format!("`{feature}` lacks \"{krate}?/{feature}\""));
            }
        }
    }
    assert!(missing.is_empty(), "crates/palisade/Cargo.toml:\n{}", missing.join("\n"));
}

/// crates.io rejects more or longer keywords, and shows the rest on the page of the crate.
#[test]
fn published_crates_have_metadata_readme_and_licences() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let version =
        &packages.iter().find(|package| package["name"] == "palisade").unwrap()["version"];
    for package in packages.iter().filter(|package| package["publish"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let folder = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let folder = folder.parent().unwrap();
        assert_eq!(package["version"], *version, "{name}");
        for field in ["description", "documentation", "license", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        let keywords = package["keywords"].as_array().unwrap();
        let fits = |keyword: &Value| keyword.as_str().unwrap().len() <= 20;
        assert!((1..=5).contains(&keywords.len()) && keywords.iter().all(fits), "{name}: keywords");
        let categories = package["categories"].as_array().unwrap().len();
        assert!((1..=5).contains(&categories), "{name}: categories");
        let readme = package["readme"].as_str().unwrap();
        for file in ["LICENSE-MIT", "LICENSE-APACHE", readme] {
            assert!(folder.join(file).exists(), "{name} has no {file}");
        }
    }
}

/// Otherwise `--all-features` would compile the tree a second time.
#[test]
fn tests_enable_every_feature() {
    let all = features();
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let find = |list: &Value, name: &str| -> Value {
        list.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone()
    };
    let tests = find(&metadata["packages"], "palisade-tests");
    let listed = find(&tests["dependencies"], "palisade")["features"].clone();
    let listed: Vec<String> = serde_json::from_value(listed).unwrap();

    let mut enabled = BTreeSet::new();
    for feature in listed.iter().map(String::as_str).chain(["default"]) {
        enabled_by(&all, "palisade", feature, &mut enabled);
    }
    let is_missing = |feature: &&String| !enabled.contains(&("palisade", feature.as_str()));
    let missing: Vec<_> = all["palisade"].keys().filter(is_missing).collect();
    assert!(missing.is_empty(), "add these features of palisade to tests/Cargo.toml: {missing:?}");
}

/// The toolchain of the tests is newer, so only the manifests can tell here. The workflow compiles with that version.
#[test]
fn dependencies_support_the_minimum_rust_version() {
    let metadata = cargo(&["metadata", "--all-features", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (package["id"].as_str().unwrap().to_owned(), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (node["id"].as_str().unwrap().to_owned(), node))
        .collect();

    let (root, palisade) =
        packages.iter().find(|(_, package)| package["name"] == "palisade").unwrap();
    let minimum = version(palisade["rust_version"].as_str().unwrap());
    let (mut open, mut seen) = (vec![root.clone()], BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        if let Some(needed) = packages[&id]["rust_version"].as_str() {
            assert!(
                version(needed) <= [&minimum[..], &[u32::MAX]].concat(),
                "{id} needs Rust {needed}"
            );
        }
        for dependency in list(&nodes[&id]["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
                open.push(dependency["pkg"].as_str().unwrap().to_owned());
            }
        }
    }
}

/// Returns the crates that are compiled with these features of `palisade`.
fn crates(features: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--package=palisade",
        "--no-default-features",
        "--features",
        features,
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
    ]);
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// Returns the comment above a feature in the manifest of `palisade`.
fn comment(manifest: &str, feature: &str) -> String {
    let lines: Vec<_> = manifest.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("{feature} = ["))).unwrap();
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("# "));
    let mut above: Vec<_> = above.map(|line| &line[2..]).collect();
    above.reverse();
    assert!(!above.is_empty(), "crates/palisade/Cargo.toml: `{feature}` has no comment above it");
    above.join(" ")
}

/// Returns the table for the README.
fn table() -> String {
    let manifest = fs::read_to_string(root().join("crates/palisade/Cargo.toml")).unwrap();
    let all = features();
    let front = &all["palisade"];
    let default = &front["default"];
    let bare = crates("");

    let mut table = String::from(
        "| feature | default | adds | crates | C compiler |\n| --- | --- | --- | --- | --- |\n",
    );
    let needs_c = |crates: &BTreeSet<String>| {
        let builds_c = |name: &String| name.starts_with("cc v") || name.starts_with("cmake v");
        if crates.iter().any(builds_c) { "yes" } else { "" }
    };
    let mut row = |name: &str, is_default: &str, adds: &str, crates: &BTreeSet<String>| {
        let more = crates.difference(&bare).count();
        let c = needs_c(crates);
        writeln!(table, "| {name} | {is_default} | {adds} | {more} | {c} |").unwrap();
    };
    for feature in front.keys().filter(|name| *name != "default") {
        let is_default = if default.contains(feature) { "yes" } else { "" };
        let adds = comment(&manifest, feature);
        row(&format!("`{feature}`"), is_default, &adds, &crates(feature));
    }
    row("all defaults", "", "Every feature that is on by default.", &crates("default"));
    let count = bare.len();
    writeln!(table, "\nWithout any feature {count} crates are compiled; `crates` counts those that a feature adds.")
        .unwrap();
    table
}

#[test]
fn readme_is_generated_from_its_parts() {
    const PARTS: [&str; 10] = [
        "intro",
        "axum",
        "hyper",
        "tonic",
        "policies",
        "own_policy",
        "own_policy_test",
        "cost",
        "features",
        "more",
    ];
    let path = |part: &str| root().join(format!("crates/palisade/docs/{part}.md"));
    let overwrite = std::env::var("README").as_deref() == Ok("overwrite");

    let table = format!("## Features\n\n{}", table());
    let performance = fs::read_to_string(root().join("docs/performance.md")).unwrap();
    let (_, cost) = performance.split_once("<!-- cost -->\n").unwrap();
    let (cost, _) = cost.split_once("<!-- /cost -->").unwrap();
    let written = fs::read_to_string(path("cost")).unwrap_or_default();
    let around = written.find("\n| ").zip(written.rfind("|\n")).expect("a table");
    let cost = format!("{}\n{cost}{}", &written[..around.0], &written[around.1 + 2..]);
    if overwrite {
        fs::write(path("features"), &table).unwrap();
        fs::write(path("cost"), &cost).unwrap();
    }
    let parts = PARTS.map(|part| fs::read_to_string(path(part)).unwrap());
    let readme = parts.join("\n");
    if overwrite {
        fs::write(root().join("README.md"), &readme).unwrap();
    }

    assert_eq!(fs::read_to_string(root().join("README.md")).unwrap(), readme, "{REMEDY}");
    assert_eq!(fs::read_to_string(path("cost")).unwrap(), cost, "{REMEDY}");
    // the number of crates changes with the versions of other crates, and is not worth a failure
    let without_numbers = |table: &str| table.replace(|letter: char| letter.is_ascii_digit(), "");
    let written = fs::read_to_string(path("features")).unwrap();
    assert_eq!(without_numbers(&written), without_numbers(&table), "{REMEDY}");
}

const REMEDY: &str = "edit crates/palisade/docs, run scripts/readme, and commit README.md";
