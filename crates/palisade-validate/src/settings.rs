use http::{StatusCode, request};
use palisade_core::{ApiError, Decision, Issue, Policy, PolicyLayer};

/// How failed validation is answered.
///
/// [`ValidateLayer`](crate::ValidateLayer) takes it directly. The extractors take it from the request, where it leaves
/// itself as a policy:
///
/// ```
/// use http::StatusCode;
/// use palisade_validate::Validation;
///
/// // for all extractors inside: 422 instead of 400
/// let layer = Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY).layer();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validation {
    status: StatusCode,
}

impl Validation {
    /// 400 for input that breaks rules.
    pub fn new() -> Self {
        Self { status: StatusCode::BAD_REQUEST }
    }

    /// Answers another status to input that breaks rules; 422 is the usual other choice. Malformed JSON stays 400.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// These settings for everything inside, as a tower layer.
    pub fn layer(self) -> PolicyLayer<Self> {
        PolicyLayer::new(self)
    }

    pub(crate) fn refuse(self, issues: Vec<Issue>) -> ApiError {
        ApiError::validation(issues).with_status(self.status)
    }
}

impl Default for Validation {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Validation {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(*self);
    }
}
