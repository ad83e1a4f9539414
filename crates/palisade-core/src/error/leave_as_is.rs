/// In the extensions of a response that no error layer may touch, whatever it looks like.
///
/// A response that carries an [`ApiError`](super::ApiError) is rendered anew unless it says this, such as one whose body
/// you wrote yourself and whose error is there for the log. And where your own answer looks exactly like one of the
/// framework's, this tells them apart for [`ErrorLayer::framework_errors`](super::ErrorLayer::framework_errors).
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
