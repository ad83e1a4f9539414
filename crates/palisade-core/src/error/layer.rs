use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

#[cfg(feature = "axum")]
use http::StatusCode;
use tower_layer::Layer;

#[cfg(feature = "axum")]
use super::FrameworkReason;
use super::{
    ApiError, ErrorFormat, ErrorService, ToApiError,
    framework::FrameworkErrors,
    known::{chain, find_in_chain},
    problem_types::ProblemTypes,
};
use crate::{BoxError, ConfigError, panics::panicked};

/// Turns everything that goes wrong inside it into one error format. It belongs outside everything that can fail.
///
/// - Refusals, and [`ApiError`]s that handlers return (also as a `tonic::Status`, feature `tonic`), are rendered in the
///   format chosen here, with the request id: that of the request's extensions or, where this layer stands outside of
///   what gives ids out, the one in `X-Request-Id` of the response.
/// - An inner service's `Err(_)` becomes a response: your own types by [`map`](ErrorLayer::map) and
///   [`map_type`](ErrorLayer::map_type), then the errors in the table below; whatever is not known is a 500. The
///   service's error is `Infallible` from here on.
/// - A panic, also of `poll_ready`, is a 500, and the connection lives. What was panicked with is logged and never shown.
///   In a body it comes too late for that: the answer breaks off.
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
/// | `hyper::Error` of a request body that broke off, alone or in an `axum::Error` (feature `hyper`) | 400 `BAD_REQUEST` |
/// | `std::io::Error`, timed out | 504 `DEADLINE_EXCEEDED` |
/// | `std::io::Error`, not connected or not reached | 503 `UNAVAILABLE` |
/// | anything else | 500 `INTERNAL` |
///
/// # What is not touched
///
/// A response that the service made itself, whatever its status: only one that carries an [`ApiError`] in its extensions
/// is rendered, and not if it says [`LeaveAsIs`](super::LeaveAsIs) as well.
/// [`framework_errors`](ErrorLayer::framework_errors) makes a narrow exception, if you ask for it.
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

#[derive(Clone, Default)]
pub(super) struct Config {
    pub(super) format: ErrorFormat,
    pub(super) negotiated: bool,
    pub(super) html: bool,
    pub(super) types: ProblemTypes,
    pub(super) framework: FrameworkErrors,
    maps: Vec<Arc<Map>>,
}

type Map = dyn Fn(&(dyn Error + 'static)) -> Option<ApiError> + Send + Sync;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("format", &self.format)
            .field("negotiated", &self.negotiated)
            .field("maps", &self.maps.len())
            .finish_non_exhaustive()
    }
}

impl ErrorLayer {
    /// The envelope format, and the errors that are known anyway.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses how errors look.
    #[must_use]
    pub fn format(mut self, format: ErrorFormat) -> Self {
        self.config_mut().format = format;
        self
    }

    /// Lets each client choose by its `Accept` (RFC 9110, section 12.5.1) among problem details, JSON (the envelope, or
    /// flat if that is [`format`](Self::format)) and plain text.
    ///
    /// The format chosen for all is for those who like it as much as another, who say nothing, and whose `Accept` cannot
    /// be read. Who accepts none of them gets plain text. Each error says `Vary: Accept`.
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

    /// The same, and a page of HTML for those who like that best: people who opened an address of the API in their
    /// browser.
    #[must_use]
    pub fn negotiated_with_html(mut self) -> Self {
        let config = self.config_mut();
        (config.negotiated, config.html) = (true, true);
        self
    }

    /// Gives the problems of a code a type of their own (RFC 9457, section 3.1.1): an absolute URI, where best the
    /// documentation of the problem is, and the title that all of them have. The others are `about:blank`, or the type
    /// that draft-ietf-httpapi-ratelimit-headers-10 names if a quota is used up.
    ///
    /// ```
    /// use palisade_core::{ErrorFormat, ErrorLayer};
    ///
    /// let errors = ErrorLayer::new().format(ErrorFormat::Problem).problem_type(
    ///     "OUT_OF_STOCK",
    ///     "https://api.example.com/problems/out-of-stock",
    ///     "Nothing left of it",
    /// )?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `uri` is no absolute URI, or `title` is empty.
    pub fn problem_type(mut self, code: &str, uri: &str, title: &str) -> Result<Self, ConfigError> {
        self.config_mut().types.add(code, uri, title)?;
        Ok(self)
    }

    /// Says what an error of the inner service is to a client. It is found anywhere in the chain of sources; the
    /// first map that fits wins, and comes before the errors that are known anyway.
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

    /// The same for an error that says it itself: see [`ToApiError`].
    #[must_use]
    pub fn map_type<E: ToApiError + 'static>(self) -> Self {
        self.map(E::to_api_error)
    }

    /// Renders the errors that axum answers by itself in the format of all others: a path without a route (404), a method
    /// that a route does not have (405), and what its extractors reject (400, 413, 415, 422, and 500 if a handler asks for
    /// something that the request does not have), tower-http's limit of bodies included (413).
    ///
    /// The reason, which is axum's text, is in the log, and the message of the error where it concerns the client's own
    /// input: with 400, 413, 415 and 422. A 500 shows nothing of it. [`framework_errors_by`](Self::framework_errors_by)
    /// chooses this for each status.
    ///
    /// A response is taken for an error of axum if it carries no [`ApiError`] and no [`LeaveAsIs`](super::LeaveAsIs), was not
    /// made by a policy, is not compressed, and is
    ///
    /// - a 404 without a body and without a content type, to a request for which no route was found; or
    /// - a 405 without a body and without a content type, with an `Allow`, or from a route (where axum adds `Allow` further
    ///   out); or
    /// - a text with one of the other statuses, of a known length of at most 16 KiB, sent as exactly
    ///   `text/plain; charset=utf-8`.
    ///
    /// A handler's own `(StatusCode::BAD_REQUEST, "why")` is such a text as well: it keeps its status, and the text is its
    /// message. Add `LeaveAsIs` to the extensions of a response that must not change.
    ///
    /// Whether a route was found is known to layers of a `Router` (`Router::layer`), where a handler's own bare 404 is left
    /// unchanged. A layer around the whole router cannot tell those two apart.
    ///
    /// A form whose body breaks off remains a 500, in the log too: axum's `MultipartError` has this status, and its text does
    /// not say whose mistake it was. A handler that returns `Result<_, ApiError>` and uses `?` rejects it with 400 (feature
    /// `multipart`).
    ///
    /// [`OrApiError`](crate::OrApiError) around an extractor converts a rejection by its type instead, with a code of its own
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

    /// Renders the errors that axum answers by itself, as [`framework_errors`](Self::framework_errors) does, for the statuses
    /// for which `choose` returns `Some`: with the reason as the message, or with a general message. Responses with other
    /// statuses are left unchanged.
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

impl Config {
    pub(super) fn api_error(&self, error: BoxError) -> ApiError {
        let map = || chain(&*error).find_map(|error| self.maps.iter().find_map(|map| map(error)));
        let mapped = match catch_unwind(AssertUnwindSafe(map)) {
            Ok(mapped) => mapped,
            Err(panic) => return panicked(&*panic),
        };
        match mapped.or_else(|| find_in_chain(&*error)) {
            // A map that copied an error's own cause knows better than we do.
            Some(found) if found.source().is_some() => found,
            Some(found) => found.with_source(error),
            None => ApiError::internal().with_source(error),
        }
    }
}

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorService::new(inner, Arc::clone(&self.config))
    }
}
