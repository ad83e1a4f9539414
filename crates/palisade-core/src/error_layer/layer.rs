use std::{error::Error, sync::Arc};

#[cfg(feature = "axum")]
use http::StatusCode;
use tower_layer::Layer;

use super::{
    ErrorService,
    config::{Config, Map},
};
#[cfg(feature = "axum")]
use super::{FrameworkReason, framework::FrameworkErrors};
use crate::{ApiError, ConfigError, ErrorFormat, ToApiError};

/// Renders all errors of inner layers and services in one format. Place it outside everything that can fail.
///
/// - Rejections, and [`ApiError`]s of handlers (also as a `tonic::Status`, feature `tonic`), are rendered with the request id
///   of the request's extensions, or of the response's `X-Request-Id` if an inner layer sets ids.
/// - An `Err(_)` of the inner service becomes a response: your own types by [`map`](ErrorLayer::map) and
///   [`map_type`](ErrorLayer::map_type), then the errors in the table below, and all others a 500. The error of the resulting
///   service is `Infallible`.
/// - A panic, also of `poll_ready`, becomes a 500, and the connection stays open. Its message is logged and not sent. A panic
///   of a streaming body aborts the response.
/// - Each 5xx is logged with its cause and the request id, at level ERROR, target `palisade::errors`; a 4xx that has a cause
///   at level INFO.
///
/// | an `Err(_)` that is, or has among its sources | becomes |
/// | --- | --- |
/// | [`ApiError`] | itself |
/// | `http_body_util::LengthLimitError` | 413 `PAYLOAD_TOO_LARGE` |
/// | tower's `Elapsed` (feature `tower`) | 504 `DEADLINE_EXCEEDED` |
/// | tower's `Overloaded`: a limit of rate or concurrency under `load_shed` (feature `tower`) | 503 `UNAVAILABLE` |
/// | `tonic::Status` (feature `tonic`) | the kind of its code, with its details and metadata |
/// | `hyper::Error` of a call to another server (feature `hyper`) | 503 `UNAVAILABLE` |
/// | `hyper::Error` of an aborted request body, alone or in an `axum::Error` (feature `hyper`) | 400 `BAD_REQUEST` |
/// | `std::io::Error`, timed out | 504 `DEADLINE_EXCEEDED` |
/// | `std::io::Error`, not connected or not reached | 503 `UNAVAILABLE` |
/// | anything else | 500 `INTERNAL` |
///
/// # Unchanged responses
///
/// Responses of the service are not changed, also with an error status: only responses with an [`ApiError`] in their extensions
/// are rendered, unless they contain [`LeaveAsIs`](crate::LeaveAsIs) too. [`framework_errors`](ErrorLayer::framework_errors)
/// enables an exception for errors of axum.
///
/// ```
/// use palisade_core::{ApiError, ErrorFormat, ErrorLayer};
///
/// #[derive(Debug)]
/// struct OutOfStock;
/// # impl std::fmt::Display for OutOfStock { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("out of stock") } }
/// # impl std::error::Error for OutOfStock {}
///
/// let errors = ErrorLayer::new()
///     .format(ErrorFormat::Problem)
///     .map(|_: &OutOfStock| ApiError::conflict().with_code("OUT_OF_STOCK").with_message("come back tomorrow"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ErrorLayer {
    pub(super) config: Arc<Config>,
}

impl ErrorLayer {
    /// Creates a layer with the envelope format and the table of known errors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the format of errors. Default: [`ErrorFormat::Envelope`].
    #[must_use]
    pub fn format(mut self, format: ErrorFormat) -> Self {
        self.config_mut().format = format;
        self
    }

    /// Lets each client choose by its `Accept` (RFC 9110, section 12.5.1) among problem details, JSON (the envelope, or
    /// flat if that is [`format`](Self::format)) and plain text.
    ///
    /// The configured format is used if it has the highest weight, or if `Accept` is missing or malformed. A client that
    /// accepts none of them gets plain text. All errors have `Vary: Accept`.
    ///
    /// ```
    /// use http::{Request, Response, header};
    /// use palisade_core::{ApiError, ErrorFormat, ErrorLayer};
    /// # use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let errors = ErrorLayer::new().format(ErrorFormat::Problem).negotiated();
    /// let service = errors.layer(service_fn(|_: Request<String>| async { Err::<Response<String>, _>(ApiError::not_found()) }));
    ///
    /// let request = Request::get("/").header(header::ACCEPT, "text/plain").body(String::new()).unwrap();
    /// let response = service.oneshot(request).await.unwrap();
    /// assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    /// assert_eq!(response.headers()[header::VARY], "Accept");
    /// # });
    /// ```
    #[must_use]
    pub fn negotiated(mut self) -> Self {
        self.config_mut().negotiated = true;
        self
    }

    /// Like [`negotiated`](Self::negotiated), and also offers a page of HTML, for people who open a URL of the API in a
    /// browser.
    #[must_use]
    pub fn negotiated_with_html(mut self) -> Self {
        let config = self.config_mut();
        (config.negotiated, config.html) = (true, true);
        self
    }

    /// Sets the type of the problems with a code (RFC 9457, section 3.1.1): an absolute URI, preferably of their documentation,
    /// and their title. Default: `about:blank`, or the type of draft-ietf-httpapi-ratelimit-headers-10 if a quota is used up.
    ///
    /// # Errors
    ///
    /// If `uri` is not an absolute URI, or `title` is empty.
    pub fn problem_type(mut self, code: &str, uri: &str, title: &str) -> Result<Self, ConfigError> {
        self.config_mut().types.add(code, uri, title)?;
        Ok(self)
    }

    /// Converts errors of type `E`, anywhere in the chain of sources. The first matching map applies, before the well-known
    /// errors.
    #[must_use]
    pub fn map<E, F>(mut self, map: F) -> Self
    where
        E: Error + 'static,
        F: Fn(&E) -> ApiError + Send + Sync + 'static,
    {
        let map: Arc<Map> = Arc::new(move |error| error.downcast_ref::<E>().map(&map));
        self.config_mut().maps.push(map);
        self
    }

    /// Converts errors of a type that implements [`ToApiError`].
    #[must_use]
    pub fn map_type<E: ToApiError + 'static>(self) -> Self {
        self.map(E::to_api_error)
    }

    /// Renders the errors of axum in the configured format: a path without a route (404), a method that a route does not have
    /// (405), rejections of extractors (400, 413, 415, 422, and 500 if a handler extracts something that the request does not
    /// have), and tower-http's body limit (413).
    ///
    /// The reason, which is axum's text, is logged. It is also the message of the error if it concerns the client's input: with
    /// 400, 413, 415 and 422, but not with 500. [`framework_errors_by`](Self::framework_errors_by) chooses this for each
    /// status.
    ///
    /// A response is treated as an error of axum if it contains no [`ApiError`] and no [`LeaveAsIs`](crate::LeaveAsIs), does
    /// not come from a policy, is not compressed, and is
    ///
    /// - a 404 without a body and without a content type, to a request for which no route was found; or
    /// - a 405 without a body and without a content type, with an `Allow`, or from a route (where axum adds `Allow` further
    ///   out); or
    /// - a text with one of the other statuses, of a known length of at most 16 KiB, sent as exactly
    ///   `text/plain; charset=utf-8`.
    ///
    /// A handler's own `(StatusCode::BAD_REQUEST, "reason")` matches too: it keeps its status, and the text becomes its
    /// message. Add `LeaveAsIs` to the extensions of a response that must not change.
    ///
    /// Layers of a `Router` (`Router::layer`) can see whether a route was found, and do not change a bare 404 of a handler. A
    /// layer around the whole router cannot distinguish the two.
    ///
    /// A form whose body is aborted remains a 500, because axum's `MultipartError` has this status and does not tell the cause.
    /// A handler that returns `Result<_, ApiError>` and uses `?` rejects it with 400 (feature `multipart`).
    ///
    /// [`OrApiError`](crate::OrApiError) around an extractor converts rejections by their type instead, with a separate code
    /// for each kind, such as `INVALID_JSON`.
    ///
    /// ```
    /// use axum::{Json, Router, routing::post};
    /// use palisade_core::ErrorLayer;
    ///
    /// let app: Router = Router::new()
    ///     .route("/orders", post(|Json(order): Json<u64>| async move { order.to_string() }))
    ///     .layer(ErrorLayer::new().framework_errors());
    /// ```
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn framework_errors(mut self) -> Self {
        self.config_mut().framework = FrameworkErrors::OfAxum;
        self
    }

    /// Renders the errors of axum like [`framework_errors`](Self::framework_errors), for statuses for which `choose` returns
    /// `Some`: with the reason as the message, or with a general message. Responses with other statuses are not changed.
    ///
    /// A status can be chosen if one of [`ApiError::KINDS`] has it.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_core::{ErrorLayer, FrameworkReason};
    ///
    /// let errors = ErrorLayer::new().framework_errors_by(|status| match status {
    ///     StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Some(FrameworkReason::Hide),
    ///     StatusCode::UNPROCESSABLE_ENTITY => Some(FrameworkReason::Show),
    ///     status if status.is_server_error() => Some(FrameworkReason::Hide),
    ///     _ => None,
    /// });
    /// ```
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn framework_errors_by(
        mut self,
        choose: impl Fn(StatusCode) -> Option<FrameworkReason> + Send + Sync + 'static,
    ) -> Self {
        self.config_mut().framework = FrameworkErrors::Chosen(Arc::new(choose));
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorService::new(inner, Arc::clone(&self.config))
    }
}
