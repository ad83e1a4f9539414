/// In the extensions of a response that no error layer may touch, whatever it looks like.
///
/// Only [`ErrorLayer::framework_errors`](super::ErrorLayer::framework_errors) takes a response without an
/// [`ApiError`](super::ApiError) for an error at all, and where your own answer looks exactly like one of the framework's,
/// this tells them apart.
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
