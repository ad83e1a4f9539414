//! Converts rejections of axum's extractors by their type.

use std::error::Error;

use axum::extract::{FromRequest, FromRequestParts, Request, rejection};
use http::{StatusCode, request};

use crate::{ApiError, ToApiError, Trail, error::chain, error_layer::short};

/// An extractor of axum whose rejections are [`ApiError`]s.
///
/// The reason is the message of the error if it concerns the client's input. A 500 does not contain it. The error of a layer
/// around the body keeps its code: `REQUEST_TIMEOUT`, `PAYLOAD_TOO_LARGE`. An outer [`ErrorLayer`](crate::ErrorLayer) logs the
/// reason.
///
/// axum's rejections also convert with `?` and with axum-extra's `WithRejection<E, ApiError>`, and the errors of `Multipart`
/// with the feature `multipart`. Your own extractor works if its rejection implements [`ToApiError`](crate::ToApiError).
///
/// ```
/// use axum::{Json, Router, body::Body, http::Request, routing::post};
/// use palisade_core::OrApiError;
/// use tower::ServiceExt;
///
/// async fn order(OrApiError(Json(amount)): OrApiError<Json<u64>>) -> String {
///     format!("{amount} are on their way")
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let app: Router = Router::new().route("/orders", post(order));
/// let request = Request::post("/orders").header("content-type", "application/json");
/// let response = app.oneshot(request.body(Body::from("seven")).unwrap()).await.unwrap();
/// let error = response.extensions().get::<palisade_core::ApiError>().unwrap();
/// assert_eq!((error.status().as_u16(), error.code()), (400, "INVALID_JSON"));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OrApiError<E>(
    /// The extracted value.
    pub E,
);

impl<S, E> FromRequest<S> for OrApiError<E>
where
    S: Send + Sync,
    E: FromRequest<S>,
    ApiError: From<E::Rejection>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let trail = Trail::from_extensions(request.extensions()).cloned();
        let extracted = E::from_request(request, state).await;
        extracted.map(Self).map_err(|rejection| noted(trail.as_ref(), rejection.into()))
    }
}

impl<S, E> FromRequestParts<S> for OrApiError<E>
where
    S: Send + Sync,
    E: FromRequestParts<S>,
    ApiError: From<E::Rejection>,
{
    type Rejection = ApiError;

    async fn from_request_parts(request: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let extracted = E::from_request_parts(request, state).await;
        let trail = Trail::from_extensions(&request.extensions);
        extracted.map(Self).map_err(|rejection| noted(trail, rejection.into()))
    }
}

/// Records the rejection on the trail of the request.
fn noted(trail: Option<&Trail>, error: ApiError) -> ApiError {
    if let Some(trail) = trail {
        trail.note_refusal("OrApiError", &error);
    }
    error
}

macro_rules! to_api_error {
    ($($rejection:ident)*) => {$(
        impl ToApiError for rejection::$rejection {
            fn to_api_error(&self) -> ApiError {
                rejected(self, self.status(), &self.body_text())
            }
        }
    )*};
}

to_api_error! {
    BytesRejection
    ExtensionRejection
    FormRejection
    MatchedPathRejection
    NestedPathRejection
    PathRejection
    QueryRejection
    RawFormRejection
    RawPathParamsRejection
    StringRejection
}

impl ToApiError for rejection::JsonRejection {
    fn to_api_error(&self) -> ApiError {
        match self {
            Self::JsonSyntaxError(_) => reason(ApiError::invalid_json(), &self.body_text()),
            _ => rejected(self, self.status(), &self.body_text()),
        }
    }
}

#[cfg(feature = "multipart")]
impl ToApiError for axum::extract::multipart::MultipartRejection {
    fn to_api_error(&self) -> ApiError {
        rejected(self, self.status(), &self.body_text())
    }
}

#[cfg(feature = "multipart")]
impl ToApiError for axum::extract::multipart::MultipartError {
    /// A form whose body broke off is a bad request, which axum reports as a 500.
    fn to_api_error(&self) -> ApiError {
        match rejected(self, self.status(), &self.body_text()) {
            error if error.status().is_server_error() && is_of_the_body(self) => {
                ApiError::bad_request().with_message("the request body could not be read")
            }
            error => error,
        }
    }
}

/// Returns true if the error was one of reading a body.
#[cfg(feature = "multipart")]
fn is_of_the_body(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<axum::Error>)
}

fn rejected(rejection: &(dyn Error + 'static), status: StatusCode, text: &str) -> ApiError {
    // The error of a layer around the body is more specific.
    if let Some(error) = chain(rejection).find_map(|error| error.downcast_ref::<ApiError>()) {
        return error.clone();
    }
    match ApiError::of_status(status) {
        Some(error) if status.is_client_error() => reason(error, text),
        _ => ApiError::internal(),
    }
}

fn reason(error: ApiError, text: &str) -> ApiError {
    error.with_message(short(text).to_owned())
}
