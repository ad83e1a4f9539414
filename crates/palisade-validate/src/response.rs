use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use garde::Validate;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use palisade_core::{
    ApiError, Body, BytesBody, ErrorCode, ErrorContext, GrpcCode, HttpResponse, ReturnsSend,
};
use serde::de::DeserializeOwned;
use tower_layer::Layer;
use tower_service::Service;

use crate::{RuleContext, Validation, json};

pub(crate) const INVALID_RESPONSE: ErrorCode = ErrorCode::new(
    "INVALID_RESPONSE",
    StatusCode::INTERNAL_SERVER_ERROR,
    GrpcCode::Internal,
    "the response is not what was promised",
)
.about("The service broke its own schema, and checks its answers: in development.");

/// Returns a layer that checks responses during development: a response that is not a valid `T` becomes a 500 with its
/// issues, which are logged too. In release builds responses are not checked, unless configured.
///
/// Successful responses with JSON of a declared length of up to 1 MiB are checked. All others pass unchanged: streams,
/// responses to HEAD, and compressed responses.
///
/// ```
/// use garde::Validate;
/// use palisade_validate::debug_validate_response;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Item {
///     #[garde(length(chars, min = 1))]
///     name: String,
/// }
///
/// let in_development = debug_validate_response::<Item>();
/// let always_and_only_in_the_log = debug_validate_response::<Item>().also_in_release().only_log();
/// ```
pub fn debug_validate_response<T>() -> ValidateResponseLayer<T> {
    ValidateResponseLayer { is_on: cfg!(debug_assertions), refuses: true, expected: PhantomData }
}

/// A layer that checks responses. Made by [`debug_validate_response`].
pub struct ValidateResponseLayer<T> {
    is_on: bool,
    refuses: bool,
    expected: PhantomData<fn() -> T>,
}

impl<T> ValidateResponseLayer<T> {
    /// Checks in release builds as well.
    #[must_use]
    pub fn also_in_release(mut self) -> Self {
        self.is_on = true;
        self
    }

    /// Passes all responses unchanged, and only logs invalid ones.
    #[must_use]
    pub fn only_log(mut self) -> Self {
        self.refuses = false;
        self
    }
}

impl<T> Clone for ValidateResponseLayer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ValidateResponseLayer<T> {}

impl<T> fmt::Debug for ValidateResponseLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateResponseLayer")
            .field("is_on", &self.is_on)
            .field("refuses", &self.refuses)
            .finish_non_exhaustive()
    }
}

impl<S, T> Layer<S> for ValidateResponseLayer<T> {
    type Service = ValidateResponse<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        ValidateResponse { inner, settings: *self }
    }
}

/// A service whose responses are checked. Made by [`ValidateResponseLayer`].
#[derive(Debug)]
pub struct ValidateResponse<S, T> {
    inner: S,
    settings: ValidateResponseLayer<T>,
}

impl<S: Clone, T> Clone for ValidateResponse<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: self.settings }
    }
}

/// The longest response that is read.
const MAX_BYTES: u64 = 1024 * 1024;

impl<S, T, ReqB> Service<Request<ReqB>> for ValidateResponse<S, T>
where
    S: ReturnsSend<ReqB>,
    S::Response: HttpResponse<Body: BytesBody + Send + 'static>,
    T: DeserializeOwned + Validate + 'static,
    T::Context: Send + Sync + 'static,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let settings = self.settings;
        let has_body = request.method() != Method::HEAD;
        let context = ErrorContext::of_request(&request);
        let told = RuleContext::<T::Context>::from_extensions(request.extensions());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (head, body) = answer.await?.into_response().into_parts();
            let is_wanted = settings.is_on && has_body && head.status.is_success();
            let is_short =
                http_body::Body::size_hint(&body).exact().is_some_and(|bytes| bytes <= MAX_BYTES);
            if !(is_wanted && is_short && is_plain_json(&head.headers)) {
                return Ok(Response::from_parts(head, body));
            }
            let bytes = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    let error = ApiError::internal().with_source(error);
                    return Ok(context.render(error).map(Body::full));
                }
            };
            let checked = told.and_then(|told| Validation::new().json_with::<T>(&bytes, &told));
            match checked {
                Err(wrong) => {
                    tracing::error!(
                        issues = ?wrong.issues(),
                        "a response is not what its service promises: {}",
                        wrong.message(),
                    );
                    if !settings.refuses {
                        return Ok(Response::from_parts(head, Body::full(bytes)));
                    }
                    let error =
                        ApiError::from(INVALID_RESPONSE).with_issues(wrong.issues().to_vec());
                    Ok(context.render(error).map(Body::full))
                }
                Ok(_) => Ok(Response::from_parts(head, Body::full(bytes))),
            }
        })
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && headers.contains_key(header::CONTENT_TYPE)
        && json::check_media_type(headers).is_ok()
}
