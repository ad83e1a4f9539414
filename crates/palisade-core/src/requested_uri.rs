use http::{Uri, request};

/// Returns the URI that the client requested.
///
/// Inside axum's `Router::nest` the URI of a request lacks the prefix of the outer router, so a rule for a path would not match
/// and a laxer default could apply. With the feature `axum` this returns the whole URI, which axum stores in the extensions.
/// Otherwise it returns the URI of the request.
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
