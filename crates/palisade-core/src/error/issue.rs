use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

/// One error in the input of a client.
///
/// ```
/// use palisade_core::{Issue, IssueSource};
///
/// let issue = Issue::new("items[0].price", "too_small", "must be at least 1")
///     .with_source(IssueSource::Body)
///     .with_pointer("/items/0/price")
///     .with_param("min", 1);
/// assert_eq!(serde_json::to_value(&issue).unwrap(), serde_json::json!({
///     "source": "body", "path": "items[0].price", "pointer": "/items/0/price",
///     "code": "too_small", "message": "must be at least 1", "params": {"min": 1},
/// }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Issue {
    /// The part of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IssueSource>,
    /// The location: field names joined by dots, list positions in brackets. Empty for the whole value.
    pub path: String,
    /// The location as a JSON pointer (RFC 6901). Unlike `path` it is unambiguous for names with dots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The machine code: a stable `snake_case` word.
    pub code: Cow<'static, str>,
    /// The message for people. It does not contain the client's input.
    pub message: Cow<'static, str>,
    /// The parameters of the rule, for messages that clients create: `{"min": 1}`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

impl Issue {
    /// An issue at `path`.
    pub fn new(
        path: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            source: None,
            path: path.into(),
            pointer: None,
            code: code.into(),
            message: message.into(),
            params: Map::new(),
        }
    }

    /// Sets the part of the request.
    #[must_use]
    pub fn with_source(mut self, source: IssueSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the JSON pointer.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Adds a parameter of the rule. It must not contain the client's value.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }
}

/// The part of a request that an [`Issue`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum IssueSource {
    /// A body, such as JSON or a protobuf message.
    Body,
    /// The query string.
    Query,
    /// The parameters of the path.
    Path,
    /// The header fields.
    Headers,
    /// A cookie.
    Cookie,
    /// A form.
    Form,
    /// A part of a multipart form.
    Part,
}

impl fmt::Display for IssueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "body",
            Self::Query => "query",
            Self::Path => "path",
            Self::Headers => "headers",
            Self::Cookie => "cookie",
            Self::Form => "form",
            Self::Part => "part",
        })
    }
}
