use std::{error::Error, future::Future};

use axum::{
    Form, Json,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use garde::Validate;
use http::{Method, StatusCode};
use http_body_util::LengthLimitError;
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;

use super::Extractor;
#[cfg(feature = "schemars")]
use super::HasRules;
use crate::{
    RuleContext, Validation,
    json::{self, Judge},
    place::Findings,
    texts::Texts,
};

/// An extractor that [`Valid`](crate::Valid) reads from a whole request: `Json`, `Form`, `JsonOrForm`, `Multipart`,
/// `MultipartStream`, and tuples that end with one of them.
///
/// It cannot be implemented elsewhere.
pub trait FromBody: Extractor + Sized {
    /// Returns `Ok(None)` if issues were added to the findings.
    #[doc(hidden)]
    fn read(
        request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> impl Future<Output = Result<Option<Self>, ApiError>> + Send;
}

async fn bytes_of(request: Request) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        // The error of axum's own limit does not contain an `ApiError`.
        let known = known_in(&rejection).or_else(|| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            too_large.then(ApiError::payload_too_large)
        });
        known
            .unwrap_or_else(|| {
                ApiError::bad_request().with_message("the request body could not be read")
            })
            .with_source(rejection)
    })
}

/// Returns the error that an outer layer put into the body: it exceeded a limit, timed out, or does not match its content
/// coding. The innermost cause counts.
pub(super) fn known_in(error: &(dyn Error + 'static)) -> Option<ApiError> {
    let mut found = None;
    let mut cause = Some(error);
    while let Some(now) = cause {
        if let Some(error) = now.downcast_ref::<ApiError>() {
            found = Some(error.clone());
        } else if now.is::<LengthLimitError>() {
            found = Some(ApiError::payload_too_large());
        }
        cause = now.source();
    }
    found
}

async fn read_json<T>(
    request: Request,
    settings: &Validation,
    judge: Option<&Judge>,
    findings: &mut Findings,
) -> Result<Option<T>, ApiError>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    json::check_media_type(request.headers())?;
    let context = RuleContext::<T::Context>::from_extensions(request.extensions())?;
    let body = bytes_of(request).await?;
    json::read(&body, settings, judge, &*context, findings)
}

impl<T> FromBody for Json<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        Ok(read_json(request, settings, None, findings).await?.map(Self))
    }
}

/// A JSON body whose type has a schema: [`Valid`](crate::Valid) reports every mistake in its exact place, in unions and
/// flattened structs as well.
///
/// `T` derives `schemars::JsonSchema` beside `Deserialize` and `Validate`; without it the handler does not compile. The
/// schema is compiled at the first request; [`JsonSchema::for_type`](crate::JsonSchema::for_type) compiles it at start.
///
/// ```
/// use axum::{Router, routing::post};
/// use garde::Validate;
/// use palisade_validate::{SchemaJson, Valid};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema, Validate)]
/// #[serde(tag = "kind", rename_all = "camelCase")]
/// enum Payment {
///     Card {
///         #[garde(length(min = 4))]
///         number: String,
///     },
///     Invoice,
/// }
///
/// async fn pay(Valid(SchemaJson(payment)): Valid<SchemaJson<Payment>>) -> &'static str {
///     match payment {
///         Payment::Card { .. } => "by card",
///         Payment::Invoice => "by invoice",
///     }
/// }
///
/// let app: Router = Router::new().route("/payments", post(pay));
/// ```
#[cfg(feature = "schemars")]
#[derive(Clone, Copy, Debug)]
pub struct SchemaJson<T>(
    /// The value.
    pub T,
);

#[cfg(feature = "schemars")]
impl<T: DeserializeOwned + HasRules + schemars::JsonSchema> Extractor for SchemaJson<T> {}

#[cfg(feature = "schemars")]
impl<T> FromBody for SchemaJson<T>
where
    T: DeserializeOwned + schemars::JsonSchema + Validate + 'static,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let judge = crate::described::judge_of::<T>().map_err(|error| {
            let remedy = crate::described::unusable::<T>(&error);
            ApiError::report_misconfiguration(request.extensions(), remedy)
        })?;
        Ok(read_json(request, settings, Some(&judge), findings).await?.map(Self))
    }
}

pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn is_form(content_type: &str) -> bool {
    json::is_utf8(content_type, |essence| essence.eq_ignore_ascii_case(FORM))
}

impl<T> FromBody for Form<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let context = RuleContext::<T::Context>::from_extensions(request.extensions())?;
        // A form that is sent with GET is in the query, as for axum's own extractor.
        let form = if matches!(*request.method(), Method::GET | Method::HEAD) {
            Bytes::copy_from_slice(request.uri().query().unwrap_or_default().as_bytes())
        } else {
            json::check(request.headers(), FORM, is_form)?;
            bytes_of(request).await?
        };
        let texts = Texts::urlencoded(&form, IssueSource::Form)?;
        Ok(settings.texts(texts, &*context, findings).map(Self))
    }
}
