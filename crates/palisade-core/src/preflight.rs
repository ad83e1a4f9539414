use http::{Method, header, request};

/// True for a [CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request): all three marks of it.
/// Any other OPTIONS is a request like another, and the service's to answer.
///
/// ```
/// use http::Request;
/// use palisade_core::is_preflight;
///
/// let request = Request::options("/").header("origin", "https://app.example.com");
/// let (mut head, ()) = request.body(()).unwrap().into_parts();
/// assert!(!is_preflight(&head));
/// head.headers.insert("access-control-request-method", "PUT".parse().unwrap());
/// assert!(is_preflight(&head));
/// ```
#[inline]
pub fn is_preflight(request: &request::Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
