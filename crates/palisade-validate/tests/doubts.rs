//! Documents that invite a wrong place, an invented issue or a list that ends without a word.

use std::collections::HashMap;

use garde::Validate;
use palisade_core::ApiError;
use palisade_validate::Validation;
use serde::{Deserialize, de::DeserializeOwned};

/// `path code` of each issue in its order, and whether the list is truncated.
fn issues<T>(error: Result<T, ApiError>) -> (Vec<String>, bool) {
    let error = error.err().expect("it is rejected");
    let list = error.issues().iter().map(|issue| format!("{} {}", issue.path, issue.code));
    (list.collect(), error.issues_are_truncated())
}

fn json<T>(body: &str) -> (Vec<String>, bool)
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    issues(Validation::new().json::<T>(body.as_bytes()))
}

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Small {
    #[garde(skip)]
    a: u8,
}

#[test]
fn more_unknown_fields_than_listed_are_truncated() {
    for (count, is_truncated) in [(64, false), (65, true), (400, true)] {
        let unknown: String = (0..count).map(|at| format!(",\"x{at}\":0")).collect();
        let body = format!("{{\"a\":1{unknown}}}");
        let (list, truncated) =
            issues(Validation::new().deny_unknown_fields().json::<Small>(body.as_bytes()));
        assert_eq!((list.len(), truncated), (64, is_truncated), "{count}");
    }
}

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
enum Move {
    Up {
        name: String,
        amount: u32,
    },
    Down {
        #[serde(default)]
        name: String,
        percent: u8,
    },
}

#[test]
fn required_fields_of_one_variant_are_not_missing_in_another() {
    let body = r#"[{"Up":{}},{"Down":{"percent":1}},{"Down":{}},{"Up":{"amount":1}}]"#;
    let expected = [
        "[0].Up.name missing",
        "[0].Up.amount missing",
        "[2].Down.percent missing",
        "[3].Up.name missing",
    ];
    assert_eq!(json::<Vec<Move>>(body).0, expected);
}

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Keyed {
    #[serde(default)]
    numbers: HashMap<u32, bool>,
    #[serde(default)]
    signed: HashMap<i128, bool>,
    #[serde(default)]
    flags: HashMap<bool, bool>,
}

#[test]
fn numeric_keys_are_parsed_as_in_serde_json() {
    for key in ["01", "+1", " 1", "1 ", "1e0", "1.0", "0x1", "", "-1", "4294967296"] {
        let body = format!(r#"{{"numbers":{{"{key}":true}}}}"#);
        assert!(serde_json::from_str::<Keyed>(&body).is_err(), "{key}");
        assert_eq!(json::<Keyed>(&body).0, [format!("numbers.{key} invalid_key")], "{key}");
    }
    let body = r#"{"numbers":{"7":true},"signed":{"-9":false},"flags":{"true":1}}"#;
    assert_eq!(json::<Keyed>(body).0, ["flags.true wrong_type"]);
}

#[derive(Debug, Deserialize, Validate)]
#[garde(transparent)]
struct Grid(#[garde(inner(inner(length(min = 1))))] Vec<Vec<String>>);

#[derive(Debug, Deserialize, Validate)]
struct Row(#[garde(inner(length(min = 1)))] Vec<String>);

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Tables {
    #[garde(dive)]
    grid: Grid,
    #[garde(dive)]
    row: Row,
}

#[test]
fn issues_of_list_newtypes_are_not_placed_at_items() {
    let (list, truncated) = json::<Tables>(r#"{"grid":[["a",""],["b"]],"row":["a"]}"#);
    assert_eq!((list, truncated), (vec!["grid too_short".to_owned()], true));
    let (list, truncated) = json::<Tables>(r#"{"grid":[["a"],["b",""]],"row":["a",""]}"#);
    assert_eq!(
        (list, truncated),
        (vec!["grid[1][1] too_short".into(), "row[1] too_short".into()], false)
    );
}

#[derive(Debug, Deserialize, Validate)]
struct Delivery {
    #[serde(default)]
    #[garde(skip)]
    #[allow(dead_code)]
    street: Option<String>,
    #[garde(custom(needs(&self.street)))]
    express: bool,
}

fn needs(street: &Option<String>) -> impl FnOnce(&bool, &()) -> garde::Result + '_ {
    move |express, ()| match street {
        None if *express => Err(garde::Error::new("needs a street")),
        _ => Ok(()),
    }
}

#[test]
fn rules_are_skipped_if_a_text_is_not_utf8() {
    let answer = Validation::new().form::<Delivery>(b"street=%FF&express=true");
    assert_eq!(answer.as_ref().unwrap_err().issues()[0].params["expected"], "string");
    assert_eq!(issues(answer), (vec!["street wrong_type".to_owned()], true));
}

#[test]
fn members_with_long_names_are_reported_at_the_object() {
    let name = "x".repeat(200);
    let body = format!(r#"{{"a":{{"{name}":{{"b":"no"}}}}}}"#);
    let answer = Validation::new().json::<HashMap<String, HashMap<String, Maps>>>(body.as_bytes());
    let issue = answer.as_ref().unwrap_err().issues()[0].clone();
    assert_eq!(
        (&*issue.path, issue.pointer.as_deref(), &*issue.code),
        ("a", Some("/a"), "wrong_type")
    );
    assert!(issues(answer).1);
}

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Maps {
    b: u8,
}

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Kinds {
    list: [u8; 3],
    address: Option<std::net::IpAddr>,
}

#[test]
fn wrong_type_issue_names_a_json_type() {
    #[derive(Debug, Deserialize, Validate)]
    #[garde(allow_unvalidated)]
    #[allow(dead_code)]
    struct Outer {
        #[serde(flatten)]
        kinds: Kinds,
    }
    for (body, expected) in
        [(r#"{"list":[1,2]}"#, "array"), (r#"{"list":[1,2,3],"address":7}"#, "string")]
    {
        for error in [
            Validation::new().json::<Kinds>(body.as_bytes()).unwrap_err(),
            Validation::new().json::<Outer>(body.as_bytes()).unwrap_err(),
        ] {
            assert_eq!(error.issues()[0].params["expected"], expected, "{body}");
        }
    }
}

/// serde reads it as its list, and garde counts its position.
#[derive(Debug, Deserialize, Validate)]
#[serde(transparent)]
struct Tags(#[garde(length(max = 2), inner(length(min = 1)), custom(is_sorted))] Vec<String>);

fn is_sorted(tags: &[String], (): &()) -> garde::Result {
    if tags.is_sorted() { Ok(()) } else { Err(garde::Error::new("is not sorted")) }
}

#[derive(Debug, Deserialize, Validate)]
#[serde(transparent)]
struct Email(#[garde(length(chars, min = 3))] String);

#[derive(Debug, Deserialize, Validate)]
#[serde(transparent)]
struct Labels(#[garde(dive)] HashMap<String, Email>);

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Wrapped {
    #[garde(dive)]
    tags: Option<Tags>,
    #[garde(dive)]
    #[serde(default)]
    labels: Option<Box<Labels>>,
    #[garde(inner(inner(length(min = 1))))]
    #[serde(default)]
    plain: Option<Vec<String>>,
}

#[test]
fn issues_of_hidden_wrappers_are_not_placed_at_items() {
    for (body, expected, is_truncated) in [
        (r#"{"tags":["a","b","c"]}"#, "tags too_long", true),
        (r#"{"tags":["b","a"]}"#, "tags invalid", true),
        (r#"{"tags":["a",""]}"#, "tags invalid,tags[1] too_short", true),
        (r#"{"tags":[],"plain":["a",""]}"#, "plain[1] too_short", false),
        (r#"{"tags":[],"plain":[""]}"#, "plain[0] too_short", false),
        (r#"{"labels":{"0":"abc","x":"a"}}"#, "labels.x too_short", false),
    ] {
        let (list, truncated) = json::<Wrapped>(body);
        assert_eq!((list.join(","), truncated), (expected.to_owned(), is_truncated), "{body}");
    }
}

#[derive(Debug, Deserialize, Validate)]
#[serde(tag = "type", content = "data")]
#[allow(dead_code)]
enum Contact {
    #[serde(rename = "m")]
    Mail {
        #[garde(length(min = 3))]
        email: String,
        #[garde(skip)]
        name: String,
        #[garde(skip)]
        note: String,
    },
}

#[test]
fn issues_inside_a_union_are_not_placed_at_its_tag() {
    let body = r#"{"type":"m","data":{"email":"x","name":"","note":""}}"#;
    assert_eq!(json::<Contact>(body), (vec![" too_short".to_owned()], true));
}

#[derive(Debug, Deserialize, Validate)]
#[serde(tag = "kind")]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
enum Outer {
    Fields { a: f64, b: Option<Inner> },
}

#[derive(Debug, Deserialize, Validate)]
#[serde(tag = "type")]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
enum Inner {
    Fields { a: f64 },
}

#[test]
fn missing_tag_in_a_list_is_not_reported_at_the_object() {
    let (list, truncated) = json::<Outer>(r#"{"kind":"Fields","b":[ ]}"#);
    assert_eq!((list, truncated), (vec![" missing".to_owned()], true));
    assert_eq!(json::<Outer>(r#"{"kind":"Fields","b":null}"#).0, ["a missing"]);
}

#[test]
fn large_whole_floats_are_rejected_alike_by_type_and_schema() {
    #[derive(Debug, Deserialize, Validate)]
    #[garde(allow_unvalidated)]
    #[allow(dead_code)]
    struct Whole {
        n: u64,
    }
    let settings = Validation::new().accept_integral_floats();
    for (number, is_accepted) in
        [("62.0", true), ("8e15", true), ("9.5e15", false), ("1e17", false), ("1.5", false)]
    {
        let body = format!(r#"{{"n":{number}}}"#);
        assert_eq!(settings.json::<Whole>(body.as_bytes()).is_ok(), is_accepted, "{number}");
        #[cfg(feature = "json-schema")]
        {
            let schema = serde_json::json!({"properties": {"n": {"type": "integer"}}});
            let schema =
                palisade_validate::JsonSchema::compile(&schema).unwrap().settings(settings.clone());
            assert_eq!(schema.json(body.as_bytes()).is_ok(), is_accepted, "{number}");
        }
    }
}

#[derive(Debug, Deserialize, Validate)]
struct Renamed {
    #[garde(length(chars, min = 1))]
    #[serde(rename = "x")]
    first: String,
    #[garde(length(chars, min = 1))]
    #[serde(rename = "y")]
    second: String,
}

#[test]
fn ambiguous_renamed_fields_yield_one_issue_of_the_struct() {
    assert_eq!(json::<Renamed>(r#"{"x":"","y":""}"#), (vec![" too_short".to_owned()], true));
    assert_eq!(json::<Renamed>(r#"{"x":"","y":"a"}"#), (vec!["x too_short".to_owned()], false));
}

/// Types that accept more than their schemas say.
#[cfg(feature = "schemars")]
mod lenient {
    use schemars::JsonSchema;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[allow(dead_code)]
    struct Lenient {
        #[garde(skip)]
        id: Uuid,
        #[garde(skip)]
        word: Word,
        #[garde(skip)]
        words: Vec<Word>,
        #[garde(skip)]
        line: Line,
        #[garde(dive)]
        pair: Pair,
        /// In bytes.
        #[garde(length(min = 4))]
        name: String,
        #[garde(skip)]
        count: u8,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    enum Word {
        #[serde(alias = "one")]
        One,
        #[serde(other)]
        Other,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    #[allow(dead_code)]
    enum Line {
        #[serde(alias = "item")]
        Item {
            amount: u8,
        },
        Gift {
            to: String,
        },
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[allow(dead_code)]
    struct Pair {
        #[garde(skip)]
        left: u8,
        #[garde(skip)]
        right: u8,
    }

    #[test]
    fn values_that_the_type_accepts_yield_no_schema_issue() {
        let body = r#"{"id":"67e5504410b1426f9247bb680e5fe0c8","word":"one","words":["two","One"],"pair":[1,2],
            "line":{"kind":"item","amount":1},"name":"ää","count":"x"}"#;
        let valid = body.replace("\"x\"", "1");
        assert!(Validation::new().json_by_schema::<Lenient>(valid.as_bytes()).is_ok());
        let answer = Validation::new().json_by_schema::<Lenient>(body.as_bytes());
        assert_eq!(issues(answer), (vec!["count wrong_type".to_owned()], true));
    }

    #[test]
    fn values_that_the_type_rejects_yield_a_schema_issue() {
        let body = r#"{"id":"67e55044","word":7,"words":["One",7],"pair":{"left":"x"},
            "line":{"kind":"gift","amount":1},"name":"ä","count":"x"}"#;
        let answer = Validation::new().json_by_schema::<Lenient>(body.as_bytes());
        let expected = [
            "id invalid_format",
            "word wrong_type",
            "words[1] wrong_type",
            "line.kind invalid_option",
            "pair.left wrong_type",
            "pair.right missing",
            "name too_short",
            "count wrong_type",
        ];
        assert_eq!(issues(answer).0, expected);
    }
}
