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

mod compile;
mod formats;
mod graph;
mod members;
mod node;
mod trail;
mod unevaluated;
mod union;
mod walk;
mod words;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, request};
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, ConfigError, Decision, Halt, IssueSource,
};
use serde_json::Value;

pub(crate) use self::compile::Origin;
use self::{
    formats::Formats,
    node::{Node, NodeId},
    walk::Walk,
};
use crate::{
    Validated, Validation, json,
    place::{Findings, Found, Place},
};

/// A compiled schema.
pub(crate) struct Judge {
    nodes: Vec<Node>,
    root: NodeId,
}

/// What counts as valid, beyond the schema.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// `62.0` is an integer.
    pub(crate) accepts_integral_floats: bool,
    /// An object of which the schema lists the fields has no others, unless the schema has keywords for them.
    pub(crate) denies_unknown_fields: bool,
    /// The type has names that the schema does not: serde's `alias`.
    pub(crate) may_have_aliases: bool,
}

/// What is wrong with a document.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    /// In the order of the schema. Empty: the document is valid.
    pub(crate) found: Vec<Found>,
    /// A part of the document was not looked at.
    pub(crate) truncated: bool,
    /// Objects in which a field is missing or unknown, each with the members that the schema does not know: they may be
    /// aliases. And values with objects that none of several branches accepts, for the same reason.
    pub(crate) doubts: Vec<(Place, Vec<String>)>,
}

impl Judge {
    /// Compiles a schema that refers to no other document.
    ///
    /// # Errors
    ///
    /// See [`JsonSchema::compile`].
    #[cfg_attr(not(feature = "schemars"), allow(dead_code, reason = "for the schemas of types"))]
    pub(crate) fn compile(schema: &Value, origin: Origin) -> Result<Self, ConfigError> {
        compile::compile(schema, &[], &Formats::default(), origin)
    }

    /// Judges a document. A valid document takes one walk without an allocation for what it does not need.
    pub(crate) fn judge(&self, document: &Value, manner: Manner) -> Judgement {
        let mut walk = Walk::new(self, manner, document);
        if walk.is_valid(document) {
            return Judgement { found: Vec::new(), truncated: false, doubts: Vec::new() };
        }
        walk.explain(document)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

/// A JSON Schema (2020-12), for what is described by data rather than by a type.
///
/// The schema is compiled once. Formats are checked, patterns are matched in linear time, and the work for a document is
/// bounded by its size whatever the schema is: a document that takes more than 100 steps for each of its values is
/// rejected. Issues look as those of types do. A value of a union (`oneOf`, `anyOf`) is judged by the branch that its type,
/// its tag (a required field with a constant) or the `discriminator` of OpenAPI selects. If nothing selects a branch,
/// there is one issue for the whole value, and the answer says that it is truncated.
///
/// `62.0` is not an integer, unless the settings
/// [accept it](Validation::accept_integral_floats): the same answer as for types.
///
/// ```
/// use palisade_validate::JsonSchema;
/// use serde_json::json;
///
/// let schema = JsonSchema::compile(&json!({
///     "type": "object",
///     "required": ["name"],
///     "properties": {"name": {"type": "string", "minLength": 1}},
/// }))?;
///
/// assert!(schema.check(&json!({"name": "lamp"})).is_ok());
/// let error = schema.check(&json!({"name": ""})).unwrap_err();
/// let issue = &error.issues()[0];
/// assert_eq!((&*issue.path, &*issue.code, &issue.params["min"]), ("name", "too_short", &1.into()));
///
/// let layer = schema.layer(64 * 1024); // bytes
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonSchema {
    judge: Arc<Judge>,
    settings: Validation,
}

impl JsonSchema {
    /// Compiles a schema that refers to no other document, with the built-in formats.
    ///
    /// # Errors
    ///
    /// The schema is not valid, is of another draft, is nested more than 128 levels deep, refers to another document, has
    /// an unknown `format`, or has a pattern with look-around, which cannot be matched in linear time.
    pub fn compile(schema: &Value) -> Result<Self, ConfigError> {
        Self::builder().build(schema)
    }

    /// Compiles the schema of a type, which [`schema_of`](crate::schema_of) returns.
    ///
    /// # Errors
    ///
    /// The schema cannot be compiled.
    #[cfg(feature = "schemars")]
    pub fn for_type<T: schemars::JsonSchema + 'static>() -> Result<Self, ConfigError> {
        let judge = crate::described::judge_of::<T>()?;
        Ok(Self { judge, settings: Validation::new() })
    }

    /// Returns a builder, for a schema that refers to other documents or has formats of its own.
    pub fn builder() -> JsonSchemaBuilder {
        JsonSchemaBuilder::default()
    }

    /// Answers with these settings. Which fields are unknown is the schema's decision.
    #[must_use]
    pub fn settings(mut self, settings: Validation) -> Self {
        self.settings = settings;
        self
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// 400 `VALIDATION_ERROR` with everything that is wrong.
    pub fn check(&self, value: &Value) -> Result<(), ApiError> {
        let manner = Manner {
            accepts_integral_floats: self.settings.accepts_integral_floats,
            ..Manner::default()
        };
        let judgement = self.judge.judge(value, manner);
        if judgement.found.is_empty() {
            return Ok(());
        }
        let mut findings = Findings { truncated: judgement.truncated, ..Findings::default() };
        findings.add(IssueSource::Body, judgement.found);
        Err(self.settings.refuse(findings))
    }

    /// Reads a JSON body and checks it.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR` with everything that is wrong.
    pub fn json(&self, body: &[u8]) -> Result<Value, ApiError> {
        let value = json::value(body, &self.settings)?;
        self.check(&value)?;
        Ok(value)
    }

    /// Checks the JSON bodies, of at most `limit` bytes, of the requests to a service. The value is in the request's
    /// extensions, as `Validated<serde_json::Value>`, and the handler still gets the bytes.
    pub fn layer(self, limit: usize) -> BodyPolicyLayer<Self> {
        BodyPolicyLayer::new(self, limit)
    }
}

/// Compiles a [`JsonSchema`] that refers to other documents or has formats of its own.
///
/// ```
/// use palisade_validate::JsonSchema;
/// use serde_json::json;
///
/// let schema = JsonSchema::builder()
///     .document("https://example.com/money.json", json!({"type": "string", "format": "amount"}))
///     .format("amount", |text| text.parse::<f64>().is_ok_and(f64::is_finite))
///     .build(&json!({"properties": {"price": {"$ref": "https://example.com/money.json"}}}))?;
///
/// assert!(schema.check(&json!({"price": "9.50"})).is_ok());
/// let error = schema.check(&json!({"price": "cheap"})).unwrap_err();
/// assert_eq!((&*error.issues()[0].code, &error.issues()[0].params["format"]), ("invalid_format", &"amount".into()));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct JsonSchemaBuilder {
    documents: Vec<(String, Value)>,
    formats: Formats,
}

impl JsonSchemaBuilder {
    /// Registers a document under its address, an absolute URI, for `$ref`. Nothing is ever fetched.
    ///
    /// The document may be a schema, or may contain schemas: a reference such as
    /// `https://example.com/openapi.json#/components/schemas/Pet` reaches those of an OpenAPI 3.1 document.
    #[must_use]
    pub fn document(mut self, uri: impl Into<String>, document: Value) -> Self {
        self.documents.push((uri.into(), document));
        self
    }

    /// Checks a `format` of texts. It takes precedence over a built-in format of the same name.
    #[must_use]
    pub fn format(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.formats.checks.push((name.into(), Arc::new(check)));
        self
    }

    /// Treats a `format` as a remark that is not checked. Otherwise an unknown format is an error of
    /// [`build`](Self::build).
    #[must_use]
    pub fn ignore_format(mut self, name: impl Into<String>) -> Self {
        self.formats.ignored.push(name.into());
        self
    }

    /// Compiles the schema.
    ///
    /// # Errors
    ///
    /// See [`JsonSchema::compile`]; a document counts as a part of the schema.
    pub fn build(&self, schema: &Value) -> Result<JsonSchema, ConfigError> {
        let judge = compile::compile(schema, &self.documents, &self.formats, Origin::Written)?;
        Ok(JsonSchema { judge: Arc::new(judge), settings: Validation::new() })
    }
}

impl fmt::Debug for JsonSchemaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let documents: Vec<_> = self.documents.iter().map(|(uri, _)| uri).collect();
        let formats: Vec<_> = self.formats.checks.iter().map(|(name, _)| name).collect();
        f.debug_struct("JsonSchemaBuilder")
            .field("documents", &documents)
            .field("formats", &formats)
            .finish_non_exhaustive()
    }
}

impl BodyPolicy for JsonSchema {
    type Grant = Option<Validated<Value>>;

    fn applies(&self, request: &request::Parts) -> Result<bool, Halt> {
        if request.method.is_safe() || request.method == Method::DELETE {
            return Ok(false);
        }
        json::check_media_type(&request.headers)?;
        Ok(true)
    }

    fn decide(&self, _: &request::Parts, body: &Bytes) -> Decision<Self::Grant> {
        self.json(body).map(|value| Some(Validated::new(value))).into()
    }

    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        if let Some(value) = grant.take() {
            request.extensions.insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    /// As `schemars` derives it for a struct with a flattened struct and a flattened enum.
    #[test]
    fn unknown_fields_are_those_that_no_schema_knows() {
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
    fn steps_grow_with_the_document_and_not_with_its_paths() {
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
                    walk.is_valid(&document);
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
