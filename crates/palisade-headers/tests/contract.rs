//! The contract that every layer keeps.

use std::time::Duration;

use http::Request;
use palisade_core::testing::{Contract, Script};
use palisade_headers::{CacheControl, SecurityHeaders};

fn get() -> Request<Script> {
    Request::get("/").body(Script::empty()).unwrap()
}

#[test]
fn security_headers_keep_the_contract() {
    Contract::new(get).check_policy(|| SecurityHeaders::pages().always_https().build().unwrap());
    Contract::new(get).check(|| SecurityHeaders::api().build().unwrap().layer());
}

#[test]
fn cache_control_keeps_the_contract() {
    let minute = Duration::from_secs(60);
    Contract::new(get).check_policy(|| CacheControl::public().max_age(minute).build().unwrap());
    Contract::new(get).check(|| CacheControl::new().layer());
}
