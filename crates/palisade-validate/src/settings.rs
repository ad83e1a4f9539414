use garde::Validate;
use http::{StatusCode, request};
use palisade_core::{ApiError, Decision, Issue, Policy, PolicyLayer};
use serde::de::DeserializeOwned;

use crate::{json, query};

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

    /// Reads a JSON body as `T` and applies its rules, where there is neither a layer nor an extractor for it.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR` with everything that is wrong.
    ///
    /// ```
    /// # use garde::Validate;
    /// # use palisade_validate::Validation;
    /// #[derive(serde::Deserialize, Validate)]
    /// struct Item {
    ///     #[garde(length(chars, min = 1))]
    ///     name: String,
    /// }
    ///
    /// let item: Item = Validation::new().json(br#"{"name":"lamp"}"#)?;
    /// assert_eq!(item.name, "lamp");
    /// # Ok::<_, palisade_core::ApiError>(())
    /// ```
    pub fn json<T>(&self, body: &[u8]) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        json::read(body, *self)
    }

    /// Reads a query string as `T` and applies its rules. Texts become what the type asks for: numbers, `true` and
    /// `false`, lists of repeated keys.
    ///
    /// # Errors
    ///
    /// 400 `VALIDATION_ERROR` with everything that is wrong.
    ///
    /// ```
    /// # use garde::Validate;
    /// # use palisade_validate::Validation;
    /// #[derive(serde::Deserialize, Validate)]
    /// struct Page {
    ///     #[garde(range(max = 100))]
    ///     limit: u32,
    /// }
    ///
    /// let page: Page = Validation::new().query("limit=20")?;
    /// assert_eq!(page.limit, 20);
    ///
    /// let error = Validation::new().query::<Page>("limit=1000").err().unwrap();
    /// assert_eq!((&*error.issues()[0].path, &*error.issues()[0].code), ("limit", "too_big"));
    /// # Ok::<_, palisade_core::ApiError>(())
    /// ```
    pub fn query<T>(&self, query: &str) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        query::read(query, *self)
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
