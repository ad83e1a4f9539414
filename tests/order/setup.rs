//! One of each, to be put into the wrong order.

use std::time::Duration;

pub(super) use palisade::stack;
use palisade::{
    ErrorLayer, TrustedProxies,
    auth::Jwt,
    body::{BodyLimit, Deadline},
    cache::Cache,
    cors::Cors,
    headers::SecurityHeaders,
    idempotency::{Idempotency, InMemoryClaims},
    observe::RequestIds,
    rate_limit::{ByAddress, ByPrincipal, Quota, RateLimit},
    validate::ValidateLayer,
    webhook::Webhook,
};

#[derive(serde::Deserialize, garde::Validate)]
#[garde(allow_unvalidated)]
pub(super) struct Item {}

pub(super) struct Parts {
    pub(super) proxies: TrustedProxies,
    pub(super) request_ids: RequestIds,
    pub(super) errors: ErrorLayer,
    pub(super) security: SecurityHeaders,
    pub(super) cors: Cors,
    pub(super) by_address: RateLimit<ByAddress>,
    pub(super) auth: Jwt<Item>,
    pub(super) by_principal: RateLimit<ByPrincipal>,
    pub(super) cache: Cache,
    pub(super) timeout: Deadline,
    pub(super) body_limit: BodyLimit,
    pub(super) webhook: Webhook,
    pub(super) validate: ValidateLayer<Item>,
    pub(super) idempotency: Idempotency,
}

pub(super) fn parts() -> Parts {
    let quota = Quota::per(1, Duration::from_secs(1));
    let secret = "a signing key of at least thirty-two bytes";
    Parts {
        proxies: TrustedProxies::loopback().build().unwrap(),
        request_ids: RequestIds::new(),
        errors: ErrorLayer::new(),
        security: SecurityHeaders::api().build().unwrap(),
        cors: Cors::builder().allow_origin("https://app.example.com").build().unwrap(),
        by_address: RateLimit::per_address(quota.clone()).build().unwrap(),
        auth: Jwt::hs256(secret).any_audience().build().unwrap(),
        by_principal: RateLimit::per_principal(quota).build().unwrap(),
        cache: Cache::honour().build().unwrap(),
        timeout: Deadline::new(Duration::from_secs(1)),
        body_limit: BodyLimit::new(1),
        webhook: Webhook::github(secret).build().unwrap(),
        validate: ValidateLayer::new(),
        idempotency: Idempotency::new(InMemoryClaims::new(1).unwrap()).build().unwrap(),
    }
}
