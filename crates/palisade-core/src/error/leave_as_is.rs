/// Marks a response that error layers must not change, in its extensions.
///
/// A response with an [`ApiError`](super::ApiError) is rendered again without this marker. Use it if you have written the body
/// yourself and the error is only for the log, or if your response looks like one of the framework's, for
/// [`ErrorLayer::framework_errors`](crate::ErrorLayer::framework_errors).
///
/// ```
/// use http::{Response, StatusCode};
/// use palisade_core::LeaveAsIs;
///
/// let mut response = Response::new(String::new());
/// *response.status_mut() = StatusCode::NOT_FOUND;
/// response.extensions_mut().insert(LeaveAsIs);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LeaveAsIs;
