//! The npm package zod, side by side: the same schemas, the same inputs, the same verdicts and the same paths.
//!
//! The differences that remain are listed in [`DIFFERENCES`] and in the guide, each with its reason.

#![cfg(feature = "schemars")]

mod objects;
mod queries;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ::uuid::Uuid;
use garde::Validate;
use jiff::{Timestamp, civil};
use palisade_validate::Validation;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::{
    objects::{OBJECTS, object_inputs},
    queries::{QUERIES, query_pool},
    values::{Inner, VALUES, Word, pool},
};

const ZOD: &str = "zod@4.6.7";

/// Schemas and inputs on which the two differ, with the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "evens",
        "",
        "a conversion of one's own ends the reading of a list at the first item that it rejects",
    ),
    (
        "external",
        "phone",
        "the name of the variant selects a branch, and the issue is inside of it",
    ),
    ("list_max", "x", "zod does not look at the items of a list of the wrong length"),
    ("list_max", "innerName", "zod does not look at the items of a list of the wrong length"),
    ("tuple", "[\"a\"]", "zod does not look at the items of a list of the wrong length"),
    ("tuple", "[null]", "zod does not look at the items of a list of the wrong length"),
    ("words", "[", "zod does not look at the items of a list of the wrong length"),
    ("uuid", "67e5504410b1", "a `Uuid` is also read without dashes"),
    ("iso_date", "+02:00", "jiff reads the date of a date and time"),
    ("query_", "\"\"", "JavaScript reads an empty text as 0; here it is not a number"),
    ("query_", "0x10", "JavaScript reads hexadecimal numbers"),
    ("query_", " 5", "JavaScript ignores blanks around a number"),
    ("query_int", "5.0", "a text with a decimal point is not an integer"),
    ("query_int", "1e1", "a text with an exponent is not an integer"),
    ("query_list", "5.0", "a text with a decimal point is not an integer"),
    ("query_list", "1e1", "a text with an exponent is not an integer"),
];

type Paths = BTreeSet<String>;

/// The paths of the issues. Empty: the input is valid.
fn read<T>(input: &Value) -> Paths
where
    T: DeserializeOwned + JsonSchema + Validate + 'static,
    T::Context: Default,
{
    let settings = Validation::new().accept_integral_floats();
    match settings.json_by_schema::<T>(input.to_string().as_bytes()) {
        Ok(_) => Paths::new(),
        Err(error) => error.issues().iter().map(|issue| issue.path.clone()).collect(),
    }
}

/// The same of a query string, which has texts and lists of texts.
fn read_query<T>(input: &Value) -> Paths
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    let pairs = input.as_object().unwrap().iter().flat_map(|(name, texts)| {
        let texts = texts.as_array().cloned().unwrap_or_else(|| vec![texts.clone()]);
        texts.into_iter().map(move |text| {
            let bytes = text.as_str().unwrap().bytes();
            format!("{name}={}", bytes.map(|byte| format!("%{byte:02X}")).collect::<String>())
        })
    });
    match Validation::new().query::<T>(&pairs.collect::<Vec<_>>().join("&")) {
        Ok(_) => Paths::new(),
        Err(error) => error.issues().iter().map(|issue| issue.path.clone()).collect(),
    }
}

/// A type, by the name of its schema in `zod.mjs`, and how it is read.
type Schema = (&'static str, fn(&Value) -> Paths);

/// Installs zod, or says loudly why not. `None`: the test does not run.
fn folder() -> Option<PathBuf> {
    let not_run = |reason: String| {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("THE COMPARISON WITH ZOD DID NOT RUN: {reason}");
        None
    };
    let has = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
    };
    if !has("node") || !has("npm") {
        return not_run("node or npm is missing".to_owned());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zod");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).ok().as_deref() != Some(ZOD) {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), r#"{"private":true}"#).unwrap();
        let npm = Command::new("npm")
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
                ZOD,
            ])
            .current_dir(&folder)
            .output()
            .unwrap();
        if !npm.status.success() {
            return not_run(format!("npm does not install zod: {npm:?}"));
        }
        fs::write(&installed, ZOD).unwrap();
    }
    fs::write(folder.join("zod.mjs"), include_str!("../zod.mjs")).unwrap();
    Some(folder)
}

#[test]
fn zod_gives_the_same_verdicts_and_paths() {
    let Some(folder) = folder() else { return };
    let mut inputs: BTreeMap<&str, Vec<Value>> =
        VALUES.iter().map(|(name, _)| (*name, pool())).collect();
    inputs.extend(object_inputs());
    inputs.extend(QUERIES.iter().map(|(name, _)| (*name, query_pool())));
    let mut node = Command::new("node")
        .arg("zod.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sent = serde_json::to_vec(&inputs).unwrap();
    let mut stdin = node.stdin.take().unwrap();
    let sender = std::thread::spawn(move || stdin.write_all(&sent));
    let answer = node.wait_with_output().unwrap();
    sender.join().unwrap().unwrap();
    let theirs: BTreeMap<String, Vec<Paths>> = serde_json::from_slice(&answer.stdout).unwrap();

    let schemas: Vec<_> = VALUES.iter().chain(OBJECTS).chain(QUERIES).collect();
    assert!(schemas.len() >= 60, "{}", schemas.len());
    let mut different = BTreeSet::new();
    let mut compared = 0;
    for (name, read) in schemas {
        for (input, theirs) in inputs[name].iter().zip(&theirs[*name]) {
            compared += 1;
            let ours = read(input);
            if ours != *theirs {
                different.insert((*name, input.to_string(), format!("{ours:?} and {theirs:?}")));
            }
        }
    }
    assert!(compared > 300, "{compared}");
    different.retain(|(name, input, _)| {
        !DIFFERENCES
            .iter()
            .any(|(schema, part, _)| name.starts_with(schema) && input.contains(part))
    });
    assert!(different.is_empty(), "{} of {compared}: {different:#?}", different.len());
}
