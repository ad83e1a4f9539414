//! The contract that every layer keeps.

use std::time::Duration;

use http::{Method, Request};
use palisade_core::{
    PeerAddr, TrustedProxies,
    testing::{Contract, Script},
};
use palisade_headers::{CacheControl, Deprecation, Geo, HeadFromGet, Methods, SecurityHeaders};

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

fn deprecation() -> Deprecation {
    Deprecation::since("Tue, 30 Jun 2026 00:00:00 GMT")
        .sunset("Wed, 30 Jun 2027 00:00:00 GMT")
        .successor("/v2")
        .build()
        .unwrap()
}

#[test]
fn deprecation_keeps_the_contract() {
    Contract::new(get).check_policy(deprecation);
    Contract::new(get).check(|| deprecation().layer());
}

#[test]
fn methods_keep_the_contract() {
    let methods = || Methods::at("/", [Method::GET]).build().unwrap();
    Contract::new(get).check_policy(methods);
    Contract::new(get).check(|| methods().layer());
    let post = || Request::post("/").body(Script::empty()).unwrap();
    Contract::new(post).check_refusal(methods);
    let options = || Request::options("/").body(Script::empty()).unwrap();
    Contract::new(options).check_refusal(methods);
}

#[test]
fn head_from_get_keeps_the_contract() {
    Contract::new(get).check(|| HeadFromGet);
}

#[test]
fn geo_keeps_the_contract() {
    let geo = || {
        let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
        Geo::allow(["DE"]).by_header("cf-ipcountry", &proxies).build().unwrap()
    };
    let from = |peer: [u8; 4]| {
        move || {
            Request::get("/")
                .header("cf-ipcountry", "DE")
                .extension(PeerAddr((peer, 4000).into()))
                .body(Script::empty())
                .unwrap()
        }
    };
    Contract::new(from([10, 0, 0, 1])).check_policy(geo);
    Contract::new(from([203, 0, 113, 7])).check_refusal(geo);
}

#[test]
fn full_header_map_does_not_panic() {
    Contract::new(get)
        .check_full_responses(|| SecurityHeaders::pages().always_https().build().unwrap());
    Contract::new(get).check_full_responses(CacheControl::new);
    Contract::new(get).check_full_responses(deprecation);
}
