use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, response};
use palisade_core::{Body, BoxError, HttpResponse, remove_header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Answers HEAD from GET: the service receives a GET, and its response is sent without the body ([RFC 9110, section
/// 9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2)).
///
/// The headers are those of the response to GET, with `Content-Length` if the length is known. The body is dropped unread.
/// `Range`, `If-Range` and `Upgrade` are removed from the request, because ranges are defined for GET only (RFC 9110, section
/// 14.2) and a HEAD cannot upgrade a connection.
///
/// axum's router does the same. This layer is for services that do not support HEAD.
///
/// ```
/// use http::{Method, Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use palisade_headers::HeadFromGet;
/// use tower::{Layer, ServiceExt, service_fn};
/// # use bytes::Bytes;
///
/// # fn main() -> Result<(), palisade_core::BoxError> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let service = HeadFromGet.layer(service_fn(async |request: Request<()>| {
///     assert_eq!(request.method(), Method::GET);
///     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
/// }));
///
/// let response = service.oneshot(Request::head("/").body(())?).await?;
/// assert_eq!(response.headers()["content-length"], "5");
/// assert!(response.into_body().collect().await?.to_bytes().is_empty());
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFromGet;

impl<S> Layer<S> for HeadFromGet {
    type Service = HeadFromGetService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HeadFromGetService { inner }
    }
}

/// A service that answers HEAD from GET. Made by [`HeadFromGet`].
#[derive(Clone, Copy, Debug)]
pub struct HeadFromGetService<S> {
    inner: S,
}

impl<S, ReqB> Service<Request<ReqB>> for HeadFromGetService<S>
where
    S: Service<Request<ReqB>>,
    S::Response: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = HeadFromGetFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let is_head = request.method() == Method::HEAD;
        if is_head {
            *request.method_mut() = Method::GET;
            for name in [header::RANGE, header::IF_RANGE, header::UPGRADE] {
                remove_header(request.headers_mut(), &name);
            }
        }
        HeadFromGetFuture { future: self.inner.call(request), is_head }
    }
}

pin_project! {
    /// The future of [`HeadFromGetService`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct HeadFromGetFuture<F> {
        #[pin]
        future: F,
        is_head: bool,
    }
}

impl<F, R, E> Future for HeadFromGetFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?.into_response();
        if !*this.is_head {
            return Poll::Ready(Ok(response));
        }
        let (mut head, body) = response.into_parts();
        if let Some(length) = http_body::Body::size_hint(&body).exact() {
            set_content_length(&mut head, length);
        }
        Poll::Ready(Ok(Response::from_parts(head, Body::empty())))
    }
}

/// Sets `Content-Length` to the length that the server would have sent for GET.
fn set_content_length(head: &mut response::Parts, length: u64) {
    // RFC 9110, section 8.6: not in 1xx and 204; in 304 it would be the length of another body than the one that is here.
    let has_body = !(head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304));
    let is_said = head.headers.contains_key(header::CONTENT_LENGTH)
        || head.headers.contains_key(header::TRANSFER_ENCODING);
    if has_body && !is_said {
        // A map that is full stays as it is.
        let _ = head.headers.try_insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use http_body_util::{BodyExt, Full};
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// Returns the response to HEAD for a GET response with this status, these headers and this body.
    async fn head<B>(status: u16, own: &[(&'static str, &str)], body: B) -> response::Parts
    where
        B: http_body::Body<Data = Bytes, Error = Infallible> + Clone + 'static,
    {
        let response = || {
            let mut response = Response::builder().status(status);
            for (name, value) in own {
                response = response.header(*name, *value);
            }
            response.body(body.clone()).unwrap()
        };
        let service = HeadFromGet.layer(service_fn(|request: Request<()>| {
            assert_eq!(request.method(), Method::GET);
            let response = response();
            async { Ok::<_, Infallible>(response) }
        }));
        let request = Request::head("/").body(()).unwrap();
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        assert!(http_body::Body::is_end_stream(&body));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
        head
    }

    fn hello() -> Full<Bytes> {
        Full::from("hello")
    }

    #[tokio::test]
    async fn head_gets_headers_and_length_of_get() {
        for (status, own, length) in [
            (200, &[][..], Some("5")),
            (200, &[("content-length", "7")], Some("7")),
            (200, &[("transfer-encoding", "chunked")], None),
            (404, &[], Some("5")),
            (204, &[], None),
            (304, &[], None),
            (304, &[("content-length", "5")], Some("5")),
        ] {
            let head = head(status, own, hello()).await;
            let said = head.headers.get(header::CONTENT_LENGTH).map(|it| it.to_str().unwrap());
            assert_eq!(said, length, "{status} {own:?}");
            assert_eq!(head.status, status);
        }
        let head = head(200, &[("etag", "\"1\""), ("content-type", "text/plain")], hello()).await;
        assert_eq!(head.headers[header::ETAG], "\"1\"");
        assert_eq!(head.headers[header::CONTENT_TYPE], "text/plain");
    }

    #[derive(Clone)]
    struct Endless;

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            panic!("nobody reads the body of an answer to HEAD")
        }
    }

    #[tokio::test]
    async fn body_of_unknown_length_is_not_read() {
        let head = head(200, &[], Endless).await;
        assert!(!head.headers.contains_key(header::CONTENT_LENGTH));
    }

    #[tokio::test]
    async fn service_receives_get_without_range_and_upgrade_fields() {
        let seen = service_fn(async |request: Request<()>| {
            let names = request.headers().keys().map(|name| name.as_str().to_owned());
            let names = names.collect::<Vec<_>>().join(",");
            let response = Response::builder()
                .status(if request.method() == Method::GET { 200 } else { 405 })
                .header("x-seen", names);
            Ok::<_, Infallible>(response.body(hello()).unwrap())
        });
        for (method, status, names) in [
            ("HEAD", StatusCode::OK, "accept"),
            ("GET", StatusCode::OK, "range,if-range,upgrade,accept"),
            ("POST", StatusCode::METHOD_NOT_ALLOWED, "range,if-range,upgrade,accept"),
            ("head", StatusCode::METHOD_NOT_ALLOWED, "range,if-range,upgrade,accept"),
        ] {
            let request = Request::builder()
                .method(method)
                .header("range", "bytes=0-1")
                .header("if-range", "\"1\"")
                .header("upgrade", "websocket")
                .header("accept", "*/*");
            let response =
                HeadFromGet.layer(seen).oneshot(request.body(()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers()["x-seen"], names, "{method}");
        }
    }

    #[tokio::test]
    async fn other_methods_are_streamed_unchanged() {
        let service = HeadFromGet
            .layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(hello()))));
        let response = service.oneshot(Request::get("/").body(()).unwrap()).await.unwrap();
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}
