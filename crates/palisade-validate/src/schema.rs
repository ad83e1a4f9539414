use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, request};
use jsonschema::{
    Draft, PatternOptions, Validator,
    error::{TypeKind, ValidationError, ValidationErrorKind as Kind},
    paths::LocationSegment,
};
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, ConfigError, Decision, Halt, IssueSource,
};
use serde_json::Value;

use crate::{
    Validated, Validation, issue_codes, json,
    place::{Findings, Found, MAX_ISSUES, Place, Step},
};

/// A JSON Schema (2020-12), for what is described by data rather than by a type.
///
/// It is compiled once. References to other documents, on the network or on disk, are an error when it is compiled;
/// patterns are matched in linear time; formats are checked. Issues look as those of types do.
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
#[derive(Clone)]
pub struct JsonSchema {
    validator: Arc<Validator>,
    settings: Validation,
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

impl JsonSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// What is no schema, is one of another draft, or refers to another document.
    pub fn compile(schema: &Value) -> Result<Self, ConfigError> {
        // What an older draft says with words of its own would be passed over, and never checked.
        if let Some(draft) = schema.get("$schema").and_then(Value::as_str)
            && draft.trim_end_matches('#') != DRAFT
        {
            let remedy = format!("only JSON Schema 2020-12 is understood, `{DRAFT}`");
            return Err(ConfigError::new("schema", draft.escape_debug(), remedy));
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|error| {
                let remedy = format!("{error} (at `{}`)", error.instance_path());
                ConfigError::without_value("schema", remedy)
            })?;
        Ok(Self { validator: Arc::new(validator), settings: Validation::new() })
    }

    /// Answers as these settings say. Which fields are known is the schema's to say.
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
        // It writes nothing down: an eighth less time for what is right (`cargo bench --bench validate`).
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let mut findings = Findings::default();
        for error in self.validator.iter_errors(value).take(MAX_ISSUES + 1) {
            findings.add(IssueSource::Body, found(&error));
        }
        Err(self.settings.refuse(findings))
    }

    /// Reads a JSON body and checks it.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR` with everything that is wrong.
    pub fn json(&self, body: &[u8]) -> Result<Value, ApiError> {
        let value = json::value(body, self.settings)?;
        self.check(&value)?;
        Ok(value)
    }

    /// Checks the JSON bodies, of at most `limit` bytes, of the requests to a service. The value is in the request's
    /// extensions, as `Validated<serde_json::Value>`, and the handler still gets the bytes.
    pub fn layer(self, limit: usize) -> BodyPolicyLayer<Self> {
        BodyPolicyLayer::new(self, limit)
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchema").field("settings", &self.settings).finish_non_exhaustive()
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

/// What an error of the schema is in our words, which never repeat the value, nor the pattern that it does not match.
fn found(error: &ValidationError<'_>) -> Vec<Found> {
    let steps = error.instance_path().segments().map(|segment| match segment {
        LocationSegment::Property(name) => Step::Name(name.to_string()),
        LocationSegment::Index(at) => Step::Item(at),
    });
    let place = Place(steps.collect());
    let bound = |code: &'static str, words: String, name: &str, limit: Value| {
        vec![Found::new(place.clone(), code, words).with_param(name, limit)]
    };
    let plain =
        |code: &'static str, words: &'static str| vec![Found::new(place.clone(), code, words)];
    let unknown = |names: &[String]| {
        names
            .iter()
            .take(MAX_ISSUES + 1)
            .map(|name| Found::new(place.name(name), issue_codes::UNKNOWN_FIELD, "is not known"))
            .collect()
    };
    match error.kind() {
        Kind::Required { property } => {
            let place = place.name(property.as_str().unwrap_or_default());
            vec![Found::new(place, issue_codes::MISSING, "is missing")]
        }
        Kind::Type { kind } => {
            // One type is told as the types of Rust tell theirs, and a choice of them as a list.
            let (words, expected): (_, Value) = match kind {
                TypeKind::Single(one) => (one.to_string(), one.to_string().into()),
                TypeKind::Multiple(many) => {
                    let types: Vec<_> = many.iter().map(|one| one.to_string()).collect();
                    (types.join(" or "), types.into())
                }
            };
            let words = format!("must be of type {words}");
            bound(issue_codes::WRONG_TYPE, words, "expected", expected)
        }
        Kind::MinLength { limit } => bound(
            issue_codes::TOO_SHORT,
            format!("must have a length of at least {limit}"),
            "min",
            (*limit).into(),
        ),
        Kind::MaxLength { limit } => bound(
            issue_codes::TOO_LONG,
            format!("must have a length of at most {limit}"),
            "max",
            (*limit).into(),
        ),
        Kind::MinItems { limit } => bound(
            issue_codes::TOO_SHORT,
            format!("must have at least {limit} items"),
            "min",
            (*limit).into(),
        ),
        Kind::MaxItems { limit } => bound(
            issue_codes::TOO_LONG,
            format!("must have at most {limit} items"),
            "max",
            (*limit).into(),
        ),
        Kind::AdditionalItems { limit } => bound(
            issue_codes::TOO_LONG,
            format!("must have at most {limit} items"),
            "max",
            (*limit).into(),
        ),
        Kind::MinProperties { limit } => bound(
            issue_codes::TOO_SHORT,
            format!("must have at least {limit} fields"),
            "min",
            (*limit).into(),
        ),
        Kind::MaxProperties { limit } => bound(
            issue_codes::TOO_LONG,
            format!("must have at most {limit} fields"),
            "max",
            (*limit).into(),
        ),
        Kind::Minimum { limit } => {
            bound(issue_codes::TOO_SMALL, format!("must be at least {limit}"), "min", limit.clone())
        }
        Kind::Maximum { limit } => {
            bound(issue_codes::TOO_BIG, format!("must be at most {limit}"), "max", limit.clone())
        }
        Kind::ExclusiveMinimum { limit } => bound(
            issue_codes::TOO_SMALL,
            format!("must be more than {limit}"),
            "above",
            limit.clone(),
        ),
        Kind::ExclusiveMaximum { limit } => bound(
            issue_codes::TOO_BIG,
            format!("must be less than {limit}"),
            "below",
            limit.clone(),
        ),
        Kind::MultipleOf { multiple_of } => bound(
            issue_codes::NOT_MULTIPLE_OF,
            format!("must be a multiple of {multiple_of}"),
            "of",
            (*multiple_of).into(),
        ),
        Kind::Enum { options } => bound(
            issue_codes::INVALID_OPTION,
            "must be one of the values that are allowed".to_owned(),
            "options",
            (**options).clone(),
        ),
        Kind::Constant { expected_value } => bound(
            issue_codes::INVALID_OPTION,
            "must be the value that is allowed".to_owned(),
            "options",
            vec![(**expected_value).clone()].into(),
        ),
        Kind::Format { format } => {
            let code = match format.as_str() {
                "email" | "idn-email" => issue_codes::INVALID_EMAIL,
                "uri" | "iri" | "uri-reference" | "iri-reference" => issue_codes::INVALID_URL,
                "ipv4" | "ipv6" => issue_codes::INVALID_IP,
                _ => issue_codes::INVALID_FORMAT,
            };
            bound(code, format!("must be in the format {format}"), "format", format.as_str().into())
        }
        Kind::Pattern { .. } => {
            plain(issue_codes::INVALID_FORMAT, "does not have the expected format")
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unknown(unexpected)
        }
        Kind::UnevaluatedItems { .. } => {
            plain(issue_codes::TOO_LONG, "has more items than are known")
        }
        Kind::UniqueItems => plain(issue_codes::NOT_UNIQUE, "must not have the same item twice"),
        Kind::Contains => plain(issue_codes::INVALID, "does not contain what it must"),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            plain(issue_codes::INVALID_OPTION, "has none of the forms that are allowed")
        }
        Kind::OneOfMultipleValid { .. } => {
            plain(issue_codes::INVALID_OPTION, "has more than one of the forms that are allowed")
        }
        Kind::PropertyNames { .. } => {
            plain(issue_codes::INVALID_KEY, "has a name that is not allowed")
        }
        _ => plain(issue_codes::INVALID, "is not a valid value"),
    }
}
