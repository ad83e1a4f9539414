use http::{Uri, request};

/// Returns the URI that the client requested.
///
/// Inside of axum's `Router::nest` the URI of a request lacks the path of the outer router. A rule about paths that looked
/// at it would not find the path that it is about, and would apply a default that may be laxer. axum leaves the whole URI on
/// the request, which this returns if the feature `axum` is on. Otherwise it is the URI of the request.
///
/// ```
/// use palisade_core::requested_uri;
///
/// let (request, ()) = http::Request::get("/orders?page=2").body(()).unwrap().into_parts();
/// assert_eq!(requested_uri(&request).path(), "/orders");
/// ```
#[inline]
pub fn requested_uri(request: &request::Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    &request.uri
}
