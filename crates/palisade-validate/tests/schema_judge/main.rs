//! The judge of documents: the same verdict as the library, bounded work, issues at exact places.

#![cfg(feature = "json-schema")]

mod random;
mod unions;

use palisade_validate::{JsonSchema, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};

fn compile(schema: &Value) -> JsonSchema {
    JsonSchema::compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Path and code of each issue, then `…` if the list is not complete.
fn issues(schema: &Value, document: &Value) -> Vec<String> {
    let Err(error) = compile(schema).check(document) else { return Vec::new() };
    let one = |issue: &palisade_core::Issue| format!("{} {}", issue.path, issue.code);
    let mut issues: Vec<_> = error.issues().iter().map(one).collect();
    issues.extend(error.issues_are_truncated().then(|| "…".to_owned()));
    issues
}

fn remedy(schema: &Value) -> String {
    JsonSchema::compile(schema).expect_err("an error").to_string()
}

#[test]
fn issues_are_reported_at_the_invalid_member() {
    let at = |schema: Value, document: Value| issues(&schema, &document);
    assert_eq!(
        at(json!({"propertyNames": {"maxLength": 1}}), json!({"a": 1, "bc": 2})),
        ["bc invalid_key"]
    );
    assert_eq!(
        at(
            json!({"patternProperties": {"^[0-9]+$": {"type": "integer"}}, "additionalProperties": false}),
            json!({"1": "x", "a": 1})
        ),
        ["1 wrong_type", "a invalid_key"]
    );
    assert_eq!(
        at(
            json!({"allOf": [{"properties": {"a": {"type": "integer"}}}], "unevaluatedProperties": {"type": "string"}}),
            json!({"a": 1, "b": 2})
        ),
        ["b wrong_type"]
    );
    assert_eq!(
        at(json!({"prefixItems": [true], "unevaluatedItems": {"type": "string"}}), json!([1, 2])),
        ["[1] wrong_type"]
    );
    assert_eq!(at(json!({"prefixItems": [true], "items": false}), json!([1, 2])), [" too_long"]);
    assert_eq!(at(json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1})), ["b missing"]);
    assert_eq!(at(json!({"properties": {"a": false}}), json!({"a": 1})), ["a unknown_field"]);
    assert_eq!(
        at(json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}}), json!({"a": 1})),
        ["b missing"]
    );
}

#[test]
fn identical_issues_are_listed_once() {
    let schema = json!({"allOf": [{"required": ["a"]}, {"required": ["a"]}], "required": ["a"]});
    assert_eq!(issues(&schema, &json!({})), ["a missing"]);
}

#[test]
fn formats_have_a_code_a_parameter_and_a_message() {
    for (format, good, bad, code, words) in [
        ("uuid", "00000000-0000-0000-0000-000000000000", "x", "invalid_format", "must be a UUID"),
        (
            "date-time",
            "2024-12-31T23:59:59Z",
            "2024-12-31",
            "invalid_format",
            "must be a date and time such as 2024-12-31T23:59:59Z",
        ),
        ("ip", "::1", "1.2.3", "invalid_ip", "must be an IP address"),
        ("uri", "https://example.com", "example", "invalid_url", "must be a URL"),
        ("idn-hostname", "bücher.example", "-a-.example", "invalid_format", "must be a host name"),
        ("idn-email", "jörg@bücher.example", "x", "invalid_email", "must be an email address"),
    ] {
        let schema = compile(&json!({"format": format}));
        assert!(schema.check(&json!(good)).is_ok(), "{format}");
        let error = schema.check(&json!(bad)).unwrap_err();
        let issue = &error.issues()[0];
        assert_eq!(
            (&*issue.code, &*issue.message, &issue.params["format"]),
            (code, words, &json!(format))
        );
    }
    let numbers = compile(&json!({"type": "integer", "format": "uint32", "minimum": 0}));
    let error = numbers.check(&json!(4_294_967_296_u64)).unwrap_err();
    assert_eq!(
        (&*error.issues()[0].code, &error.issues()[0].params["max"]),
        ("too_big", &json!(u32::MAX))
    );
}

#[test]
fn unknown_format_is_a_config_error() {
    let schema = json!({"properties": {"a": {"format": "iban"}}});
    assert!(remedy(&schema).contains("iban") && remedy(&schema).contains("ignore_format"));
    let ignored = JsonSchema::builder().ignore_format("iban").build(&schema).unwrap();
    assert!(ignored.check(&json!({"a": "x"})).is_ok());
    let checked =
        JsonSchema::builder().format("iban", |text| text.len() > 9).build(&schema).unwrap();
    assert!(checked.check(&json!({"a": "x"})).is_err());
    assert!(compile(&json!({"format": "password"})).check(&json!("x")).is_ok());
}

#[test]
fn unsupported_regex_features_are_explained() {
    for pattern in ["^(?=a)", "(?!b)a", "(?<=a)b", r"(a)\1"] {
        assert!(remedy(&json!({"pattern": pattern})).contains("linear time"), "{pattern}");
        assert!(remedy(&json!({"patternProperties": {pattern: true}})).contains("linear time"));
    }
    assert!(compile(&json!({"pattern": r"^\(\?=\\1$"})).check(&json!(r"(?=\1")).is_ok());
    assert!(!remedy(&json!({"pattern": "("})).contains("linear time"));
}

#[test]
fn several_documents_refer_to_each_other() {
    let schema = JsonSchema::builder()
        .document("https://example.com/a.json", json!({"$defs": {"n": {"$ref": "b.json"}}}))
        .document("https://example.com/b.json", json!({"type": "integer"}))
        .build(&json!({"items": {"$ref": "https://example.com/a.json#/$defs/n"}}))
        .unwrap();
    let error = schema.check(&json!([1, "x"])).unwrap_err();
    assert_eq!(error.issues()[0].path, "[1]");
    let unknown = JsonSchema::builder()
        .document("https://example.com/a.json", json!({"$ref": "c.json"}))
        .build(&json!({"$ref": "https://example.com/a.json"}));
    assert!(unknown.unwrap_err().to_string().contains("c.json"));
}

#[test]
fn integral_floats_are_accepted_if_enabled() {
    let schema = compile(&json!({"type": ["integer", "null"]}));
    let lenient = schema.clone().settings(Validation::new().accept_integral_floats());
    assert!(schema.json(b"62.0").is_err() && lenient.json(b"62.0").is_ok());
    assert!(lenient.json(b"62.5").is_err());
    // An integer beyond 64 bits, which is a float for serde_json.
    assert!(schema.json(b"123456789012345678901234567890").is_ok());
    assert!(compile(&json!({"type": "number"})).json(b"62.0").is_ok());
}

#[test]
fn duplicate_keys_are_accepted_if_enabled() {
    let schema = compile(&json!({"properties": {"a": {"type": "integer"}}}));
    let body = br#"{"a":"x","a":1}"#;
    assert_eq!(schema.json(body).unwrap_err().code(), "INVALID_JSON");
    let lenient = schema.settings(Validation::new().allow_duplicate_keys());
    assert_eq!(lenient.json(body).unwrap(), json!({"a": 1}));
}

#[test]
fn deep_schemas_are_errors_and_deep_documents_are_rejected() {
    // Without `json!`, which goes through the whole value for each level.
    let nested = |levels: usize, key: &str| {
        let outer = |inner| Value::Object([(key.to_owned(), inner)].into_iter().collect());
        (0..levels).fold(json!({}), |inner, _| outer(inner))
    };
    for deep in [nested(4_000, "not"), nested(129, "items"), nested(4_000, "unknown")] {
        assert!(remedy(&deep).contains("levels"));
        // The drop of a value is recursive, and takes more stack than a thread of a test has.
        std::mem::forget(deep);
    }
    let chain: serde_json::Map<_, _> = (0..4_000)
        .map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)})))
        .chain([("d4000".to_owned(), json!(true))])
        .collect();
    assert!(remedy(&json!({"$ref": "#/$defs/d0", "$defs": chain})).contains("for the same value"));

    let schema =
        compile(&json!({"allOf": [{"anyOf": [{"additionalProperties": {"$ref": "#"}}, false]}]}));
    assert!(schema.check(&nested(126, "a")).is_ok());
    let deep = nested(4_000, "a");
    let error = schema.check(&deep).unwrap_err();
    std::mem::forget(deep);
    assert!(error.issues_are_truncated() && error.issues()[0].path.is_empty());
}

#[test]
fn reference_cycles_that_consume_nothing_are_config_errors() {
    for circle in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#"}, true]}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}),
    ] {
        assert!(remedy(&circle).contains("leads back to itself"), "{circle}");
    }
}

#[test]
fn exhausted_work_budget_marks_issues_as_truncated() {
    let branches: Vec<_> =
        (0..300).map(|at| json!({"type": "integer", "minimum": 1_000 + at})).collect();
    let schema = compile(&json!({"items": {"not": {"anyOf": branches}}}));
    let error = schema.check(&json!(vec![1; 10_000])).unwrap_err();
    assert!(error.issues_are_truncated(), "{:?}", error.issues());
}

#[test]
fn unique_items_compares_by_value() {
    let schema = compile(&json!({"uniqueItems": true}));
    for (document, is_unique) in [
        (json!([1, 1.0]), false),
        (json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), false),
        (json!([0, -0.0]), false),
        (json!([1, "1", true, null, [1], {"1": 1}]), true),
        (json!([1.5, 15, -1.5]), true),
    ] {
        assert_eq!(schema.check(&document).is_ok(), is_unique, "{document}");
    }
}
