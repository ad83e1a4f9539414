use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::request;
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, ConfigError, Decision, Halt, IssueSource,
};
use serde_json::Value;

use super::{Judge, Manner, Origin, compile, formats::Formats};
use crate::{Validated, Validation, json, place::Findings};

/// A JSON Schema (2020-12), for what is described by data rather than by a type.
///
/// The schema is compiled once. Formats are checked, patterns are matched in linear time, and the work for a document is
/// bounded by its size for each schema: a document that takes more than 100 steps for each of its values is
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
        json::is_expected_in(request)
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
