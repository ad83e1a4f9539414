//! Where an issue is: by the names that a client knows, not by those in Rust.

mod names;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    num::NonZeroU8,
};

use garde::Validate;
use palisade_core::ApiError;
use palisade_validate::Validation;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

/// `path code` of each issue, sorted.
fn issues<T>(error: Result<T, ApiError>) -> Vec<String> {
    let error = error.err().expect("it is refused");
    let mut issues: Vec<_> =
        error.issues().iter().map(|issue| format!("{} {}", issue.path, issue.code)).collect();
    issues.sort();
    issues
}

fn json<T>(body: &str) -> Vec<String>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    issues(Validation::new().json::<T>(body.as_bytes()))
}

fn query<T>(query: &str) -> Vec<String>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    issues(Validation::new().query::<T>(query))
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Account {
    #[garde(length(chars, min = 3))]
    user_name: String,
    #[garde(dive)]
    home_address: Address,
    #[garde(dive)]
    #[serde(default)]
    known_devices: Vec<Device>,
    #[garde(range(min = 1))]
    #[serde(default)]
    seat_count: u32,
    #[garde(length(min = 2))]
    #[serde(rename = "type")]
    r#type: String,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "kebab-case")]
struct Address {
    #[garde(length(chars, min = 2))]
    street_name: String,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Device {
    #[garde(ascii)]
    serial_number: String,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[garde(range(min = 1))]
    page_number: u32,
    #[garde(range(min = 1, max = 100))]
    page_size: u8,
    #[garde(skip)]
    #[serde(default)]
    #[allow(dead_code)]
    exact: bool,
}

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Listing {
    #[garde(length(chars, min = 1))]
    title: String,
    #[garde(dive)]
    #[serde(flatten)]
    page: Page,
}

#[test]
fn issue_has_pointer_source_code_and_parameters() {
    let body = r#"{"userName":"","homeAddress":{"street-name":"Oslo"},"knownDevices":[{"SERIAL_NUMBER":"é"}],
        "seatCount":1,"type":"user"}"#;
    let error = Validation::new().json::<Account>(body.as_bytes()).unwrap_err();
    assert_eq!(
        serde_json::to_value(error.issues()).unwrap(),
        json!([
            {"source": "body", "path": "userName", "pointer": "/userName", "code": "too_short",
             "message": "must have a length of at least 3", "params": {"min": 3}},
            {"source": "body", "path": "knownDevices[0].SERIAL_NUMBER",
             "pointer": "/knownDevices/0/SERIAL_NUMBER", "code": "invalid_format", "message": "must be ASCII"},
        ])
    );
    let error =
        Validation::new().json::<Account>(br#"{"homeAddress":{"street-name":7}}"#).unwrap_err();
    let issue = error.issues().iter().find(|issue| issue.code == "wrong_type").unwrap();
    assert_eq!(issue.params["expected"], "string");
}

#[derive(Debug, Deserialize, Validate)]
struct Renamed {
    #[garde(length(chars, min = 1, max = 5))]
    #[serde(rename = "title")]
    name: String,
    #[garde(range(max = 50))]
    #[serde(rename = "kilos")]
    weight: u32,
    #[garde(length(max = 3))]
    #[serde(rename = "labels")]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "snake_case")]
enum Payment {
    Card {
        #[garde(length(min = 4))]
        number: String,
    },
    Invoice(#[garde(dive)] Address),
}

#[derive(Debug, Deserialize, Validate)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Shape {
    Circle {
        #[garde(range(min = 0.1))]
        radius_mm: f64,
    },
    Dot,
}

#[derive(Debug, Deserialize, Validate)]
struct Order {
    #[garde(dive)]
    payment: Payment,
    #[garde(dive)]
    shapes: Vec<Shape>,
}

#[derive(Debug, Deserialize, Validate)]
struct Email(#[garde(email)] String);

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Typed {
    #[garde(dive)]
    email: Email,
    #[garde(skip)]
    address: IpAddr,
    #[garde(skip)]
    count: NonZeroU8,
    #[garde(skip)]
    after: u8,
    #[garde(dive)]
    by_name: BTreeMap<String, Address>,
    #[garde(skip)]
    by_number: HashMap<u32, bool>,
}

#[test]
fn wrong_type_does_not_hide_later_issues() {
    let body = r#"{"email":"nobody","address":"nowhere","count":0,"after":"x",
        "by_name":{"a.b":{"street-name":""}},"by_number":{"7":"yes","seven":true}}"#;
    assert_eq!(
        json::<Typed>(body),
        [
            "address invalid",
            "after wrong_type",
            "by_number.7 wrong_type",
            "by_number.seven invalid_key",
            "count invalid",
        ]
    );
    assert_eq!(
        json::<Typed>("{}"),
        [
            "address missing",
            "after missing",
            "by_name missing",
            "by_number missing",
            "count missing",
            "email missing"
        ]
    );
}

#[test]
fn messages_contain_no_rust_type_names() {
    for body in [
        "[]",
        "5",
        r#"{"payment":[],"shapes":{}}"#,
        r#"{"payment":{"card":[]},"shapes":[[],{"kind":"circle","radiusMm":[]}]}"#,
    ] {
        let error = Validation::new().json::<Order>(body.as_bytes()).unwrap_err();
        let text = serde_json::to_string(error.issues()).unwrap();
        for name in ["Order", "Payment", "Shape", "Circle", "struct", "f64", "enum", "::"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}

#[test]
fn unknown_fields_are_rejected_if_configured() {
    let strict = Validation::new().deny_unknown_fields();
    let body = r#"{"userName":"ada","homeAddress":{"street-name":"Oslo","zip":1},"seatCount":1,"type":"user","admin":true,
        "knownDevices":[{"SERIAL_NUMBER":"1","color":"red"}]}"#;
    assert!(Validation::new().json::<Account>(body.as_bytes()).is_ok());
    assert_eq!(
        issues(strict.json::<Account>(body.as_bytes())),
        [
            "admin unknown_field",
            "homeAddress.zip unknown_field",
            "knownDevices[0].color unknown_field"
        ]
    );
    assert_eq!(
        issues(strict.query::<Renamed>("title=a&kilos=1&labels=a&page=1")),
        ["page unknown_field"]
    );
}

#[test]
fn deny_unknown_fields_reports_all_unknown_fields() {
    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Strict {
        #[garde(skip)]
        a: u8,
    }
    assert_eq!(
        json::<Strict>(r#"{"b":1,"a":"x","c":2}"#),
        ["a wrong_type", "b unknown_field", "c unknown_field"]
    );
}

#[test]
fn queries_support_numbers_booleans_lists_and_defaults() {
    #[derive(Debug, Default, PartialEq, Deserialize, Validate)]
    #[serde(default)]
    struct Search {
        #[garde(skip)]
        page: Option<u32>,
        #[garde(skip)]
        ratio: f64,
        #[garde(skip)]
        exact: bool,
        #[garde(inner(range(max = 9)))]
        ids: Vec<u8>,
        #[garde(skip)]
        any: serde_json::Value,
    }
    let search: Search =
        Validation::new().query("page=2&ratio=0.5&exact=1&ids=1&ids=2&any=5").unwrap();
    assert_eq!(
        search,
        Search { page: Some(2), ratio: 0.5, exact: true, ids: vec![1, 2], any: json!("5") }
    );
    assert_eq!(Validation::new().query::<Search>("").unwrap(), Search::default());
    assert_eq!(query::<Search>("ids=1&ids=10&page=1&page=2"), ["page wrong_type"]);
    assert_eq!(
        query::<Search>("page=1e3&ratio=NaN&exact=yes"),
        ["exact wrong_type", "page wrong_type", "ratio wrong_type"]
    );
    // JSON is taken at its word.
    assert_eq!(
        json::<Search>(r#"{"page":"2","ratio":"0.5","exact":1,"ids":1}"#),
        ["exact wrong_type", "ids wrong_type", "page wrong_type", "ratio wrong_type"]
    );
}

#[test]
fn truncated_issue_list_is_marked() {
    #[derive(Debug, Deserialize, Validate)]
    struct Numbers {
        #[garde(inner(range(min = 1)))]
        numbers: Vec<u32>,
    }
    // Where the form is wrong, rules have not been looked at.
    for (count, item, issues, truncated) in [
        (64, "0", 64, false),
        (65, "0", 64, true),
        (100_000, "0", 64, true),
        (500_000, "0", 1, true),
        (64, "x", 64, true),
        (65, "\"x\"", 64, true),
    ] {
        let item = item.replace('x', "\"x\"").replace("\"\"", "\"");
        let body = format!("{{\"numbers\":[{}]}}", vec![item.as_str(); count].join(","));
        let error = Validation::new().json::<Numbers>(body.as_bytes()).unwrap_err();
        assert_eq!(
            (error.issues().len(), error.issues_are_truncated()),
            (issues, truncated),
            "{count} {item}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_input_never_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let _ = Validation::new().json::<Order>(&body);
        let _ = Validation::new().deny_unknown_fields().json::<Typed>(&body);
        let _ = Validation::new().form::<Listing>(&body);
    }

    #[test]
    fn arbitrary_json_tokens_never_panic(body in r#"[\[\]{}",:]{0,6}("(payment|shapes|card|kind|circle|title|pageNumber|by_number)"|[\[\]{},:0-9]|true|null|"x"){0,24}"#) {
        let _ = Validation::new().json::<Order>(body.as_bytes());
        let _ = Validation::new().json::<Listing>(body.as_bytes());
        let _ = Validation::new().json::<Typed>(body.as_bytes());
    }

    #[test]
    fn any_document_is_accepted_or_rejected_with_issues(
        title in proptest::option::of(0..3u8), number in proptest::option::of("[a0-9]{0,4}"), size in proptest::option::of(-5i64..300),
    ) {
        let mut body = serde_json::Map::new();
        if let Some(title) = title { body.insert("title".into(), [json!("a"), json!(""), json!(1)][usize::from(title)].clone()); }
        if let Some(number) = number { body.insert("pageNumber".into(), json!(number)); }
        if let Some(size) = size { body.insert("pageSize".into(), json!(size)); }
        let body = serde_json::to_vec(&body).unwrap();
        match Validation::new().json::<Listing>(&body) {
            Ok(listing) => proptest::prop_assert!(listing.page.page_size >= 1),
            Err(error) => proptest::prop_assert!(!error.issues().is_empty()),
        }
    }

    #[test]
    fn valid_values_round_trip(title in "[a-z]{1,9}", number in 1u32.., size in 1u8..=100) {
        let body = json!({"title": title, "pageNumber": number, "pageSize": size}).to_string();
        let from_json: Listing = Validation::new().json(body.as_bytes()).unwrap();
        let from_query: Listing = Validation::new().query(&format!("title={title}&pageNumber={number}&pageSize={size}")).unwrap();
        for listing in [from_json, from_query] {
            proptest::prop_assert_eq!(&listing.title, &title);
            proptest::prop_assert_eq!((listing.page.page_number, listing.page.page_size), (number, size));
        }
    }
}
