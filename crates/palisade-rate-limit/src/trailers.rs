//! Responses that are judged when they are over: of gRPC, whose status is in the trailers.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, response};
use palisade_core::{WatchBody, is_grpc, is_grpc_web};

use crate::{admission::Charge, limiter::Shared};

const GRPC_STATUS: &str = "grpc-status";

/// Whether the response is one of gRPC or gRPC-web that has not said yet how the call ended.
pub(crate) fn will_say(response: &response::Parts) -> bool {
    let is_grpc = is_grpc(&response.headers) || is_grpc_web(&response.headers);
    is_grpc && response.status == StatusCode::OK && !response.headers.contains_key(GRPC_STATUS)
}

/// What a request was charged, until its trailers say whether it counts. If they never do, it stays charged.
pub(crate) struct AtTheEnd<K> {
    limit: Arc<Shared<K>>,
    charge: Option<(Charge, u32)>,
    head: response::Parts,
}

impl<K> AtTheEnd<K> {
    pub(crate) fn new(
        limit: Arc<Shared<K>>,
        charge: (Charge, u32),
        head: &response::Parts,
    ) -> Self {
        Self { limit, charge: Some(charge), head: head.clone() }
    }
}

impl<K: Send + Sync + 'static> WatchBody for AtTheEnd<K> {
    fn trailers(&mut self, trailers: &HeaderMap) {
        for (name, value) in trailers {
            let _ = self.head.headers.try_append(name.clone(), value.clone());
        }
        if let Some((charge, amount)) = self.charge.take() {
            self.limit.settle(&charge, amount, &self.head);
        }
    }
}
