use http::{HeaderValue, header, request};
use palisade_core::{Allowed, ApiError, Decision, Policy, PolicyLayer};

use crate::ByteSize;

/// Rejects requests whose head is too large: 414 `URI_TOO_LONG`, 431 `HEADERS_TOO_LARGE` (RFC 6585, section 5).
///
/// | limit | default |
/// | --- | --- |
/// | [`uri`](Self::uri): path and query | 8 KiB |
/// | [`fields`](Self::fields): header fields | 100 |
/// | [`field`](Self::field): name and value of one of them | 8 KiB |
/// | [`all_fields`](Self::all_fields): names and values of all of them, and 32 bytes for each | 32 KiB |
///
/// The last one is counted like a header list of HTTP/2 (RFC 9113, section 6.5.2), for all versions. The server applies its own
/// limits before: hyper's defaults are 100 fields over HTTP/1.1 and 16 KiB over HTTP/2. A 431 names the field if a single one
/// is too large. Caches store neither response.
///
/// Add it to a stack with `policy`, outside authentication, or to a service with [`layer`](Self::layer).
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
    /// Creates the policy with the defaults above.
    pub fn new() -> Self {
        Self { uri: 8 * 1024, fields: 100, field: 8 * 1024, all_fields: 32 * 1024 }
    }

    /// Limits the bytes of path and query. A longer URI gets 414.
    #[must_use]
    pub fn uri(mut self, limit: impl Into<ByteSize>) -> Self {
        self.uri = bytes(limit);
        self
    }

    /// Limits the number of header fields. Each line counts.
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

    /// Limits the bytes of the name and value of one header field. The 431 names the field.
    #[must_use]
    pub fn field(mut self, limit: impl Into<ByteSize>) -> Self {
        self.field = bytes(limit);
        self
    }

    /// Limits the bytes of all header fields, plus 32 for each.
    #[must_use]
    pub fn all_fields(mut self, limit: impl Into<ByteSize>) -> Self {
        self.all_fields = bytes(limit);
        self
    }

    /// These limits as a layer.
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

/// The overhead of each field in HTTP/2 (RFC 9113, section 6.5.2).
const OF_EACH_FIELD: usize = 32;

impl Policy for HeadLimits {
    type Grant = ();

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
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

/// Forbids caches to store the error. A 431 must not be stored (RFC 6585, section 5), and a 414 may be stored by default (RFC
/// 9110, section 15.5.15).
#[cold]
fn never_stored(error: ApiError) -> ApiError {
    error.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
