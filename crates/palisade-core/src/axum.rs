//! What axum's users need of core: errors and bodies as responses, peers from `ConnectInfo`.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, MatchedPath},
    response::{IntoResponse, Response},
};
use http::Extensions;

use crate::{ApiError, Body, BoxError, ErrorContext};

impl IntoResponse for ApiError {
    /// Renders the default format, without what only the request knows; an
    /// [`ErrorLayer`](crate::ErrorLayer) outside adds that.
    fn into_response(self) -> Response {
        let body: Response<Body<axum::body::Body>> =
            ErrorContext::unknown().render(self).map(Body::full);
        body.map(axum::body::Body::new)
    }
}

impl<B> IntoResponse for Body<B>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_response(self) -> Response {
        Response::new(axum::body::Body::new(self))
    }
}

/// The template of the route that axum's router chose.
pub(crate) fn route_of(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}
