//! gRPC responses, whose status is in the trailers.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, response};
use palisade_core::{WatchBody, is_grpc, is_grpc_web};

use crate::{admission::Charge, limiter::Limiter};

const GRPC_STATUS: &str = "grpc-status";

/// Returns true for a gRPC or gRPC-web response whose status will be in its trailers.
pub(crate) fn has_status_in_trailers(response: &response::Parts) -> bool {
    let is_grpc = is_grpc(&response.headers) || is_grpc_web(&response.headers);
    is_grpc && response.status == StatusCode::OK && !response.headers.contains_key(GRPC_STATUS)
}

/// A charge that is settled by the trailers of the response. Without trailers it stays charged.
pub(crate) struct PendingCharge<K> {
    limit: Arc<Limiter<K>>,
    charge: Option<(Charge, u32)>,
    head: response::Parts,
}

impl<K> PendingCharge<K> {
    pub(crate) fn new(
        limit: Arc<Limiter<K>>,
        charge: (Charge, u32),
        head: &response::Parts,
    ) -> Self {
        Self { limit, charge: Some(charge), head: head.clone() }
    }
}

impl<K: Send + Sync + 'static> WatchBody for PendingCharge<K> {
    fn trailers(&mut self, trailers: &HeaderMap) {
        for (name, value) in trailers {
            let _ = self.head.headers.try_append(name.clone(), value.clone());
        }
        if let Some((charge, amount)) = self.charge.take() {
            self.limit.settle(&charge, amount, &self.head);
        }
    }
}
