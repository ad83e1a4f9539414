use std::pin::pin;

use bytes::Bytes;
use http::{Response, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use palisade_core::{Body, BoxError};

use crate::{
    body::failed,
    claimed::Claimed,
    outcome::{is_opaque_stream, is_result},
    pump::copy_to_client,
};

/// Stores the response if it is the result of the request, and returns it for the client.
pub(crate) async fn settle<B>(claimed: Claimed, response: Response<Body<B>>) -> Response<Body<B>>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    if !is_result(&head, claimed.rules.store_server_errors) {
        return Response::from_parts(head, body);
    }
    let size = body.size_hint();
    let is_too_large = size.lower() > claimed.rules.max_response as u64;
    let body = if is_too_large || is_opaque_stream(&head.headers) {
        claimed.complete(None).await;
        body
    } else if size.exact().is_some() {
        collect(claimed, &head, body).await
    } else {
        copy_to_client(claimed, &head, body)
    };
    Response::from_parts(head, body)
}

/// Reads a body of known size, and stores it before the client gets it.
async fn collect<B>(claimed: Claimed, head: &response::Parts, body: Body<B>) -> Body<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let collected = match pin!(body).collect().await {
        Ok(collected) => collected,
        // Half a response is not stored: the claim is released.
        Err(error) => return failed(error),
    };
    let trailers = collected.trailers().cloned();
    let bytes = collected.to_bytes();
    claimed.complete_with(head, bytes.clone(), trailers.clone()).await;
    Body::collected(bytes, trailers.map(Box::new))
}
