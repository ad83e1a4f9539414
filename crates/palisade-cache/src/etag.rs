//! Entity tags for responses that have none.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, response};
use http_body::Body as HttpBody;
use palisade_core::{
    ApiError, Body, BoxError, BoxFuture, BytesBody, ErrorContext, HttpResponse, Layer, ReturnsSend,
    is_grpc, set_header,
};
use tower_service::Service;

use crate::{
    cache::{OF_THE_CONTENT, collected},
    preconditions::{EntityTag, Preconditions, Validators, Verdict, failed},
};

/// Gives successful responses to GET and HEAD an `ETag`, and answers conditional requests
/// ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)): 304 if the client has the response, 412 if
/// `If-Match` or `If-Unmodified-Since` is false.
///
/// The tag is a hash of the bytes, so the body is collected: bodies that declare at most [`max_body`](Self::max_body) bytes. Others
/// stream through without a tag. A tag, or `Last-Modified`, that the service wrote is used as it is.
///
/// The handler runs for each request; [`Cache`](crate::Cache) outside of this layer saves that too. Requests with other methods
/// pass: their conditions are for the handler, by [`Preconditions`].
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use palisade_cache::ETag;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let service = ETag::strong().layer(service_fn(async |_: Request<String>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
/// }));
/// let first = service.clone().oneshot(Request::new(String::new())).await?;
/// assert_eq!(first.headers()["etag"], r#""LPJNul-wow4m6Dsqxbning""#);
///
/// let again = Request::builder().header("if-none-match", &first.headers()["etag"]).body(String::new())?;
/// assert_eq!(service.clone().oneshot(again).await?.status(), 304);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ETag {
    weak: bool,
    max_body: u64,
}

/// 1 MiB.
const MAX_BODY: u64 = 1024 * 1024;

impl ETag {
    /// Writes strong tags: two responses with the same tag have the same bytes. For a service inside of compression: a
    /// layer that compresses has to change the tag, or make it weak.
    pub fn strong() -> Self {
        Self { weak: false, max_body: MAX_BODY }
    }

    /// Writes weak tags, for responses that are compressed on their way. They do not serve for `If-Match` and ranges.
    pub fn weak() -> Self {
        Self { weak: true, ..Self::strong() }
    }

    /// Sets the length up to which bodies get a tag, in bytes. Default: 1 MiB.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }
}

impl<S> Layer<S> for ETag {
    type Service = ETagService<S>;

    fn layer(&self, inner: S) -> ETagService<S> {
        ETagService { inner, settings: *self }
    }
}

/// A service whose responses have entity tags. Made by [`ETag`].
#[derive(Clone, Debug)]
pub struct ETagService<S> {
    inner: S,
    settings: ETag,
}

impl<S, B> Service<Request<B>> for ETagService<S>
where
    S: ReturnsSend<B>,
    S::Response: HttpResponse<Body: BytesBody + Send + 'static>,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = ETagFuture<<S::Response as HttpResponse>::Body, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, settings) = (request.method().clone(), self.settings);
        let is_read = matches!(method, Method::GET | Method::HEAD);
        let conditions = Preconditions::of_headers(&method, request.headers());
        let context = ErrorContext::of_request(&request);
        let answer = self.inner.call(request);
        ETagFuture {
            future: Box::pin(async move {
                let (head, body) = answer.await?.into_response().into_parts();
                let is_tagged = is_read && head.status.is_success() && !is_grpc(&head.headers);
                if !is_tagged || head.status == StatusCode::PARTIAL_CONTENT {
                    return Ok(Response::from_parts(head, body));
                }
                let answer = tagged(settings, &method, &conditions, head, body).await;
                Ok(answer.unwrap_or_else(|error| context.render(error).map(Body::full)))
            }),
        }
    }
}

/// Writes the tag of a response, and evaluates the conditions of its request.
async fn tagged<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static>(
    settings: ETag,
    method: &Method,
    conditions: &Preconditions,
    mut head: response::Parts,
    body: Body<B>,
) -> Result<Response<Body<B>>, ApiError> {
    if let Some(version) = head.extensions.remove::<Validators>() {
        version.write(&mut head.headers);
    }
    let length = body.size_hint().exact();
    let needs_tag = *method == Method::GET && !head.headers.contains_key(header::ETAG);
    let body = if needs_tag && length.is_some_and(|length| length <= settings.max_body) {
        match collected(body, settings.max_body).await {
            Ok(bytes) => {
                let of_bytes =
                    if settings.weak { EntityTag::weak_of_bytes } else { EntityTag::of_bytes };
                set_header(&mut head.headers, header::ETAG, of_bytes(&bytes).to_header());
                Body::full(bytes)
            }
            Err(interrupted) => interrupted,
        }
    } else {
        body
    };
    if conditions.is_empty() {
        return Ok(Response::from_parts(head, body));
    }
    match conditions.evaluate(&Validators::of_headers(&head.headers)) {
        Verdict::Proceed => Ok(Response::from_parts(head, body)),
        Verdict::NotModified => {
            head.status = StatusCode::NOT_MODIFIED;
            for name in &OF_THE_CONTENT {
                head.headers.remove(name);
            }
            Ok(Response::from_parts(head, Body::empty()))
        }
        Verdict::Failed => Err(failed()),
    }
}

/// The future of [`ETagService`].
#[must_use = "futures do nothing unless polled"]
pub struct ETagFuture<B, E> {
    future: BoxFuture<Result<Response<Body<B>>, E>>,
}

impl<B, E> Unpin for ETagFuture<B, E> {}

impl<B, E> fmt::Debug for ETagFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ETagFuture").finish_non_exhaustive()
    }
}

impl<B, E> Future for ETagFuture<B, E> {
    type Output = Result<Response<Body<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx)
    }
}
