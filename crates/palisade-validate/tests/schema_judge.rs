//! The judge of documents: the same verdict as the library, bounded work, issues at exact places.

#![cfg(feature = "json-schema")]

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

/// What `schemars` derives from enums in the four representations of serde.
fn enums() -> Value {
    json!({
        "$defs": {
            "Inner": {"type": "object", "properties": {"street": {"type": "string", "minLength": 1}}, "required": ["street"]},
            "Internal": {"oneOf": [
                {"type": "object", "properties": {"kind": {"type": "string", "const": "Item"}, "amount": {"type": "integer", "format": "uint32", "minimum": 0}}, "required": ["kind", "amount"]},
                {"type": "object", "properties": {"kind": {"type": "string", "const": "Place"}}, "required": ["kind"], "$ref": "#/$defs/Inner"},
                {"type": "object", "properties": {"kind": {"type": "string", "const": "None"}}, "required": ["kind"]},
            ]},
            "Adjacent": {"oneOf": [
                {"type": "object", "properties": {"t": {"type": "string", "const": "A"}, "c": {"$ref": "#/$defs/Inner"}}, "required": ["t", "c"]},
                {"type": "object", "properties": {"t": {"type": "string", "const": "B"}, "c": {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{"type": "integer"}, {"type": "string"}]}}, "required": ["t", "c"]},
            ]},
            "External": {"oneOf": [
                {"type": "string", "enum": ["C", "D"]},
                {"type": "object", "properties": {"A": {"$ref": "#/$defs/Inner"}}, "additionalProperties": false, "required": ["A"]},
                {"type": "object", "properties": {"B": {"type": "integer"}}, "additionalProperties": false, "required": ["B"]},
            ]},
            "Untagged": {"anyOf": [
                {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
                {"$ref": "#/$defs/Inner"},
                {"type": "string"},
            ]},
        },
        "type": "object",
        "properties": {
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Internal"}},
            "data": {"$ref": "#/$defs/Adjacent"},
            "shape": {"anyOf": [{"$ref": "#/$defs/External"}, {"type": "null"}]},
            "any": {"$ref": "#/$defs/Untagged"},
            "home": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
        },
    })
}

#[test]
fn tagged_unions_report_the_issues_of_their_branch() {
    let lines = json!({"lines": [{"kind": "Item", "amount": "x"}, {"kind": "Place", "street": ""}, {"kind": "Item"}]});
    assert_eq!(
        issues(&enums(), &lines),
        ["lines[0].amount wrong_type", "lines[1].street too_short", "lines[2].amount missing"]
    );
    assert_eq!(issues(&enums(), &json!({"data": {"t": "A", "c": {}}})), ["data.c.street missing"]);
    assert_eq!(
        issues(&enums(), &json!({"data": {"t": "B", "c": [1, 2]}})),
        ["data.c[1] wrong_type"]
    );
    assert_eq!(
        issues(&enums(), &json!({"shape": {"A": {"street": 1}}})),
        ["shape.A.street wrong_type"]
    );
    assert_eq!(
        issues(&enums(), &json!({"shape": {"A": {"street": "x"}, "B": 1}})),
        ["shape.B unknown_field"]
    );
    assert_eq!(issues(&enums(), &json!({"home": {}})), ["home.street missing"]);
    for valid in [
        json!({"lines": [{"kind": "None"}], "data": {"t": "B", "c": [1, "x"]}, "shape": null}),
        json!({"shape": "C", "any": "x", "home": null}),
        json!({"shape": {"B": 1}, "any": {"x": 1}}),
    ] {
        assert_eq!(issues(&enums(), &valid), Vec::<String>::new());
    }
}

#[test]
fn unknown_tag_is_an_issue_of_the_tag() {
    let tag = |document: Value| issues(&enums(), &document);
    assert_eq!(tag(json!({"lines": [{"kind": "Itme"}]})), ["lines[0].kind invalid_option"]);
    // The other fields belong to no known branch, so they are not looked at.
    assert_eq!(
        tag(json!({"lines": [{"kind": "Itme", "amount": "x"}]})),
        ["lines[0].kind invalid_option", "…"]
    );
    assert_eq!(tag(json!({"lines": [{"kind": 1}]})), ["lines[0].kind wrong_type"]);
    assert_eq!(tag(json!({"lines": [{}]})), ["lines[0].kind missing"]);
    assert_eq!(tag(json!({"lines": ["Item"]})), ["lines[0] wrong_type"]);
    assert_eq!(tag(json!({"shape": "Z"})), ["shape invalid_option"]);
    assert_eq!(tag(json!({"shape": {"Z": 1}})), ["shape invalid_option", "…"]);

    let error = compile(&enums()).check(&json!({"shape": "Z"})).unwrap_err();
    assert_eq!(error.issues()[0].params["options"], json!(["C", "D"]));
    let error = compile(&enums()).check(&json!({"lines": [{"kind": "Z"}]})).unwrap_err();
    assert_eq!(error.issues()[0].params["options"], json!(["Item", "Place", "None"]));
}

#[test]
fn undecided_union_has_one_issue_and_says_so() {
    assert_eq!(issues(&enums(), &json!({"any": {"x": "1"}})), ["any invalid_option", "…"]);
    assert_eq!(issues(&enums(), &json!({"any": 1})), ["any wrong_type"]);
    let scalars =
        json!({"anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "pattern": "^a"}]});
    assert_eq!(issues(&scalars, &json!("b")), [" invalid_option"]);
    let both = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(issues(&both, &json!({"a": 1, "b": 1})), [" invalid_option", "…"]);
}

#[test]
fn flattened_enum_is_judged_beside_the_fields() {
    let schema = json!({
        "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"],
        "oneOf": enums()["$defs"]["Internal"]["oneOf"], "$defs": enums()["$defs"],
        "unevaluatedProperties": false,
    });
    assert_eq!(
        issues(&schema, &json!({"id": 1, "kind": "Place", "street": "x"})),
        Vec::<String>::new()
    );
    assert_eq!(
        issues(&schema, &json!({"kind": "Place", "street": 1, "more": 1})),
        ["id missing", "street wrong_type", "more unknown_field"]
    );
}

#[test]
fn openapi_discriminator_selects_the_branch() {
    let schema = json!({
        "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
        "discriminator": {"propertyName": "petType", "mapping": {"cat": "#/components/schemas/Cat"}},
        "components": {"schemas": {
            "Cat": {"type": "object", "required": ["petType", "name"], "properties": {"name": {"type": "string"}}},
            "Dog": {"type": "object", "required": ["petType", "bark"], "properties": {"bark": {"type": "string"}}},
        }},
    });
    assert_eq!(issues(&schema, &json!({"petType": "cat", "name": 1})), ["name wrong_type"]);
    assert_eq!(issues(&schema, &json!({"petType": "Dog"})), ["bark missing"]);
    assert_eq!(
        issues(&schema, &json!({"petType": "Cat", "name": "x"})),
        ["petType invalid_option", "…"]
    );
    assert_eq!(issues(&schema, &json!({"petType": "cat", "name": "x"})), Vec::<String>::new());
}

#[test]
fn issues_are_at_the_member_that_is_wrong() {
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
fn the_same_issue_is_listed_once() {
    let schema = json!({"allOf": [{"required": ["a"]}, {"required": ["a"]}], "required": ["a"]});
    assert_eq!(issues(&schema, &json!({})), ["a missing"]);
}

#[test]
fn formats_have_a_code_a_parameter_and_words() {
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
fn unknown_format_does_not_build() {
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
fn patterns_with_look_around_get_a_sentence() {
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
fn integral_floats_are_accepted_by_a_setting() {
    let schema = compile(&json!({"type": ["integer", "null"]}));
    let lenient = schema.clone().settings(Validation::new().accept_integral_floats());
    assert!(schema.json(b"62.0").is_err() && lenient.json(b"62.0").is_ok());
    assert!(lenient.json(b"62.5").is_err());
    // An integer beyond 64 bits, which is a float for serde_json.
    assert!(schema.json(b"123456789012345678901234567890").is_ok());
    assert!(compile(&json!({"type": "number"})).json(b"62.0").is_ok());
}

#[test]
fn duplicate_keys_are_allowed_by_a_setting() {
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
fn circles_without_a_step_into_the_value_do_not_build() {
    for circle in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#"}, true]}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}),
    ] {
        assert!(remedy(&circle).contains("leads back to itself"), "{circle}");
    }
}

/// Each level is judged by two branches, and each of them judges the next: 2^60 paths.
#[test]
fn recursive_unions_are_judged_in_linear_work() {
    let branch = |word: &str| json!({"properties": {"next": {"$ref": "#"}, "end": {"const": word}}, "minProperties": 1});
    for keyword in ["anyOf", "oneOf"] {
        let schema = compile(&json!({keyword: [branch("a"), branch("b"), {"not": branch("c")}]}));
        for end in ["a", "x"] {
            let document = (0..60).fold(json!({"end": end}), |inner, _| json!({"next": inner}));
            // Without the memory for verdicts this test does not end.
            let _ = schema.check(&document);
        }
    }
    let nested = json!({
        "properties": {"a": {"$ref": "#"}},
        "anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["x"]}, {"not": {"properties": {"a": {"$ref": "#"}}, "required": ["y"]}}],
        "unevaluatedProperties": false,
    });
    let document = (0..60).fold(json!({"y": 1}), |inner, _| json!({"a": inner}));
    assert!(compile(&nested).check(&document).is_err());
}

#[test]
fn intricate_schemas_end_with_truncated() {
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

/// Schemas whose references are recursive, with unions in unions.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({"$ref": "#/$defs/a/properties/n"})),
        prop_oneof![Just("object"), Just("array"), Just("string"), Just("integer"), Just("null")]
            .prop_map(|kind| json!({"type": kind})),
        (0..3_u8).prop_map(|min| json!({"minLength": min, "minimum": min, "minItems": min})),
        prop_oneof![Just("a"), Just("b")].prop_map(|tag| json!({"const": tag})),
        Just(json!({"enum": ["a", 1, null]})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"pattern": "^a"})),
        Just(json!({"required": ["t"]})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = || prop_oneof![Just("a"), Just("n"), Just("t")];
        let two = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            two().prop_map(|all| json!({"allOf": all})),
            two().prop_map(|any| json!({"anyOf": any})),
            two().prop_map(|one| json!({"oneOf": one})),
            inner.clone().prop_map(|it| json!({"not": it})),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            (name(), inner.clone()).prop_map(|(name, it)| json!({"properties": {name: it}})),
            (name(), inner.clone(), any::<bool>()).prop_map(|(name, it, more)| json!({
                "properties": {name: it, "n": {"$ref": "#"}}, "additionalProperties": more,
            })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"oneOf": [
                {"type": "object", "properties": {"t": {"const": "a"}, "n": a}, "required": ["t"]},
                {"type": "object", "properties": {"t": {"const": "b"}, "n": b}, "required": ["t"]},
            ]})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"oneOf": [
                {"type": "object", "properties": {"a": a}, "required": ["a"], "additionalProperties": false},
                {"type": "object", "properties": {"n": b}, "required": ["n"], "additionalProperties": false},
                {"enum": ["a", "b"]},
            ]})),
            (two(), inner.clone()).prop_map(|(any, rest)| json!({"anyOf": any, "unevaluatedProperties": rest})),
            (two(), inner.clone()).prop_map(|(all, rest)| json!({"allOf": all, "unevaluatedItems": rest})),
            (inner.clone(), 0..3_u8).prop_map(|(it, min)| json!({"contains": it, "minContains": min})),
            (inner.clone(), inner.clone()).prop_map(|(first, rest)| json!({"prefixItems": [first], "items": rest})),
            inner.clone().prop_map(|it| json!({"patternProperties": {"^[an]": it}})),
            inner.clone().prop_map(|it| json!({"propertyNames": it})),
            inner.clone().prop_map(|it| json!({"dependentSchemas": {"t": it}})),
            inner.clone().prop_map(|it| json!({"items": {"$ref": "#"}, "properties": {"n": it}})),
        ]
    })
}

fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!(-3.5)),
        Just(json!("a")),
        Just(json!("b")),
        Just(json!("")),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        let name = prop_oneof![Just("a"), Just("n"), Just("t"), Just("x")].prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn verdicts_are_those_of_the_library(schema in any_schema(), definition in any_schema(), document in any_document()) {
        let mut schema = match schema {
            Value::Object(keywords) => keywords,
            other => json!({"allOf": [other]}).as_object().unwrap().clone(),
        };
        schema.insert("$defs".to_owned(), json!({"a": {"properties": {"n": definition}}}));
        let schema = Value::Object(schema);
        // The library does not say which circles never end.
        let Ok(judge) = JsonSchema::compile(&schema) else { return Ok(()) };
        let expected = jsonschema::draft202012::new(&schema).unwrap().is_valid(&document);
        let verdict = judge.check(&document);
        prop_assert_eq!(verdict.is_ok(), expected, "{} {:?}", schema, verdict);
        if let Err(error) = verdict {
            prop_assert!(!error.issues().is_empty());
            for issue in error.issues() {
                let pointer = issue.pointer.as_deref().unwrap();
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                let exists = document.pointer(pointer).is_some();
                let is_missing = document.pointer(parent).is_some_and(Value::is_object);
                prop_assert!(exists || issue.code == "missing" && is_missing, "{} {:?}", schema, issue);
            }
        }
    }
}
