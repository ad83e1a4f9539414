//! The order of a stack: the right order compiles, and each file in `order/` has one step in the wrong place, which the
//! compiler must explain. Other common mistakes are there too: a handler whose type does not implement `garde::Validate`
//! (`valid_without_rules`), and builders that were not built.
//!
//! All cases are type-checked by one call of rustc against the libraries that the examples use, so nothing is compiled
//! twice. To accept changed messages: `INSTA_UPDATE=always cargo test -p palisade-tests order`, then read the diff of
//! `tests/snapshots/wrong_orders.snap`.

mod setup;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use palisade::auth::rules::{Rule, role, scope};
use palisade_tests::Workspace;
use serde_json::Value;

#[test]
fn right_order_compiles() {
    let parts = setup::parts();
    let _ = setup::stack()
        .client_ip(&parts.proxies)
        .observe(parts.request_ids)
        .errors(parts.errors)
        .security_headers(&parts.security)
        .cors(&parts.cors)
        .rate_limit(&parts.by_address)
        .rate_limit(&parts.by_address)
        .auth(&parts.auth)
        .role(["admin"])
        .role(["staff"])
        .rule(role("staff").and(scope("orders:read")))
        .deny_undecided()
        .rate_limit(&parts.by_principal)
        .cache(&parts.cache)
        .timeout(parts.timeout)
        .body_limit(parts.body_limit)
        .webhook(&parts.webhook)
        .validate(parts.validate)
        .idempotency(&parts.idempotency);

    // every step is optional
    let parts = setup::parts();
    let known = || setup::stack().client_ip(&parts.proxies);
    let _ = known().errors(parts.errors);
    let _ = known().security_headers(&parts.security).cors(&parts.cors);
    let _ = known().cors(&parts.cors);
    let _ = known().rate_limit(&parts.by_address);
    let _ = known().auth(&parts.auth);
    let _ = known().cache(&parts.cache);
    let _ = known().timeout(parts.timeout);
    let _ = known().body_limit(parts.body_limit);
    let _ = known().webhook(&parts.webhook);
    let _ = known().validate(parts.validate);
    let _ = known().idempotency(&parts.idempotency);
}

#[test]
fn wrong_orders_are_clear_compile_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("order");
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let files: BTreeMap<String, PathBuf> =
        files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect();

    let mut root = String::new();
    for (name, path) in &files {
        writeln!(root, "#[path = {path:?}] pub mod {name};").unwrap();
    }
    let mut errors = type_check(&root);
    let mut page = String::new();
    for (name, path) in files.iter().filter(|(name, _)| *name != "setup") {
        let error = errors.remove(path).unwrap_or_else(|| panic!("{name} compiles"));
        write!(page, "=== {name}\n{error}\n").unwrap();
    }
    assert!(errors.is_empty(), "other errors: {errors:#?}");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("wrong_orders", page);
    });
}

/// Returns the errors of a crate with this text, by file.
fn type_check(root: &str) -> BTreeMap<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("wrong_orders.rs");
    fs::write(&file, root).unwrap();

    let workspace = Workspace::built();
    let mut rustc = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=json"]);
    rustc.args(["-Awarnings", "--verbose"]).arg("--out-dir").arg(folder).arg(file);
    rustc.arg("-L").arg(format!("dependency={}", workspace.folder().join("deps").display()));
    for name in ["axum", "garde", "palisade", "serde"] {
        rustc.arg("--extern").arg(format!("{name}={}", workspace.library(name).display()));
    }
    let output = rustc.output().unwrap();
    assert!(!output.status.success(), "a stack in the wrong order compiles");

    let mut errors = BTreeMap::new();
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let spans = message["spans"].as_array().into_iter().flatten();
        let Some(span) = spans.into_iter().find(|span| span["is_primary"] == true) else {
            continue; // "aborting due to …"
        };
        let error: &mut String =
            errors.entry(span["file_name"].as_str().unwrap().into()).or_default();
        writeln!(error, "{}", span["text"][0]["text"].as_str().unwrap().trim()).unwrap();
        writeln!(error, "{}: {}", text(&message["level"]), text(&message["message"])).unwrap();
        writeln!(error, "label: {}", text(&span["label"])).unwrap();
        for child in message["children"].as_array().unwrap() {
            writeln!(error, "{}: {}", text(&child["level"]), text(&child["message"])).unwrap();
        }
    }
    errors
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
