//! The npm package zod, side by side: the same schemas, the same inputs, the same verdicts and the same paths.
//!
//! The differences that remain are listed in [`DIFFERENCES`] and in the guide, each with its reason.

#![cfg(feature = "schemars")]

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

/// Structs with one field, `value`.
macro_rules! values {
    ($($name:ident: $type:ty, $rules:meta $(, $serde:meta)?;)*) => {
        $(
            #[derive(Deserialize, JsonSchema, Validate)]
            #[allow(dead_code, non_camel_case_types)]
            struct $name {
                #[$rules]
                $(#[$serde])?
                value: $type,
            }
        )*
        const VALUES: &[Schema] = &[$((stringify!($name), read::<$name>)),*];
    };
}

values! {
    string: String, garde(skip);
    string_min: String, garde(length(chars, min = 2));
    string_max: String, garde(length(chars, max = 2));
    string_both: String, garde(length(chars, min = 1, max = 3));
    string_length: String, garde(length(chars, equal = 2));
    string_regex: String, garde(pattern("^[a-c]+$"));
    string_prefix: String, garde(prefix("ab"));
    string_suffix: String, garde(suffix("b"));
    string_includes: String, garde(contains("b"));
    string_email: String, garde(email);
    string_optional: Option<String>, garde(length(chars, min = 2));
    string_default: String, garde(length(chars, min = 2)), serde(default = "word");
    boolean: bool, garde(skip);
    boolean_optional: Option<bool>, garde(skip);
    number: f64, garde(skip);
    number_min: f64, garde(range(min = 1.0));
    number_max: f64, garde(range(max = 1.0));
    number_both: f64, garde(range(min = -0.5, max = 1.5));
    number_optional: Option<f64>, garde(range(min = 1.0));
    int: i32, garde(skip);
    int_min: i64, garde(range(min = 1, max = 1_000));
    int_small: u8, garde(skip);
    int_signed: i8, garde(skip);
    int_optional: Option<u16>, garde(range(max = 100));
    int_default: u16, garde(range(max = 100)), serde(default);
    list: Vec<String>, garde(skip);
    list_min: Vec<u8>, garde(length(min = 1));
    list_max: Vec<u8>, garde(length(max = 2));
    list_inner: Vec<String>, garde(inner(length(chars, min = 1)));
    list_both: Vec<u8>, garde(length(max = 3), inner(range(min = 1)));
    list_nested: Vec<Vec<u8>>, garde(inner(length(max = 2)));
    list_optional: Option<Vec<bool>>, garde(skip);
    list_of_options: Vec<Option<u8>>, garde(skip);
    tuple: (u8, String), garde(skip);
    record: BTreeMap<String, u8>, garde(skip);
    record_of_lists: BTreeMap<String, Vec<String>>, garde(skip);
    word: Word, garde(skip);
    word_optional: Option<Word>, garde(skip);
    words: Vec<Word>, garde(length(max = 2));
    nested: Inner, garde(dive);
    nested_optional: Option<Inner>, garde(dive);
    nested_list: Vec<Inner>, garde(dive);
    nested_record: BTreeMap<String, Inner>, garde(dive);
    even: Even, garde(skip);
    evens: Vec<Even>, garde(skip);
    date: Date, garde(skip);
    uuid: Uuid, garde(skip);
    uuids: Vec<Uuid>, garde(skip);
    iso_date: civil::Date, garde(skip);
    iso_date_optional: Option<civil::Date>, garde(skip);
    iso_datetime: Timestamp, garde(skip);
    record_of_dates: BTreeMap<String, civil::Date>, garde(skip);
}

fn word() -> String {
    "word".to_owned()
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ab,
    Cd,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Inner {
    #[garde(length(chars, min = 2))]
    inner_name: String,
    #[garde(range(max = 10))]
    amount: Option<u8>,
}

/// A newtype that its own conversion checks.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(with = "u32")]
struct Even;

impl TryFrom<u32> for Even {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number.is_multiple_of(2) { Ok(Self) } else { Err("must be even") }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Date;

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_date = text.len() == 10 && text.split('-').map(str::len).eq([4, 2, 2]);
        if is_date { Ok(Self) } else { Err("must be a date") }
    }
}

/// What every schema of one value is asked about.
fn pool() -> Vec<Value> {
    let values = json!([
        "", "a", "ab", "abc", "abcd", "ö", "a@example.com", "2024-02-03", true, false, null, 0, 1, 2, -1, 1.5, 62.0,
        300, 70000, [], [1], ["a"], ["", "ab"], [1, 2, 3, 4], [0, 1], [[1], [1, 2, 3]], [null], [true, 1], [7, "a"],
        {}, {"a": 1}, {"a": "x", "b": 300}, {"a": ["x"]}, {"innerName": "abc"}, {"innerName": "a", "amount": 11},
        {"innerName": 1, "amount": "x"}, [{"innerName": "abc"}, {"amount": 1}, 7], {"k": {"innerName": "a"}}, ["ab", "xy"],
        [1, 2, "x"], "2024-02-30", "2024-02-03T10:00:00Z", "2024-02-03T10:00:00+02:00", "2024-02-03T25:00:00Z",
        "67e55044-10b1-426f-9247-bb680e5fe0c8", "67e5504410b1426f9247bb680e5fe0c8", "67e55044-10b1-426f-9247-bb680e5fe0cx",
        ["67e55044-10b1-426f-9247-bb680e5fe0c8", "x", 7], {"a": "2024-02-03", "b": "2024-02-30"},
    ]);
    let mut inputs: Vec<_> =
        values.as_array().unwrap().iter().map(|value| json!({"value": value})).collect();
    inputs.extend([json!({}), json!({"other": 1}), json!(7), json!(null), json!("value")]);
    inputs
}

/// Objects of several fields, each with its inputs.
macro_rules! objects {
    ($($name:ident: $type:ty, $inputs:tt;)*) => {
        const OBJECTS: &[Schema] = &[$((stringify!($name), read::<$type>)),*];

        fn object_inputs() -> Vec<(&'static str, Vec<Value>)> {
            vec![$((stringify!($name), json!($inputs).as_array().unwrap().clone())),*]
        }
    };
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Signup {
    #[garde(length(chars, min = 2, max = 10))]
    user_name: String,
    #[garde(length(chars, min = 8))]
    password: String,
    #[garde(matches(password))]
    password_again: String,
    #[garde(range(min = 18))]
    age: Option<u8>,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Strict {
    #[garde(skip)]
    a: u8,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Crossed {
    #[garde(length(chars, min = 1))]
    #[serde(rename = "id")]
    external_id: String,
    #[garde(range(min = 5))]
    #[serde(rename = "internalId")]
    id: u32,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(dead_code)]
enum Tagged {
    Circle {
        #[garde(range(min = 1.0))]
        radius: f64,
    },
    Box {
        #[garde(range(min = 1))]
        side_length: u32,
        #[garde(skip)]
        name: Option<String>,
    },
    Dot,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Drawing {
    #[garde(length(min = 1), dive)]
    shapes: Vec<Tagged>,
    #[garde(length(chars, min = 1))]
    title: String,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "type", content = "data", rename_all = "camelCase")]
#[allow(dead_code)]
enum Adjacent {
    Mail(#[garde(dive)] Inner),
    Phone(#[garde(length(chars, min = 3))] String),
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
enum External {
    Mail(#[garde(dive)] Inner),
    Phone {
        #[garde(length(chars, min = 3))]
        number: String,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(untagged)]
#[allow(dead_code)]
enum Untagged {
    Number(#[garde(skip)] u8),
    Text(#[garde(skip)] String),
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct UntaggedField {
    #[garde(dive)]
    value: Untagged,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Flattened {
    #[garde(length(chars, min = 1))]
    title: String,
    #[serde(flatten)]
    #[garde(dive)]
    inner: Inner,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct FlattenedUnion {
    #[garde(skip)]
    title: String,
    #[serde(flatten)]
    #[garde(dive)]
    shape: Tagged,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Order {
    #[garde(length(min = 1), dive)]
    order_lines: Vec<Inner>,
    #[garde(custom(needed_unless(&self.pickup)))]
    address: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    pickup: bool,
}

fn needed_unless(pickup: &bool) -> impl FnOnce(&Option<String>, &()) -> garde::Result + '_ {
    move |address, ()| match address {
        None if !pickup => Err(garde::Error::new("is needed to deliver")),
        _ => Ok(()),
    }
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Tree {
    #[garde(length(chars, min = 1))]
    name: String,
    #[serde(default)]
    #[garde(dive)]
    children: Vec<Tree>,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct ManyFields {
    #[garde(skip)]
    a: String,
    #[garde(skip)]
    b: u8,
    #[garde(skip)]
    c: bool,
    #[garde(skip)]
    d: Vec<u8>,
    #[garde(skip)]
    e: BTreeMap<String, bool>,
}

objects! {
    signup: Signup, [
        {"userName": "ada", "password": "12345678", "passwordAgain": "12345678"},
        {"userName": "a", "password": "1", "passwordAgain": "1", "age": 17},
        {"userName": "ada", "password": "12345678", "passwordAgain": "other", "age": 18},
        {"userName": 7, "password": "1"}, {}, {"userName": "ada", "age": "old"}
    ];
    strict: Strict, [{"a": 1}, {"a": "x"}, {}];
    crossed: Crossed, [
        {"id": "a", "internalId": 5}, {"id": "", "internalId": 5}, {"id": "a", "internalId": 4},
        {"id": "", "internalId": 4}, {"id": 4, "internalId": ""}, {}
    ];
    tagged: Tagged, [
        {"kind": "circle", "radius": 1}, {"kind": "circle", "radius": 0}, {"kind": "circle"}, {"kind": "dot"},
        {"kind": "box", "sideLength": 0, "name": 7}, {"kind": "box", "sideLength": "x"}, {"kind": "star"}, {}, {"kind": 7},
        7, {"kind": "circle", "radius": "x"}
    ];
    drawing: Drawing, [
        {"title": "a", "shapes": [{"kind": "dot"}]}, {"title": "", "shapes": []},
        {"title": "", "shapes": [{"kind": "circle", "radius": 0}, {"kind": "box"}, {"kind": "x"}, {}]},
        {"title": 7, "shapes": [{"kind": "circle", "radius": 0}, {"kind": "circle", "radius": "x"}]}, {}
    ];
    adjacent: Adjacent, [
        {"type": "mail", "data": {"innerName": "ab"}}, {"type": "mail", "data": {"innerName": "a"}},
        {"type": "mail", "data": {}}, {"type": "phone", "data": "12"}, {"type": "phone", "data": 7}, {"type": "fax"}, {}
    ];
    external: External, [
        {"mail": {"innerName": "ab"}}, {"phone": {"number": "123"}}, {"mail": {"innerName": "a"}},
        {"phone": {"number": 1}}, {"phone": {}}
    ];
    untagged: UntaggedField, [{"value": 1}, {"value": "a"}, {"value": true}, {"value": 300}, {}];
    flattened: Flattened, [
        {"title": "a", "innerName": "ab"}, {"title": "", "innerName": "a", "amount": 11}, {"title": 7, "innerName": 7},
        {}, {"title": "a", "innerName": "ab", "amount": "x"}
    ];
    flattened_union: FlattenedUnion, [
        {"title": "a", "kind": "dot"}, {"title": 7, "kind": "circle", "radius": 0}, {"kind": "box", "sideLength": "x"},
        {"title": "a", "kind": "circle", "radius": 0}
    ];
    order: Order, [
        {"orderLines": [{"innerName": "ab"}], "address": "x"}, {"orderLines": [{"innerName": "ab"}]},
        {"orderLines": [{"innerName": "ab"}], "pickup": true}, {"orderLines": [], "pickup": true},
        {"orderLines": [{"innerName": "a"}, {"amount": 300}, 7], "pickup": "yes"}, {}
    ];
    tree: Tree, [
        {"name": "a"}, {"name": "", "children": [{"name": ""}, {"name": "b", "children": [{"name": ""}]}]},
        {"name": "a", "children": [{"children": [{}]}, {"name": 7, "children": 7}]}
    ];
    many_fields: ManyFields, [
        {"a": "", "b": 0, "c": false, "d": [], "e": {}}, {}, {"a": 1, "b": "1", "c": 1, "d": 1, "e": 1},
        {"a": "", "b": -1, "c": null, "d": [1, "x", 256, null], "e": {"x": true, "y": 1}}
    ];
}

/// A query of two parameters for each kind of text that is converted.
macro_rules! queries {
    ($($name:ident: $type:ty, $rules:meta $(, $serde:meta)?;)*) => {
        $(
            #[derive(Deserialize, Validate)]
            #[allow(dead_code, non_camel_case_types)]
            struct $name {
                #[$rules]
                $(#[$serde])?
                value: $type,
                #[garde(skip)]
                other: Option<bool>,
            }
        )*
        const QUERIES: &[Schema] = &[$((stringify!($name), read_query::<$name>)),*];
    };
}

queries! {
    query_int: u32, garde(range(min = 1, max = 100));
    query_int_default: u32, garde(range(min = 1)), serde(default = "one");
    query_int_optional: Option<i32>, garde(range(min = 1));
    query_number: f64, garde(range(min = 0.5));
    query_boolean: bool, garde(skip);
    query_text: String, garde(length(chars, min = 1, max = 3));
    query_word: Word, garde(skip);
    query_uuid: Uuid, garde(skip);
    query_list: Vec<u32>, garde(length(max = 2)), serde(default);
}

fn one() -> u32 {
    1
}

fn query_pool() -> Vec<Value> {
    let texts = [
        "0",
        "1",
        "20",
        "101",
        "-1",
        "1.5",
        "5.0",
        "1e1",
        "0x10",
        " 5",
        "",
        "x",
        "true",
        "false",
        "ab",
        "abcd",
        "67e55044-10b1-426f-9247-bb680e5fe0c8",
        "9007199254740993",
        "NaN",
        "Infinity",
    ];
    let mut inputs: Vec<_> = texts.iter().map(|text| json!({"value": text})).collect();
    inputs.extend([
        json!({}),
        json!({"value": "1", "other": "true"}),
        json!({"value": "x", "other": "yes"}),
        json!({"other": "0"}),
        json!({"value": ["1", "2"]}),
        json!({"value": ["1", "x"]}),
        json!({"value": ["1", "2", "3"]}),
    ]);
    inputs
}

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
    fs::write(folder.join("zod.mjs"), include_str!("zod.mjs")).unwrap();
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
