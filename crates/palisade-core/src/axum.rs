//! axum's view of core: errors and bodies as responses, the caller as an extractor, peers from `ConnectInfo`.

use std::{error::Error, io, net::SocketAddr};

use axum::{
    extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, connect_info::Connected},
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use http::{Extensions, request};

use crate::{
    ApiError, Body, BoxError, ClientIp, ErrorContext, Principal, RequestId, TrackedIo,
    connection::TrackedPeer,
};

impl IntoResponse for ApiError {
    /// Renders the default format without data of the request, which an outer [`ErrorLayer`](crate::ErrorLayer) adds.
    fn into_response(self) -> Response {
        let body: Response<Body<axum::body::Body>> =
            ErrorContext::unknown().render(self).map(Body::full);
        body.map(axum::body::Body::new)
    }
}

/// The error responses of a service are those of its layers and handlers together, which `palisade::openapi` describes.
#[cfg(feature = "aide")]
impl aide::OperationOutput for ApiError {
    type Inner = Self;
}

/// The caller is in no part of the request that a client sets.
#[cfg(feature = "aide")]
impl aide::OperationInput for Principal {}

impl<B> IntoResponse for Body<B>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_response(self) -> Response {
        Response::new(axum::body::Body::new(self))
    }
}

/// No client sets these two as a parameter.
#[cfg(feature = "aide")]
impl aide::OperationInput for ClientIp {}
#[cfg(feature = "aide")]
impl aide::OperationInput for RequestId {}

/// Implements an extractor of a value, and of an `Option` of it, by a function for each.
macro_rules! extractors {
    ($($(#[$docs:meta])* $value:ident: $required:expr, $optional:expr;)*) => {$(
        $(#[$docs])*
        impl<S: Send + Sync> FromRequestParts<S> for $value {
            type Rejection = ApiError;

            async fn from_request_parts(request: &mut request::Parts, _: &S) -> Result<Self, ApiError> {
                $required(request)
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $value {
            type Rejection = ApiError;

            async fn from_request_parts(
                request: &mut request::Parts,
                _: &S,
            ) -> Result<Option<Self>, ApiError> {
                Ok($optional(request))
            }
        }
    )*};
}

extractors! {
    /// Fails with 500 if no authentication ran: that is a fault of the routing, and the log names the remedy.
    Principal: |request| required(
        request,
        "a handler takes a `Principal`, and its route has no authentication: add `.with_auth(&auth)` to the route, or take \
         `Option<Principal>` where authentication is optional",
    ), inserted;
    /// Fails with 500 if no policy has given the request an id; the log names the remedy.
    RequestId: |request| required(
        request,
        "a handler takes a `RequestId`, and no policy gives ids: add `.observe(Observe::new())` to the stack",
    ), inserted;
    /// Fails with 500 if the server has not provided an address; the log names the remedy for each server.
    ClientIp: |request| ClientIp::required(request).map_err(|error| match error.source() {
        Some(remedy) if error.status().is_server_error() => {
            ApiError::report_misconfiguration(&request.extensions, remedy.to_string())
        }
        _ => error,
    }), ClientIp::of_request;
}

/// Returns the value that a layer outside has inserted.
fn inserted<T: Clone + Send + Sync + 'static>(request: &request::Parts) -> Option<T> {
    request.extensions.get().cloned()
}

fn required<T: Clone + Send + Sync + 'static>(
    request: &request::Parts,
    remedy: &'static str,
) -> Result<T, ApiError> {
    inserted(request).ok_or_else(|| ApiError::report_misconfiguration(&request.extensions, remedy))
}

/// The template of the route that axum's router chose.
pub(crate) fn route_of(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

/// A listener whose connections are tracked, for [`TrackUpgrades`](crate::TrackUpgrades). Serve it with
/// `into_make_service_with_connect_info::<TrackedPeer>()`.
#[derive(Debug)]
pub struct TrackedListener<L>(
    /// The listener whose connections are tracked.
    pub L,
);

impl<L: Listener> Listener for TrackedListener<L> {
    type Io = TrackedIo<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.0.accept().await;
        (TrackedIo::new(io), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, TrackedListener<L>>>
    for TrackedPeer
{
    fn connect_info(stream: IncomingStream<'_, TrackedListener<L>>) -> Self {
        Self { address: *stream.remote_addr(), connection: stream.io().connection() }
    }
}
