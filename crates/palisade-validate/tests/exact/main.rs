//! Issues are where they are known to be, or the answer says that more may be wrong.

mod anything;

use std::{cell::RefCell, collections::HashMap};

use garde::Validate;
use palisade_core::ApiError;
use palisade_validate::{Messages, Validation};
use serde::{Deserialize, de::DeserializeOwned};

/// `path code` of each issue in its order, and whether the list is complete.
fn issues<T>(error: Result<T, ApiError>) -> (Vec<String>, bool) {
    let error = error.err().expect("it is rejected");
    let issues = error.issues().iter().map(|issue| format!("{} {}", issue.path, issue.code));
    (issues.collect(), !error.issues_are_truncated())
}

fn json<T>(body: &str) -> (Vec<String>, bool)
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    issues(Validation::new().json::<T>(body.as_bytes()))
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Crossed {
    #[garde(length(chars, min = 1))]
    #[serde(rename = "id")]
    external_id: String,
    #[garde(length(chars, min = 5))]
    #[serde(rename = "internalId")]
    id: String,
}

#[test]
fn swapped_names_are_never_confused() {
    // garde says `id`, which is `internalId`.
    let here = (vec![" too_short".to_owned()], false);
    assert_eq!(json::<Crossed>(r#"{"id":"abcdef","internalId":"x"}"#), here);
    // Only `id` can be the one that must have a character, so the other name is not that of a field that is known.
    let error = Validation::new().json::<Crossed>(br#"{"id":"","internalId":"x"}"#).unwrap_err();
    let issues: Vec<_> =
        error.issues().iter().map(|issue| (&*issue.path, issue.params["min"].as_u64())).collect();
    assert_eq!(
        (issues, error.issues_are_truncated()),
        (vec![("", Some(5)), ("id", Some(1))], true)
    );
}

#[cfg(feature = "schemars")]
mod by_schema {
    use schemars::JsonSchema;

    use super::*;

    fn by_schema<T>(body: &str) -> (Vec<String>, bool)
    where
        T: DeserializeOwned + JsonSchema + Validate + 'static,
        T::Context: Default,
    {
        issues(Validation::new().json_by_schema::<T>(body.as_bytes()))
    }

    fn paths(issues: &(Vec<String>, bool)) -> Vec<&str> {
        issues.0.iter().map(String::as_str).collect()
    }

    #[test]
    fn schema_resolves_swapped_names() {
        let exact = (vec!["internalId too_short".to_owned()], true);
        assert_eq!(by_schema::<Crossed>(r#"{"id":"abcdef","internalId":"x"}"#), exact);
        assert_eq!(by_schema::<Crossed>(r#"{"id":"abc","internalId":"x"}"#), exact);
        let both = by_schema::<Crossed>(r#"{"id":"","internalId":"x"}"#);
        assert!(both.1, "{both:?}");
        let mut both = both.0;
        both.sort();
        assert_eq!(both, ["id too_short", "internalId too_short"]);
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
    #[allow(dead_code)]
    enum Line {
        Item {
            #[garde(length(chars, min = 1))]
            item_name: String,
            #[garde(range(min = 1))]
            amount: u32,
        },
        Discount {
            #[garde(range(max = 100))]
            percent: u8,
        },
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(tag = "type", content = "data", rename_all = "camelCase")]
    #[allow(dead_code)]
    enum Contact {
        Mail {
            #[garde(length(chars, min = 3))]
            email: String,
        },
        Phone(#[garde(length(min = 3))] String),
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)]
    struct Order {
        #[garde(dive)]
        lines: Vec<Line>,
        #[serde(flatten)]
        #[garde(dive)]
        contact: Contact,
        #[serde(flatten)]
        #[garde(dive)]
        page: Page,
    }

    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        #[garde(range(min = 1))]
        page_size: u8,
    }

    #[test]
    fn unions_and_flattened_structs_are_reported_exactly() {
        let found = by_schema::<Order>(
            r#"{"lines":[{"kind":"item","itemName":"a","amount":"x"},{"kind":"item","amount":1},{"kind":"gift"}],
                "type":"mail","data":{"email":7},"pageSize":300}"#,
        );
        let mut paths = paths(&found);
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "data.email wrong_type",
                "lines[0].amount wrong_type",
                "lines[1].itemName missing",
                "lines[2].kind invalid_option",
                "pageSize too_big"
            ]
        );
    }

    #[test]
    fn schema_places_rule_issues_inside_unions() {
        let found = by_schema::<Order>(
            r#"{"lines":[{"kind":"item","itemName":"","amount":0},{"kind":"discount","percent":101}],
                "type":"mail","data":{"email":"a"},"pageSize":0}"#,
        );
        let mut paths = paths(&found);
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "data.email too_short",
                "lines[0].amount too_small",
                "lines[0].itemName too_short",
                "lines[1].percent too_big",
                "pageSize too_small"
            ]
        );
        assert!(found.1);
    }
}

thread_local! {
    static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

#[allow(clippy::unnecessary_wraps)]
fn see(number: &u32, (): &()) -> garde::Result {
    SEEN.with_borrow_mut(|seen| seen.push(*number));
    Ok(())
}

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Seen {
    #[garde(custom(see))]
    number: u32,
    #[garde(length(chars, min = 2))]
    name: String,
    #[garde(skip)]
    address: std::net::IpAddr,
}

#[test]
fn rules_run_on_received_values_only() {
    for body in [
        r#"{"number":"x","name":"ab","address":"::1"}"#,
        r#"{"number":7,"name":1,"address":"::1"}"#,
        r#"{"number":7,"address":"nowhere"}"#,
        "{}",
        r#"{"number":7,"name":"a","address":"::1"}"#,
    ] {
        let (_, is_complete) = json::<Seen>(body);
        let saw = SEEN.with_borrow_mut(std::mem::take);
        assert_eq!(
            (saw, is_complete),
            if body.contains("\"a\"") { (vec![7], true) } else { (vec![], false) }
        );
    }
}

#[test]
fn issues_follow_the_order_of_the_fields() {
    assert_eq!(
        json::<Seen>(r#"{"address":"nowhere","name":1,"number":"x"}"#).0,
        ["number wrong_type", "name wrong_type", "address invalid"]
    );
    assert_eq!(json::<Seen>("{}").0, ["number missing", "name missing", "address missing"]);
}

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Wide {
    #[garde(skip)]
    raw: Box<serde_json::value::RawValue>,
    #[garde(skip)]
    large: u128,
    #[garde(skip)]
    small: i128,
    #[garde(skip)]
    float: f32,
    #[garde(skip)]
    any: serde_json::Value,
}

#[test]
fn valid_document_is_accepted_by_both_readers() {
    let body = format!(
        r#"{{"raw":{{"a" : [1e999, "\u0041"]}},"large":{},"small":{},"float":{},"any":99999999999999999999}}"#,
        u128::MAX,
        i128::MIN,
        f32::MAX
    );
    for settings in [Validation::new(), Validation::new().deny_unknown_fields()] {
        let wide = settings.json::<Wide>(body.as_bytes()).unwrap();
        assert_eq!(wide.raw.get(), r#"{"a" : [1e999, "\u0041"]}"#);
        assert_eq!((wide.large, wide.small, wide.float), (u128::MAX, i128::MIN, f32::MAX));
        let wrong = body.replacen("\"any\"", "\"other\"", 1);
        let found = issues(settings.json::<Wide>(wrong.as_bytes())).0;
        assert!(found.contains(&"any missing".to_owned()), "{found:?}");
        assert!(found.iter().all(|issue| issue == "any missing" || issue == "other unknown_field"));
    }
}

#[derive(Debug, Deserialize, Validate)]
struct Worded {
    #[garde(prefix("2024"))]
    date: String,
    #[garde(adapt(palisade_validate::maps), inner(length(chars, min = 1)))]
    labels: HashMap<String, String>,
    #[garde(matches(date))]
    date_again: String,
}

#[test]
fn parameters_keep_their_types() {
    let body = br#"{"date":"2025","labels":{"de":""},"date_again":"x"}"#;
    let error = Validation::new().json::<Worded>(body).unwrap_err();
    let issues = error.issues();
    assert_eq!(issues[0].params["prefix"], "2024");
    assert_eq!((&*issues[1].path, &*issues[1].code), ("labels.de", "too_short"));
    assert_eq!((&*issues[2].path, &issues[2].params["field"]), ("date_again", &"date".into()));
    assert_eq!(issues[2].message, "must equal \"date\"");
}

#[test]
fn message_settings_apply_to_json_and_queries() {
    let messages = Messages::from_fn(|issue| {
        (issue.code == "wrong_type").then(|| format!("expected {}", issue.params["expected"]))
    });
    let settings =
        Validation::new().messages(messages.field("name", "too_short", "Name is required"));
    let error = settings.json::<Seen>(br#"{"number":[],"name":7,"address":"::1"}"#).unwrap_err();
    assert_eq!(error.issues()[0].message, "expected \"integer\"");
    assert_eq!(error.issues()[1].message, "expected \"string\"");
    let error = settings.query::<Seen>("number=1&name=a&address=::1").unwrap_err();
    assert_eq!(error.issues()[0].message, "Name is required");
}

/// A color whose type ignores the case of letters, and complains about what it made of the text.
#[derive(Debug)]
struct Color;

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        use serde::de::{Error, Unexpected};

        match String::deserialize(input)?.to_lowercase().as_str() {
            "red" | "green" => Ok(Self),
            "blue" => Err(D::Error::invalid_value(Unexpected::Str("blue"), &"a warm color")),
            other => Err(D::Error::unknown_variant(other, &["red", "green"])),
        }
    }
}

#[derive(Debug, Deserialize, Validate)]
#[serde(tag = "kind")]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
enum Painted {
    Wall { color: Color, note: String },
}

#[test]
fn converted_texts_are_not_matched_to_other_fields() {
    for color in ["BLUE", "PINK"] {
        let note = color.to_lowercase();
        let body = format!(r#"{{"kind":"Wall","color":"{color}","note":"{note}"}}"#);
        let (issues, is_complete) = json::<Painted>(&body);
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert!(issues[0].starts_with(' ') && !is_complete, "{issues:?}");
    }
    // No other text can be meant.
    let (issues, _) = json::<Painted>(r#"{"kind":"Wall","color":"pink","note":"of the house"}"#);
    assert_eq!(issues, ["color invalid_option"]);
}
