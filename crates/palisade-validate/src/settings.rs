use std::sync::Arc;

#[cfg(any(feature = "axum", feature = "tonic"))]
use http::Extensions;
use http::{StatusCode, request};
use palisade_core::{Allowed, ApiError, Decision, Issue, IssueView, Policy, PolicyLayer};

use crate::{Messages, examine::Mode, place::Findings};

/// Numbers without a fraction are integers below this: larger floats are not exact.
pub(crate) const MAX_EXACT: f64 = 9e15;

/// Settings of validation: what is accepted, and how the response to other input looks.
///
/// [`ValidateLayer`](crate::ValidateLayer) takes them directly. The extractors take them from the request's extensions, into
/// which [`layer`](Validation::layer) puts them.
///
/// ```
/// use garde::Validate;
/// use http::StatusCode;
/// use palisade_validate::{Messages, Validation};
///
/// #[derive(Debug, serde::Deserialize, Validate)]
/// struct Item {
///     #[garde(length(chars, min = 1))]
///     name: String,
///     #[garde(skip)]
///     amount: u8,
/// }
///
/// let settings = Validation::new()
///     .status(StatusCode::UNPROCESSABLE_ENTITY)
///     .deny_unknown_fields()
///     .accept_integral_floats()
///     .messages(Messages::new().field("name", "too_short", "Name is required"));
///
/// let item: Item = settings.json(br#"{"name":"lamp","amount":62.0}"#)?;
/// assert_eq!(item.amount, 62);
/// let error = settings.json::<Item>(br#"{"name":"","amount":1,"nmae":"typo"}"#).unwrap_err();
/// assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
/// assert_eq!(error.issues()[0].message, "Name is required");
/// assert_eq!((&*error.issues()[1].path, &*error.issues()[1].code), ("nmae", "unknown_field"));
///
/// let layer = settings.layer(); // for all extractors inside
/// # Ok::<_, palisade_core::ApiError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Validation {
    status: StatusCode,
    view: IssueView,
    refuses_unknown: bool,
    pub(crate) max_depth: usize,
    pub(crate) accepts_integral_floats: bool,
    pub(crate) allows_duplicate_keys: bool,
    max_examined: usize,
    reads_checkboxes: bool,
    shows_own_words: bool,
    messages: Option<Arc<Messages>>,
}

/// serde_json goes no deeper than 128 levels.
const DEEPEST: usize = 127;

impl Validation {
    /// 400 for input that breaks rules, with a list of issues; unknown fields are dropped; JSON may be 64 levels deep.
    pub fn new() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            view: IssueView::List,
            refuses_unknown: false,
            max_depth: 64,
            accepts_integral_floats: false,
            allows_duplicate_keys: false,
            max_examined: 256 * 1024,
            reads_checkboxes: false,
            shows_own_words: false,
            messages: None,
        }
    }

    /// Answers another status to input that breaks rules; 422 is the usual other choice. Malformed JSON stays 400.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Lays the issues out in another way.
    #[must_use]
    pub fn view(mut self, view: IssueView) -> Self {
        self.view = view;
        self
    }

    /// Rejects fields that a type does not know, in JSON, forms and query strings. Default: they are ignored. For one type
    /// alone, use `#[serde(deny_unknown_fields)]`.
    ///
    /// A type into which others are flattened (`#[serde(flatten)]`), and an enum whose tag is beside its fields, do not
    /// declare which fields they know: there, no field is unknown. JSON bodies are read twice.
    #[must_use]
    pub fn deny_unknown_fields(mut self) -> Self {
        self.refuses_unknown = true;
        self
    }

    /// Rejects JSON with more levels of objects and lists, as 400 `INVALID_JSON`. Default: 64. At most 127.
    #[must_use]
    pub fn max_depth(mut self, levels: usize) -> Self {
        self.max_depth = levels.min(DEEPEST);
        self
    }

    /// Accepts a number without a fraction, such as `62.0`, where an integer is expected: in types and in a JSON Schema.
    /// Default: such a number is rejected as `wrong_type`.
    #[must_use]
    pub fn accept_integral_floats(mut self) -> Self {
        self.accepts_integral_floats = true;
        self
    }

    /// Accepts JSON objects in which a name comes twice. The last value counts; serde still rejects a duplicate field of a
    /// struct. Default: 400 `INVALID_JSON`, because two readers of such a body can see different values.
    #[must_use]
    pub fn allow_duplicate_keys(mut self) -> Self {
        self.allows_duplicate_keys = true;
        self
    }

    /// Limits the size of the bodies, in bytes, of which every mistake is reported. A larger one is answered with its first
    /// mistake, in its exact place, and `truncated`. Default: 256 KiB.
    #[must_use]
    pub fn max_examined(mut self, bytes: usize) -> Self {
        self.max_examined = bytes;
        self
    }

    /// Reads `on` as true in queries and forms, as HTML checkboxes send it. A checkbox that is not checked is not sent, so
    /// its field needs `#[serde(default)]`. Default: `on` is rejected.
    #[must_use]
    pub fn read_checkboxes(mut self) -> Self {
        self.reads_checkboxes = true;
        self
    }

    /// Shows the messages of a type's own `Deserialize` and `TryFrom`, with the code `invalid`. Default: they are replaced,
    /// because they may repeat what the client sent or name types of the service.
    #[must_use]
    pub fn show_type_messages(mut self) -> Self {
        self.shows_own_words = true;
        self
    }

    /// Words the issues, in any language. Default: English.
    #[must_use]
    pub fn messages(mut self, messages: Messages) -> Self {
        self.messages = Some(Arc::new(messages));
        self
    }

    /// These settings for everything inside, as a tower layer.
    pub fn layer(self) -> PolicyLayer<Self> {
        PolicyLayer::new(self)
    }

    /// The value, or the error with all that was found.
    pub(crate) fn settle<T>(&self, value: Option<T>, findings: Findings) -> Result<T, ApiError> {
        match value {
            Some(value) if findings.issues.is_empty() => Ok(value),
            _ => Err(self.refuse(findings)),
        }
    }

    pub(crate) fn refuse(&self, findings: Findings) -> ApiError {
        let issues = self.worded(findings.issues);
        let error = ApiError::validation(issues).with_status(self.status);
        self.laid_out(error, findings.truncated)
    }

    /// Adds issues to an error of the body, which comes first.
    #[cfg(feature = "axum")]
    pub(crate) fn beside(&self, error: ApiError, findings: Findings) -> ApiError {
        if findings.issues.is_empty() {
            return error;
        }
        self.laid_out(error.with_issues(self.worded(findings.issues)), findings.truncated)
    }

    fn worded(&self, mut issues: Vec<Issue>) -> Vec<Issue> {
        if let Some(messages) = &self.messages {
            for issue in &mut issues {
                messages.apply(issue);
            }
        }
        issues
    }

    fn laid_out(&self, error: ApiError, is_truncated: bool) -> ApiError {
        let error = error.with_issue_view(self.view);
        if is_truncated { error.with_truncated_issues() } else { error }
    }

    /// The mode for a document of this size.
    pub(crate) fn json_mode(&self, size: usize) -> Mode {
        Mode {
            coerces_text: false,
            refuses_unknown: self.refuses_unknown,
            reads_checkboxes: self.reads_checkboxes,
            shows_own_words: self.shows_own_words,
            only_first: size > self.max_examined,
        }
    }

    /// Returns the settings in the request's extensions, or the default ones.
    #[cfg(any(feature = "axum", feature = "tonic"))]
    pub(crate) fn from_extensions(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }
}

impl Default for Validation {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Validation {
    type Grant = ();

    fn allowed((): &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(self.clone());
    }
}
