//! The error responses of a stack in an OpenAPI document.
//!
//! aide and utoipa describe handlers. They do not know the layers around them, which answer 401, 413 or 429 before a handler
//! runs. [`StackDescription`] adds those responses, with their codes, bodies and headers, and the security scheme, to the
//! JSON of a document.

mod error_schema;

use std::collections::BTreeMap;

use http::StatusCode;
use palisade_core::{ApiError, ConfigError, ErrorCode, ErrorFormat};
use serde_json::{Map, Value, json};

use self::error_schema::error_schema;

/// Describes the stack in front of the handlers, in the order in which it was built, and adds its responses to an OpenAPI
/// document (3.0 or 3.1).
///
/// ```
/// use http::StatusCode;
/// use palisade::openapi::StackDescription;
/// use serde_json::json;
///
/// // The JSON of aide's `OpenApi`, or of utoipa's.
/// let mut document = json!({
///     "openapi": "3.1.0",
///     "info": {"title": "Items", "version": "1"},
///     "paths": {"/items": {"post": {"requestBody": {"content": {}}, "responses": {"201": {"description": "created"}}}}},
/// });
/// StackDescription::new()
///     .rate_limit(["ratelimit", "ratelimit-policy"])
///     .auth("token", json!({"type": "http", "scheme": "bearer"}))
///     .body_limit()
///     .validate(StatusCode::BAD_REQUEST)
///     .describe(&mut document)?;
///
/// let responses = &document["paths"]["/items"]["post"]["responses"];
/// assert!(responses["401"]["headers"]["WWW-Authenticate"].is_object());
/// assert!(responses["429"]["headers"]["Retry-After"].is_object());
/// assert!(responses["201"]["headers"]["ratelimit"].is_object());
/// assert_eq!(document["security"], json!([{"token": []}]));
/// # Ok::<_, palisade::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StackDescription {
    format: ErrorFormat,
    answers: Vec<Answer>,
    headers: Vec<String>,
    schemes: Vec<(String, Value)>,
    public_paths: Vec<String>,
}

/// Returns an error of Palisade by its code, for [`StackDescription::answer`]. The codes are in
/// [`catalogue`](crate::catalogue).
///
/// # Errors
///
/// No error has this code.
///
/// ```
/// let code = palisade::openapi::known("NOT_FOUND")?;
/// assert_eq!(code.status, http::StatusCode::NOT_FOUND);
/// # Ok::<_, palisade::ConfigError>(())
/// ```
pub fn known(code: &str) -> Result<ErrorCode, ConfigError> {
    let entry = crate::catalogue().find(|entry| entry.code.code == code);
    entry.map(|entry| entry.code).ok_or_else(|| {
        ConfigError::new("code", code.escape_debug(), "must be a code of `palisade::catalogue()`")
    })
}

/// An error response, and the operations that have it.
#[derive(Clone, Debug)]
struct Answer {
    code: ErrorCode,
    status: StatusCode,
    operations: Operations,
    headers: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operations {
    All,
    WithBody,
    /// With a body or parameters.
    WithInput,
    Secured,
}

impl StackDescription {
    /// Describes a stack with nothing but an [`ErrorLayer`](crate::ErrorLayer) in its usual format: a handler that panics is
    /// a 500.
    pub fn new() -> Self {
        let description = Self {
            format: ErrorFormat::Envelope,
            answers: Vec::new(),
            headers: Vec::new(),
            schemes: Vec::new(),
            public_paths: Vec::new(),
        };
        description.with("INTERNAL", Operations::All, &[])
    }

    /// Describes the bodies of errors in this format. Default: the envelope. The body of a custom format is not described.
    #[must_use]
    pub fn format(mut self, format: ErrorFormat) -> Self {
        self.format = format;
        self
    }

    /// Adds request ids: `X-Request-Id` on each response.
    #[must_use]
    pub fn request_ids(self) -> Self {
        self.header("X-Request-Id")
    }

    /// Adds a rate limit: 429 with `Retry-After`, and these headers on each response, such as `ratelimit` and
    /// `ratelimit-policy`.
    #[must_use]
    pub fn rate_limit<H: Into<String>>(mut self, headers: impl IntoIterator<Item = H>) -> Self {
        self.headers.extend(headers.into_iter().map(Into::into));
        self.with("RATE_LIMITED", Operations::All, &["Retry-After"])
    }

    /// Adds a way to authenticate: 401 with `WWW-Authenticate`, and a "Security Scheme Object" under this name. Two of them
    /// are alternatives. Operations with a `security` of their own keep it.
    #[must_use]
    pub fn auth(mut self, name: impl Into<String>, scheme: Value) -> Self {
        self.schemes.push((name.into(), scheme));
        self.with("UNAUTHENTICATED", Operations::Secured, &["WWW-Authenticate"])
    }

    /// Names a path that is outside of the authentication, such as `/health`.
    #[must_use]
    pub fn public(mut self, path: impl Into<String>) -> Self {
        self.public_paths.push(path.into());
        self
    }

    /// Adds an authorization rule or a role: 403 on secured operations.
    #[must_use]
    pub fn rule(self) -> Self {
        self.with("FORBIDDEN", Operations::Secured, &[])
    }

    /// Adds a body limit: 413, and 400 for a body that ends early, on operations with a body.
    #[must_use]
    pub fn body_limit(self) -> Self {
        self.with("PAYLOAD_TOO_LARGE", Operations::WithBody, &[]).with(
            "BAD_REQUEST",
            Operations::WithBody,
            &[],
        )
    }

    /// Adds a deadline: 408 if the client is slow, 504 if the handler is.
    #[must_use]
    pub fn timeout(self) -> Self {
        self.with("REQUEST_TIMEOUT", Operations::WithBody, &[]).with(
            "DEADLINE_EXCEEDED",
            Operations::All,
            &[],
        )
    }

    /// Adds validation with [`Valid`](crate::validate::Valid): this status for input that breaks rules
    /// ([`Validation::status`](crate::validate::Validation::status)), 400 for a body that is not JSON, 415 for another
    /// media type.
    #[must_use]
    pub fn validate(self, status: StatusCode) -> Self {
        let mut described = self
            .with("VALIDATION_ERROR", Operations::WithInput, &[])
            .with("INVALID_JSON", Operations::WithBody, &[])
            .with("BAD_REQUEST", Operations::WithInput, &[])
            .with("PAYLOAD_TOO_LARGE", Operations::WithBody, &[])
            .with("UNSUPPORTED_MEDIA_TYPE", Operations::WithBody, &["Accept"]);
        for answer in &mut described.answers {
            if answer.code.code == "VALIDATION_ERROR" {
                answer.status = status;
            }
        }
        described
    }

    /// Adds an error of yours, or of a policy that has no method here, to each operation.
    #[must_use]
    pub fn answer(mut self, code: ErrorCode) -> Self {
        let (status, operations) = (code.status, Operations::All);
        self.answers.push(Answer { code, status, operations, headers: &[] });
        self
    }

    /// Adds a header to each response, such as those of `SecurityHeaders`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.headers.push(name.into());
        self
    }

    fn with(
        mut self,
        code: &str,
        operations: Operations,
        headers: &'static [&'static str],
    ) -> Self {
        let known = ApiError::KINDS.iter().find(|known| known.code == code);
        let is_new = |code: &ErrorCode| {
            let has = |answer: &Answer| answer.code == *code && answer.operations == operations;
            !self.answers.iter().any(has)
        };
        if let Some(code) = known.filter(|code| is_new(code)) {
            self.answers.push(Answer { code: *code, status: code.status, operations, headers });
        }
        self
    }

    /// Adds the responses, their schemas and the security schemes to a document. A response that the document has already
    /// keeps its description, and gets the other bodies and headers beside its own.
    ///
    /// # Errors
    ///
    /// The value is not an OpenAPI document: `openapi` is not 3.0 or 3.1, or `paths` is missing.
    pub fn describe(&self, document: &mut Value) -> Result<(), ConfigError> {
        let is_known = |version: &str| version.starts_with("3.0") || version.starts_with("3.1");
        if !document["openapi"].as_str().is_some_and(is_known) || !document["paths"].is_object() {
            let remedy = "must be an OpenAPI document, version 3.0 or 3.1, with `paths`";
            return Err(ConfigError::without_value("document", remedy));
        }
        if let Some((name, schema)) = error_schema(&self.format) {
            set(document, &["components", "schemas", name], schema);
        }
        for (name, scheme) in &self.schemes {
            set(document, &["components", "securitySchemes", name], scheme.clone());
        }
        if !self.schemes.is_empty() && document.get("security").is_none() {
            document["security"] =
                self.schemes.iter().map(|(name, _)| json!({ name: [] })).collect();
        }
        let is_secured = is_required(document.get("security"));
        let paths = document["paths"].as_object_mut();
        for (path, item) in paths.into_iter().flatten() {
            let is_public = self.public_paths.contains(path);
            let has_parameters = has_any(item.get("parameters"));
            let Some(item) = item.as_object_mut() else { continue };
            for (method, operation) in item {
                if METHODS.contains(&&**method)
                    && let Some(operation) = operation.as_object_mut()
                {
                    if is_public {
                        operation.entry("security").or_insert_with(|| json!([]));
                    }
                    self.describe_operation(operation, is_secured, has_parameters);
                }
            }
        }
        Ok(())
    }

    fn describe_operation(
        &self,
        operation: &mut Map<String, Value>,
        is_secured: bool,
        has_parameters: bool,
    ) {
        let is_secured = operation.get("security").map_or(is_secured, |own| is_required(Some(own)));
        let has_body = operation.contains_key("requestBody");
        let has_input = has_body || has_parameters || has_any(operation.get("parameters"));
        let applies = |answer: &&Answer| match answer.operations {
            Operations::All => true,
            Operations::WithBody => has_body,
            Operations::WithInput => has_input,
            Operations::Secured => is_secured,
        };
        let mut answers: BTreeMap<StatusCode, Vec<&Answer>> = BTreeMap::new();
        for answer in self.answers.iter().filter(applies) {
            answers.entry(answer.status).or_default().push(answer);
        }
        let responses = operation.entry("responses").or_insert_with(|| json!({}));
        let Some(responses) = responses.as_object_mut() else { return };
        for (status, answers) in answers {
            let response = responses.entry(status.as_str()).or_insert_with(|| json!({}));
            if response.get("$ref").is_some() {
                continue;
            }
            set(response, &["description"], description(&answers).into());
            for header in answers.iter().flat_map(|answer| answer.headers) {
                set(response, &["headers", header], text_header());
            }
            self.add_body(response, &answers);
        }
        for response in responses.values_mut() {
            // A response that is defined elsewhere is not of this operation alone.
            let is_own = response.get("$ref").is_none();
            for header in self.headers.iter().filter(|_| is_own) {
                set(response, &["headers", header], text_header());
            }
        }
    }

    /// Adds the body of the errors, beside a body that the response has already.
    fn add_body(&self, response: &mut Value, answers: &[&Answer]) {
        let Some((name, _)) = error_schema(&self.format) else { return };
        let mut codes: Vec<_> = answers.iter().map(|answer| answer.code.code).collect();
        codes.sort_unstable();
        codes.dedup();
        // Each schema has a type, because utoipa reads no others.
        let object =
            |name: &str, schema: Value| json!({"type": "object", "properties": {name: schema}});
        let code = object("code", json!({"type": "string", "enum": codes}));
        let code = match self.format {
            ErrorFormat::Envelope => object("error", code),
            _ => code,
        };
        let mut schema = json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}, code]});
        let media_type = match self.format {
            ErrorFormat::Problem => "application/problem+json",
            _ => "application/json",
        };
        let before =
            response.pointer_mut(&format!("/content/{}/schema", media_type.replace('/', "~1")));
        if let Some(before) = before {
            schema = json!({"anyOf": [before.take(), schema]});
        }
        set(response, &["content", media_type, "schema"], schema);
    }
}

impl Default for StackDescription {
    fn default() -> Self {
        Self::new()
    }
}

const METHODS: [&str; 8] = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];

fn description(answers: &[&Answer]) -> String {
    let line = |answer: &&Answer| format!("`{}`: {}", answer.code.code, answer.code.message);
    let mut lines: Vec<_> = answers.iter().map(line).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join("; ")
}

fn text_header() -> Value {
    json!({"schema": {"type": "string"}})
}

/// Returns true if a request has to satisfy a scheme. An empty alternative makes the others optional.
fn is_required(security: Option<&Value>) -> bool {
    let schemes = security.and_then(Value::as_array);
    schemes.is_some_and(|all| !all.is_empty() && all.iter().all(|one| *one != json!({})))
}

fn has_any(parameters: Option<&Value>) -> bool {
    parameters.and_then(Value::as_array).is_some_and(|all| !all.is_empty())
}

/// Sets a value, unless the document has one there, or has something else than objects on the way.
fn set(value: &mut Value, path: &[&str], new: Value) {
    let mut place = value;
    for name in path {
        if place.is_null() {
            *place = json!({});
        }
        let Some(object) = place.as_object_mut() else { return };
        place = object.entry(*name).or_insert(Value::Null);
    }
    if place.is_null() {
        *place = new;
    }
}

#[cfg(test)]
mod tests;
