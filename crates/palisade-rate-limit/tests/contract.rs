//! The contract tests of the limit as a layer.

use std::time::Duration;

use http::Request;
use palisade_core::{
    PeerAddr, Principal,
    testing::{Contract, Script},
};
use palisade_rate_limit::{Quota, QuotaHeaders, RateLimit};

const PLENTY: Quota = Quota::per(1_000_000, Duration::from_secs(60));

#[test]
fn limit_by_address_keeps_the_layer_contract() {
    let peer = PeerAddr("192.0.2.1:4000".parse().unwrap());
    Contract::new(|| Request::get("/").extension(peer).body(Script::empty()).unwrap())
        .check_policy(|| RateLimit::per_address(PLENTY).capacity(10).build().unwrap());
}

#[test]
fn limit_by_principal_keeps_the_layer_contract() {
    let ada = Principal::new("ada");
    Contract::new(|| Request::get("/").extension(ada.clone()).body(Script::empty()).unwrap())
        .check_policy(|| RateLimit::per_principal(PLENTY).capacity(10).build().unwrap());
}

#[test]
fn full_header_map_does_not_panic() {
    let peer = PeerAddr("192.0.2.1:4000".parse().unwrap());
    let contract =
        Contract::new(|| Request::get("/").extension(peer).body(Script::empty()).unwrap());
    for headers in [
        QuotaHeaders::Draft10,
        QuotaHeaders::Draft7,
        QuotaHeaders::Draft6,
        QuotaHeaders::XRateLimit,
        QuotaHeaders::XRateLimitEpoch,
    ] {
        contract.check_full_responses(|| {
            RateLimit::per_address(PLENTY).capacity(10).headers(headers).build().unwrap()
        });
    }
}
