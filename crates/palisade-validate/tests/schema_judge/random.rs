//! Random schemas.

use super::*;

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
    fn verdicts_agree_with_the_jsonschema_crate(schema in any_schema(), definition in any_schema(), document in any_document()) {
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
