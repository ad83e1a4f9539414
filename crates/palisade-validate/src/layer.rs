use std::{fmt, marker::PhantomData, ops::Deref, sync::Arc};

use bytes::Bytes;
use garde::Validate;
use http::{Extensions, request};
use palisade_core::{BodyPolicy, BodyPolicyLayer, BodyPolicyService, Decision, Halt};
use serde::de::DeserializeOwned;
use tower_layer::Layer;

use crate::{
    RuleContext, Validation,
    json::{self, Judge},
    place::Findings,
};

/// Reads each JSON body as `T`, applies its rules, and puts the value into the request's extensions; the handler still gets
/// the bytes.
///
/// GET, HEAD, DELETE, OPTIONS and TRACE requests pass unchanged. A body over the limit (default: 1 MiB) is a 413, a body
/// that is not JSON a 415 or 400 `INVALID_JSON`, and a body that breaks rules a 400 `VALIDATION_ERROR`.
///
/// ```
/// use garde::Validate;
/// use http::StatusCode;
/// use palisade_validate::{ValidateLayer, Validation};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Item {
///     #[garde(length(chars, min = 1))]
///     name: String,
/// }
///
/// let layer = ValidateLayer::<Item>::new()
///     .limit(64 * 1024) // bytes
///     .settings(Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY));
/// ```
pub struct ValidateLayer<T> {
    limit: usize,
    policy: JsonOf<T>,
}

impl<T> ValidateLayer<T> {
    /// Returns a layer for JSON bodies of up to 1 MiB.
    pub fn new() -> Self {
        let policy = JsonOf { settings: Validation::new(), judge: None, expected: PhantomData };
        Self { limit: 1024 * 1024, policy }
    }

    /// Sets the size limit of bodies, in bytes. Default: 1 MiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Uses these settings.
    #[must_use]
    pub fn settings(mut self, settings: Validation) -> Self {
        self.policy.settings = settings;
        self
    }

    /// Judges bodies that `T` rejects against the schema of `T`, so that every mistake is reported in its exact place, in
    /// unions and flattened structs as well.
    ///
    /// # Errors
    ///
    /// The schema cannot be compiled.
    #[cfg(feature = "schemars")]
    pub fn by_schema(mut self) -> Result<Self, palisade_core::ConfigError>
    where
        T: schemars::JsonSchema + 'static,
    {
        self.policy.judge = Some(crate::described::judge_of::<T>()?);
        Ok(self)
    }
}

impl<T> Default for ValidateLayer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for ValidateLayer<T> {
    fn clone(&self) -> Self {
        Self { limit: self.limit, policy: self.policy.clone() }
    }
}

impl<T> fmt::Debug for ValidateLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateLayer")
            .field("limit", &self.limit)
            .field("settings", &self.policy.settings)
            .finish()
    }
}

impl<S, T> Layer<S> for ValidateLayer<T>
where
    T: DeserializeOwned + Validate + Send + Sync + 'static,
    T::Context: Send + Sync + 'static,
{
    type Service = BodyPolicyService<S, JsonOf<T>>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyPolicyLayer::new(self.policy.clone(), self.limit).layer(inner)
    }
}

/// The policy of [`ValidateLayer`].
#[doc(hidden)]
pub struct JsonOf<T> {
    settings: Validation,
    judge: Option<Arc<Judge>>,
    expected: PhantomData<fn() -> T>,
}

impl<T> Clone for JsonOf<T> {
    fn clone(&self) -> Self {
        let (settings, judge) = (self.settings.clone(), self.judge.clone());
        Self { settings, judge, expected: PhantomData }
    }
}

impl<T> fmt::Debug for JsonOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonOf").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<T> BodyPolicy for JsonOf<T>
where
    T: DeserializeOwned + Validate + Send + Sync + 'static,
    T::Context: Send + Sync + 'static,
{
    type Grant = Option<Validated<T>>;

    fn applies(&self, request: &request::Parts) -> Result<bool, Halt> {
        json::is_expected_in(request)
    }

    fn decide(&self, request: &request::Parts, body: &Bytes) -> Decision<Self::Grant> {
        let read = || {
            let context = RuleContext::<T::Context>::from_extensions(&request.extensions)?;
            let mut findings = Findings::default();
            let judge = self.judge.as_deref();
            let value = json::read::<T>(body, &self.settings, judge, &context, &mut findings)?;
            self.settings.settle(value, findings)
        };
        read().map(|value| Some(Validated::new(value))).into()
    }

    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        if let Some(value) = grant.take() {
            request.extensions.insert(value);
        }
    }

    fn name(&self) -> std::borrow::Cow<'static, str> {
        "Validate".into()
    }
}

/// A value that was read from the request and satisfies its rules. [`ValidateLayer`] puts it into the extensions.
pub struct Validated<T>(Arc<T>);

impl<T> Validated<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Send + Sync + 'static> Validated<T> {
    /// Returns the value, or `None` if no layer validated a `T` for this request.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

impl<T> Deref for Validated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Validated<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Validated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Validated").field(&self.0).finish()
    }
}
