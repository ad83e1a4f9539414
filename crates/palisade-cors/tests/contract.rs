//! The contract that every layer keeps.

use http::{Method, Request, header};
use palisade_core::testing::{Contract, Script};
use palisade_cors::Cors;

fn cors() -> Cors {
    Cors::allow_origins(["https://app.example.com"]).allow_credentials(true).build().unwrap()
}

fn requests(method: Method, origin: Option<&'static str>) -> impl Fn() -> Request<Script> {
    move || {
        let mut request = Request::builder().method(method.clone()).uri("/");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        request.body(Script::empty()).unwrap()
    }
}

#[test]
fn keeps_the_policy_contract_for_a_listed_origin() {
    Contract::new(requests(Method::GET, Some("https://app.example.com"))).check_policy(cors);
}

#[test]
fn keeps_the_policy_contract_for_unlisted_or_absent_origins() {
    Contract::new(requests(Method::POST, Some("https://evil.example"))).check_policy(cors);
    Contract::new(requests(Method::OPTIONS, None)).check_policy(cors);
}

#[test]
fn layer_keeps_the_contract() {
    let layer = || Cors::builder().any_origin().build().unwrap().layer();
    Contract::new(requests(Method::GET, Some("https://app.example.com"))).check(layer);
}

#[test]
fn full_header_map_does_not_panic() {
    for origin in ["https://app.example.com", "https://evil.example"] {
        Contract::new(requests(Method::GET, Some(origin))).check_full_responses(cors);
    }
}
