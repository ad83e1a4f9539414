//! Handlers, clients and streams that take their time.

use std::time::Duration;

use http::{Request, StatusCode};
use palisade_body::Deadline;
use palisade_core::testing::{Contract, Probe, Script, Step};
use tower::{Layer, ServiceExt};

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_too_long_is_dropped_and_answered_for() {
    let probe = Probe::new().never_answering();
    let service = Deadline::new(Duration::from_secs(5)).layer(probe.handle());
    let response = service.oneshot(Request::new(Script::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(probe.dropped_unanswered(), 1);
}

#[tokio::test]
async fn the_layer_keeps_the_contract() {
    let contract =
        Contract::new(|| Request::post("/").body(Script::of([Step::Data("body")])).unwrap());
    contract.check(|| Deadline::new(Duration::from_secs(5)));
}
