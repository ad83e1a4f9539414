//! JSON Schemas (2020-12): the judge of documents, and the public [`JsonSchema`].
//!
//! [`Judge`] is for this crate. It judges the schemas of users and those that `schemars` derives from their types:
//!
//! ```text
//! let judge = Judge::compile(&schema, Origin::Derived)?;         // once, at start
//! let judgement = judge.judge(&document, manner);                // when serde or garde has rejected the document
//! judgement.found      // issues at exact places, each with a code, typed parameters and words
//! judgement.truncated  // true if a part of the document was not looked at
//! ```
//!
//! An empty list with `truncated: false` means that the document satisfies the schema. The work is bounded for each schema
//! and document (see [`walk`]); a union is judged by the branch that its tag selects (see [`union`]), and otherwise by
//! one issue at its place.
//!
//! A derived schema is not the type: garde's `length` counts bytes and `minLength` counts characters, and a rule such as
//! `prefix` is not in the schema at all. So the judge says *where* a document that serde has rejected is wrong; rules of a
//! value that serde has read are garde's.

mod branches;
mod compile;
mod formats;
mod graph;
mod ids;
mod json_schema;
mod judge;
mod node;
mod types;
mod union;
mod walk;
mod words;

pub use self::json_schema::{JsonSchema, JsonSchemaBuilder};
pub(crate) use self::{
    compile::Origin,
    judge::{Judge, Judgement, Manner},
};

#[cfg(test)]
mod tests {
    use palisade_core::IssueSource;
    use serde_json::{Value, json};

    use super::{walk::Walk, *};
    use crate::place::Found;

    fn found(judge: &Judge, document: &Value, manner: Manner) -> Vec<String> {
        let judgement = judge.judge(document, manner);
        assert!(!judgement.truncated);
        let one = |found: Found| {
            let issue = found.into_issue(IssueSource::Body);
            format!("{} {}", issue.path, issue.code)
        };
        judgement.found.into_iter().map(one).collect()
    }

    #[test]
    fn derived_schemas_are_as_lenient_as_their_types() {
        let schema = json!({"uniqueItems": true, "items": {"format": "of-a-crate"}});
        let judge = Judge::compile(&schema, Origin::Derived).unwrap();
        assert_eq!(found(&judge, &json!(["a", "a"]), Manner::default()), Vec::<String>::new());
        assert!(Judge::compile(&schema, Origin::Written).is_err());
    }

    #[test]
    fn multiple_of_parameter_keeps_its_number_type() {
        let multiple = |of: Value| {
            let judge = Judge::compile(&json!({"multipleOf": of}), Origin::Written).unwrap();
            judge.judge(&json!(0.7), Manner::default()).found[0].params["of"].clone()
        };
        assert_eq!((multiple(json!(2)), multiple(json!(0.5))), (json!(2), json!(0.5)));
    }

    /// As `schemars` derives it for a struct with a flattened struct and a flattened enum.
    #[test]
    fn unknown_fields_are_those_absent_from_every_subschema() {
        let schema = json!({
            "type": "object", "properties": {"id": true}, "required": ["id"],
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"$ref": "#/$defs/Inner"}}, "required": ["kind"]},
            ],
            "$defs": {
                "Inner": {"type": "object", "properties": {"z": true}, "allOf": [{"properties": {"w": true}}]},
                "Map": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Inner"}},
            },
        });
        let judge = Judge::compile(&schema, Origin::Derived).unwrap();
        let strict = Manner { denies_unknown_fields: true, ..Manner::default() };
        let check = |document: Value| {
            assert_eq!(found(&judge, &document, Manner::default()).len(), 0, "{document}");
            found(&judge, &document, strict)
        };
        assert_eq!(check(json!({"id": 1, "kind": "a", "x": 1})), Vec::<String>::new());
        assert_eq!(check(json!({"id": 1, "kind": "a", "y": 1})), ["y unknown_field"]);
        assert_eq!(
            check(json!({"id": 1, "kind": "b", "y": {"z": 1, "w": 1, "v": 1}, "x": 1})),
            ["y.v unknown_field", "x unknown_field"]
        );
        let wrong = json!({"id": 1, "kind": "a", "x": "1", "y": 1});
        assert_eq!(found(&judge, &wrong, strict), ["x wrong_type", "y unknown_field"]);
        let map = json!({"$ref": "#/$defs/Map", "$defs": schema["$defs"]});
        let map = Judge::compile(&map, Origin::Derived).unwrap();
        assert_eq!(found(&map, &json!({"any": {"z": 1, "x": 1}}), strict), ["any.x unknown_field"]);
    }

    /// Each level of the document is judged by two branches, and each of them judges the next level.
    #[test]
    fn work_grows_with_the_document_and_not_with_its_paths() {
        let branch =
            |word: &str| json!({"properties": {"next": {"$ref": "#"}, "end": {"const": word}}});
        let recursive = [
            json!({"anyOf": [branch("a"), branch("b")]}),
            json!({"oneOf": [branch("a"), branch("b"), {"not": branch("c")}]}),
            json!({"if": branch("a"), "then": branch("b"), "else": {"not": branch("c")}}),
            json!({"allOf": [branch("a"), branch("a"), {"allOf": [branch("b")]}]}),
            json!({"anyOf": [branch("a"), branch("b")], "unevaluatedProperties": false}),
            json!({"properties": {"next": {"$ref": "#"}}, "patternProperties": {"n": {"$ref": "#"}}}),
        ];
        for schema in recursive {
            let judge = Judge::compile(&schema, Origin::Written).unwrap();
            for denies_unknown_fields in [false, true] {
                let manner = Manner { denies_unknown_fields, ..Manner::default() };
                let steps = |depth: usize, end: &str| {
                    let document =
                        (0..depth).fold(json!({"end": end}), |inner, _| json!({"next": inner}));
                    let mut walk = Walk::new(&judge, manner, &document);
                    let all = walk.steps_left();
                    walk.accepts(&document);
                    let verdict = all - walk.steps_left();
                    let judgement = walk.explain(&document);
                    assert!(judgement.found.len() < 64);
                    verdict
                };
                for end in ["a", "x"] {
                    let (short, long) = (steps(20, end), steps(60, end));
                    assert!(long < 4 * short, "{schema}: {short} steps, then {long}");
                }
            }
        }
    }
}
