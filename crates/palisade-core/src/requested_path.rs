use http::request;

/// Returns the path that the client requested.
///
/// Inside of axum's `Router::nest` the URI of a request lacks the path of the outer router. A rule about paths that looked
/// at it would not find the path that it is about, and would apply a default that may be laxer. axum leaves the whole URI on
/// the request, which this reads if the feature `axum` is on. Otherwise it is the path of the URI.
///
/// ```
/// use palisade_core::requested_path;
///
/// let (request, ()) = http::Request::get("/orders?page=2").body(()).unwrap().into_parts();
/// assert_eq!(requested_path(&request), "/orders");
/// ```
#[inline]
pub fn requested_path(request: &request::Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions.get::<axum::extract::OriginalUri>() {
        return original.path();
    }
    request.uri.path()
}
