//! The contract that every layer keeps.

use http::Request;
use palisade_core::testing::{Contract, Script};
use palisade_headers::SecurityHeaders;

fn get() -> Request<Script> {
    Request::get("/").body(Script::empty()).unwrap()
}

#[test]
fn security_headers_keep_the_contract() {
    Contract::new(get).check_policy(|| SecurityHeaders::pages().always_https().build().unwrap());
    Contract::new(get).check(|| SecurityHeaders::api().build().unwrap().layer());
}
