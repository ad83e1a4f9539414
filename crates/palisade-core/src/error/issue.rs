use std::borrow::Cow;

use serde::Serialize;

/// One thing that is wrong with what a client sent.
///
/// ```
/// use palisade_core::Issue;
///
/// let issue = Issue::new("items[0].price", "too_small", "must be at least 1");
/// assert_eq!(serde_json::to_value(&issue).unwrap(), serde_json::json!({
///     "path": "items[0].price", "code": "too_small", "message": "must be at least 1",
/// }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Issue {
    /// Where: field names joined by dots, list positions in brackets; empty for the whole value.
    pub path: String,
    /// What, for programs: a `snake_case` word that never changes.
    pub code: Cow<'static, str>,
    /// What, for people. It never repeats what the client sent.
    pub message: Cow<'static, str>,
}

impl Issue {
    /// An issue at `path`.
    pub fn new(
        path: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { path: path.into(), code: code.into(), message: message.into() }
    }
}
