use bytes::Bytes;
use http_body::Body;

use crate::BoxError;

/// An [`http_body::Body`] of [`Bytes`] whose error converts to a [`BoxError`]: the bound of layers that wrap bodies.
///
/// Implemented for every such body. It exists because separate bounds on the data and the error of a request's body make the
/// compile time of nested layers double with each layer; see [`HttpResponse`](crate::HttpResponse).
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use palisade_core::BytesBody;
///
/// fn length<B: BytesBody>(body: &B) -> Option<u64> {
///     body.size_hint().exact()
/// }
/// assert_eq!(length(&Full::new(Bytes::from("hello"))), Some(5));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `http_body::Body` of `Bytes`",
    label = "a layer that wraps this body requires `http_body::Body<Data = Bytes>` with an error that is `Into<BoxError>`"
)]
pub trait BytesBody: Body<Data = Bytes, Error: Into<BoxError>> {}

#[diagnostic::do_not_recommend]
impl<B> BytesBody for B where B: Body<Data = Bytes, Error: Into<BoxError>> + ?Sized {}
