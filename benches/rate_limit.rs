//! Rate limits: a decision beside governor's, and layers beside the layer of tower_governor.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use http::{Request, Response, request};
use palisade::{
    PolicyLayer,
    rate_limit::{Key, Quota, QuotaHeaders, RateLimit, by},
};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, service_fn};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};

use crate::{BARE, keys};

/// The key, as an outer policy adds it to the request.
#[derive(Clone, Copy, Debug)]
struct Client(u64);

#[derive(Clone, Debug)]
struct ByClient;

impl KeyExtractor for ByClient {
    type Key = u64;

    fn extract<T>(&self, request: &Request<T>) -> Result<u64, GovernorError> {
        let client = request.extensions().get().map(|client: &Client| client.0);
        client.ok_or(GovernorError::UnableToExtractKey)
    }
}

fn limit(quota: Quota, headers: QuotaHeaders) -> RateLimit<impl Key> {
    let client = by(|head: &request::Parts| head.extensions.get().map(|client: &Client| client.0));
    let limit = RateLimit::per_key(client, quota.named("default"));
    limit.headers(headers).build().unwrap()
}

/// A decision, the algorithms, the fields of responses, and a rejection.
pub fn compare() -> Comparison {
    let bare =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let get = || {
        let request = Request::get("/").header("accept", "*/*").extension(Client(7));
        request.body(Body::empty()).unwrap()
    };
    let governor = |nanos, burst| {
        let mut config = GovernorConfigBuilder::default().key_extractor(ByClient);
        config.per_nanosecond(nanos).burst_size(burst);
        config
    };
    let plain = GovernorLayer::new(governor(1, u32::MAX).finish().unwrap());
    let described = GovernorLayer::new(governor(1, u32::MAX).use_headers().finish().unwrap());
    let exceeded = GovernorLayer::new(governor(DAY.as_nanos() as u64, 1).finish().unwrap());
    // A limit that is never reached. Fields have the same number of digits in each response.
    let wide = || Quota::per(u32::MAX, DAY);
    let ours = |quota, headers| PolicyLayer::new(limit(quota, headers)).layer(bare);
    let day = Quota::per(1, DAY);
    Comparison::new("rate limit")
        .set(keys::HOT, keys::hot())
        .set(
            "allowed, without header fields",
            [
                Subject::service(BARE, bare, get),
                Subject::service("Palisade", ours(wide(), QuotaHeaders::None), get),
                Subject::service("tower_governor", plain.layer(bare), get),
                Subject::service("Palisade, GCRA", ours(wide().gcra(), QuotaHeaders::None), get),
                Subject::service(
                    "Palisade, strict",
                    ours(wide().strict(), QuotaHeaders::None),
                    get,
                ),
            ],
        )
        .set(
            "allowed, with header fields",
            [
                Subject::service(BARE, bare, get),
                Subject::service(
                    "Palisade, X-RateLimit",
                    ours(wide(), QuotaHeaders::XRateLimit),
                    get,
                ),
                Subject::service("tower_governor, X-RateLimit", described.layer(bare), get),
                Subject::service("Palisade, RateLimit", ours(wide(), QuotaHeaders::Draft10), get),
            ],
        )
        .set(
            "rejected",
            [
                Subject::service(BARE, bare, get),
                Subject::service("Palisade, 429 in JSON", ours(day, QuotaHeaders::None), get),
                Subject::service("tower_governor, 429 in text", exceeded.layer(bare), get),
            ],
        )
}

const DAY: Duration = Duration::from_secs(86_400);
