use http::{HeaderValue, header, request};
use palisade_core::{ApiError, Decision, Policy, PolicyLayer};

use crate::ByteSize;

/// Refuses requests whose head is too large: 414 `URI_TOO_LONG`, 431 `HEADERS_TOO_LARGE` (RFC 6585, section 5).
///
/// | limit | unless said otherwise |
/// | --- | --- |
/// | [`uri`](Self::uri): path and query | 8 KiB |
/// | [`fields`](Self::fields): header fields | 100 |
/// | [`field`](Self::field): name and value of one of them | 8 KiB |
/// | [`all_fields`](Self::all_fields): names and values of all of them, and 32 bytes for each | 32 KiB |
///
/// The last is counted as HTTP/2 counts a header list (RFC 9113, section 6.5.2), so that it says the same of every
/// version. A server has limits of its own, which come first: hyper takes 100 fields over HTTP/1.1 and 16 KiB of them
/// over HTTP/2 unless it is told otherwise. A 431 names the field if there is one that is too large by itself, and
/// neither answer is stored by caches.
///
/// It is a policy: it goes into a stack by `policy`, outside of authentication, or around a service by
/// [`layer`](Self::layer).
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use palisade_body::HeadLimits;
/// use tower::{Layer, ServiceExt, service_fn};
/// # use bytes::Bytes;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = HeadLimits::new().uri(20).layer().layer(service_fn(|_: Request<()>| async {
///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
/// }));
/// let request = Request::get("/search?q=far+too+much").body(()).unwrap();
/// assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::URI_TOO_LONG);
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    uri: usize,
    fields: usize,
    field: usize,
    all_fields: usize,
}

impl HeadLimits {
    /// What is said above.
    ///
    /// ```
    /// use palisade_body::HeadLimits;
    ///
    /// let layer = HeadLimits::new().layer();
    /// ```
    pub fn new() -> Self {
        Self { uri: 8 * 1024, fields: 100, field: 8 * 1024, all_fields: 32 * 1024 }
    }

    /// At most so many bytes of path and query. One more is a 414.
    ///
    /// ```
    /// use palisade_body::{ByteSize, HeadLimits};
    ///
    /// let limits = HeadLimits::new().uri(ByteSize::kb(2));
    /// ```
    #[must_use]
    pub fn uri(mut self, limit: impl Into<ByteSize>) -> Self {
        self.uri = bytes(limit);
        self
    }

    /// At most so many header fields. A name that comes twice counts twice.
    ///
    /// ```
    /// use http::{HeaderValue, Request, Response, StatusCode};
    /// use palisade_body::HeadLimits;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// # use http_body_util::Full;
    /// # use bytes::Bytes;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let service = service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    /// # });
    /// let service = HeadLimits::new().fields(2).layer().layer(service);
    /// let mut request = Request::new(());
    /// for part in ["a=1", "b=2", "c=3"] {
    ///     request.headers_mut().append("cookie", HeaderValue::from_static(part));
    /// }
    /// let refused = service.oneshot(request).await.unwrap();
    /// assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    /// # });
    /// ```
    #[must_use]
    pub fn fields(mut self, count: usize) -> Self {
        self.fields = count;
        self
    }

    /// At most so many bytes in one header field, of its name and its value. The 431 names the field.
    ///
    /// ```
    /// use palisade_body::{ByteSize, HeadLimits};
    ///
    /// let limits = HeadLimits::new().field(ByteSize::kb(4));
    /// ```
    #[must_use]
    pub fn field(mut self, limit: impl Into<ByteSize>) -> Self {
        self.field = bytes(limit);
        self
    }

    /// At most so many bytes in all header fields, and 32 for each.
    ///
    /// ```
    /// use palisade_body::{ByteSize, HeadLimits};
    ///
    /// let limits = HeadLimits::new().all_fields(ByteSize::kb(16));
    /// ```
    #[must_use]
    pub fn all_fields(mut self, limit: impl Into<ByteSize>) -> Self {
        self.all_fields = bytes(limit);
        self
    }

    /// These limits as a layer.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use palisade_body::HeadLimits;
    ///
    /// let app: Router = Router::new().route("/", get(|| async {})).layer(HeadLimits::new().layer());
    /// ```
    pub fn layer(self) -> PolicyLayer<Self> {
        PolicyLayer::new(self)
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::new()
    }
}

fn bytes(limit: impl Into<ByteSize>) -> usize {
    usize::try_from(limit.into().bytes()).unwrap_or(usize::MAX)
}

/// What HTTP/2 adds for each field (RFC 9113, section 6.5.2).
const OF_EACH_FIELD: usize = 32;

impl Policy for HeadLimits {
    type Grant = ();

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.uri {
            return Decision::refuse(never_stored(ApiError::uri_too_long()));
        }
        if request.headers.len() > self.fields {
            let error =
                ApiError::headers_too_large().with_message("there are too many header fields");
            return Decision::refuse(never_stored(error));
        }
        let mut all = 0;
        for (name, value) in &request.headers {
            let length = name.as_str().len() + value.len();
            if length > self.field {
                let error =
                    ApiError::headers_too_large().with_message("a header field is too large");
                // A name that is itself too long is not worth repeating.
                let named = name.as_str().len() <= 64;
                return Decision::refuse(never_stored(if named {
                    error.with_field(name.as_str().to_owned())
                } else {
                    error
                }));
            }
            all += length + OF_EACH_FIELD;
        }
        if all > self.all_fields {
            return Decision::refuse(never_stored(ApiError::headers_too_large()));
        }
        Decision::grant(())
    }
}

/// A 431 must not be stored (RFC 6585, section 5), and a 414 may be unless it says otherwise (RFC 9110, section 15.5.15).
#[cold]
fn never_stored(error: ApiError) -> ApiError {
    error.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
