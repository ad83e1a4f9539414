use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Response, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use palisade_claims::Reservation;
use palisade_core::{Body, BoxError};

use crate::{
    body::failed,
    idempotency::Rules,
    outcome::{grpc_is_result, has_status_in_trailers, is_opaque_stream, is_result},
    pump::copy_to_client,
    record::{Record, StoredResponse},
};

/// A claimed key, while its request is processed. Dropping it releases the key.
pub(crate) struct Claimed {
    pub(crate) reservation: Box<dyn Reservation>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) fingerprint: [u8; 32],
}

impl Claimed {
    /// Stores the response if it is the result of the request, and returns it for the client.
    pub(crate) async fn settle<B>(self, response: Response<Body<B>>) -> Response<Body<B>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        if !is_result(&head, self.rules.store_server_errors) {
            return Response::from_parts(head, body);
        }
        let size = body.size_hint();
        let is_too_large = size.lower() > self.rules.max_response as u64;
        let body = if is_too_large || is_opaque_stream(&head.headers) {
            self.complete(None).await;
            body
        } else if size.exact().is_some() {
            self.collect(&head, body).await
        } else {
            copy_to_client(self, &head, body)
        };
        Response::from_parts(head, body)
    }

    /// Reads a body of known size, and stores it before the client gets it.
    async fn collect<B>(self, head: &response::Parts, body: Body<B>) -> Body<B>
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
        self.complete_with(head, bytes.clone(), trailers.clone()).await;
        Body::collected(bytes, trailers.map(Box::new))
    }

    /// Stores a response that was read to its end, unless its trailers say that it is not a result.
    pub(crate) async fn complete_with(
        self,
        head: &response::Parts,
        body: Bytes,
        trailers: Option<HeaderMap>,
    ) {
        let is_result = match &trailers {
            Some(trailers) => grpc_is_result(trailers, self.rules.store_server_errors),
            None => !has_status_in_trailers(&head.headers),
        };
        if is_result {
            let mut stored = Response::new(());
            *stored.status_mut() = head.status;
            stored.headers_mut().clone_from(&head.headers);
            self.complete(Some(StoredResponse { head: stored, body, trailers })).await;
        }
    }

    /// Completes the claim. Without a response, retries learn that the request was processed.
    pub(crate) async fn complete(self, response: Option<StoredResponse>) {
        let Self { reservation, rules, fingerprint } = self;
        let record = Record { fingerprint, response }.encode(rules.replayed_headers.as_deref());
        if let Err(error) = reservation.complete(record).await {
            // The request was processed, so the client gets its response.
            rules.log_unstored(&error);
        }
    }
}
