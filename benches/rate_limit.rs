//! Rate limits as layers, beside the layer of tower_governor.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response, request};
use palisade::{
    Clock, PolicyLayer, SystemClock,
    rate_limit::{Key, Quota, QuotaHeaders, RateLimit, by},
};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, service_fn};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};

use crate::BARE;

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

/// A day in 86 seconds: a key that is requested all the time never exceeds its limit.
#[derive(Debug)]
pub(crate) struct Racing;

impl Clock for Racing {
    fn unix(&self) -> Duration {
        SystemClock.unix()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic().saturating_mul(1000)
    }
}

fn limit(quota: Quota, headers: QuotaHeaders, clock: Arc<dyn Clock>) -> RateLimit<impl Key> {
    let client = by(|head: &request::Parts| head.extensions.get().map(|client: &Client| client.0));
    let limit = RateLimit::per_key(client, quota.named("default")).clock(clock);
    limit.headers(headers).build().unwrap()
}

/// The algorithms, the fields of responses, and a rejection.
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
    let window = Duration::from_millis(100);
    let ours =
        |quota, headers| PolicyLayer::new(limit(quota, headers, Arc::new(Racing))).layer(bare);
    // Fields have the same number of digits in each response.
    let fields = |headers| {
        let quota = Quota::per(u32::MAX, DAY);
        PolicyLayer::new(limit(quota, headers, SystemClock::shared())).layer(bare)
    };
    let wide = || Quota::per(65_534, window);
    let day = Quota::per(1, DAY * 1000);
    Comparison::new("rate limit")
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
                Subject::service("Palisade, X-RateLimit", fields(QuotaHeaders::XRateLimit), get),
                Subject::service("tower_governor, X-RateLimit", described.layer(bare), get),
                Subject::service("Palisade, RateLimit", fields(QuotaHeaders::Draft10), get),
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
