use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, response};
use palisade_claims::Reservation;

use crate::{
    outcome::{grpc_is_result, has_status_in_trailers},
    record::{Record, StoredResponse},
    rules::Rules,
};

/// A claimed key, while its request is processed. Dropping it releases the key.
pub(crate) struct Claimed {
    pub(crate) reservation: Box<dyn Reservation>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) fingerprint: [u8; 32],
}

impl Claimed {
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
