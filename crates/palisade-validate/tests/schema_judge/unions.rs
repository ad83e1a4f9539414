//! Unions and enums.

use super::*;

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
fn undecided_union_has_one_issue_and_is_marked_truncated() {
    assert_eq!(issues(&enums(), &json!({"any": {"x": "1"}})), ["any invalid_option", "…"]);
    assert_eq!(issues(&enums(), &json!({"any": 1})), ["any wrong_type"]);
    let scalars =
        json!({"anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "pattern": "^a"}]});
    assert_eq!(issues(&scalars, &json!("b")), [" invalid_option"]);
    let both = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(issues(&both, &json!({"a": 1, "b": 1})), [" invalid_option", "…"]);
}

#[test]
fn flattened_enum_is_validated_with_the_other_fields() {
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

/// Each level is judged by two branches, and each of them judges the next: 2^60 paths.
#[test]
fn recursive_unions_are_validated_in_linear_work() {
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
