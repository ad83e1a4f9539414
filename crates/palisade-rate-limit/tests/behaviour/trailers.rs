//! gRPC calls, which count by the status in their trailers.

use palisade_core::testing::Step;

use crate::*;

fn limited() -> RateLimit {
    clocked(RateLimit::per_address(Quota::per(3, MINUTE).exact_log()).only_failures()).0
}

/// A response of gRPC, with this body.
fn streaming(media_type: &'static str, steps: &[Step]) -> Response<Script> {
    let body = Script::from_steps(steps.iter().cloned());
    Response::builder().header("content-type", media_type).body(body).unwrap()
}

const GRPC: &str = "application/grpc";
const WELL: Step = Step::Trailers(&[("grpc-status", "0")]);
const BADLY: Step = Step::Trailers(&[("grpc-status", "16")]);

/// Returns how much quota a call with this response uses.
fn used(media_type: &'static str, steps: &[Step]) -> u32 {
    let limit = limited();
    let passed = answered(&limit, grpc(from(1)), || streaming(media_type, steps));
    assert!(passed.passed());
    2 - send(&limit, grpc(from(1))).remaining()[0]
}

#[test]
fn call_counts_only_if_its_trailers_report_a_failure() {
    assert_eq!(used(GRPC, &[Step::Data("one"), Step::Data("two"), WELL]), 0);
    assert_eq!(used(GRPC, &[Step::Data("one"), Step::Data("two"), BADLY]), 1);
    assert_eq!(used("application/grpc+proto", &[BADLY]), 1);
    assert_eq!(used("Application/gRPC;x=y", &[WELL]), 0);
    // A response that is not gRPC counts by its head.
    assert_eq!(used("application/json", &[Step::Data("{}"), BADLY]), 0);
}

#[test]
fn grpc_web_call_counts_by_its_last_frame() {
    const MESSAGE: Step = Step::Data("\0\0\0\0\u{1}m");
    // the flag of trailers is no text, so a message and trailers are in base64: grpc-status 0, and 7
    const WELL: Step = Step::Data("AAAAAAFtgAAAAA9ncnBjLXN0YXR1czogMAo=");
    const BADLY: Step = Step::Data("AAAAAAFtgAAAAA9ncnBjLXN0YXR1czogNwo=");
    assert_eq!(used("application/grpc-web-text", &[WELL]), 0);
    assert_eq!(used("application/grpc-web-text+proto", &[BADLY]), 1);
    assert_eq!(used("application/grpc-web", &[MESSAGE]), 1, "it never says that all is well");
}

#[test]
fn call_without_trailers_stays_charged() {
    assert_eq!(used(GRPC, &[Step::Data("one")]), 1);

    let limit = limited();
    for (charged, steps) in
        [[Step::Data("one"), Step::Fail], [Step::Data("one"), Step::Wait]].into_iter().enumerate()
    {
        let handler = service_fn(|_: Request<Script>| {
            let response = streaming(GRPC, &steps);
            async { Ok::<_, Infallible>(response) }
        });
        let mut left = now(limit.layer().layer(handler).oneshot(grpc(from(1)))).unwrap();
        assert!(now(left.body_mut().frame()).unwrap().is_ok());
        drop(left); // the client is gone
        let remaining = send(&limit, grpc(from(1))).remaining();
        assert_eq!(remaining, [1 - charged as u32]);
    }
}

#[test]
fn call_stays_charged_until_its_trailers() {
    let limit = limited();
    let handler = service_fn(|_: Request<Script>| async {
        Ok::<_, Infallible>(streaming(GRPC, &[Step::Data("one"), WELL, WELL]))
    });
    let service = limit.layer().layer(handler);
    let open = || now(service.clone().oneshot(grpc(from(1)))).unwrap();
    let mut calls = [open(), open(), open()];
    assert!(send(&limit, from(1)).limited(), "three are open, and may all fail");
    let [one, ..] = &mut calls;
    assert!(now(one.body_mut().frame()).unwrap().is_ok());
    assert!(send(&limit, from(1)).limited());
    assert!(now(one.body_mut().frame()).unwrap().is_ok());
    // Before its body is polled again or dropped, and only once.
    assert_eq!(send(&limit, from(1)).remaining(), [0]);
    assert!(now(one.body_mut().frame()).unwrap().is_ok());
    let calls_left = open();
    assert!(send(&limit, from(1)).limited());
    drop(calls_left);
}

#[test]
fn count_if_receives_trailers_among_the_headers() {
    let of_the_client = |response: &http::response::Parts| {
        assert_eq!(response.headers["x-head"], "there");
        response.headers.get("grpc-status").is_some_and(|code| code == "3")
    };
    let quota = Quota::per(1, MINUTE).exact_log();
    let (limit, _) = clocked(RateLimit::per_address(quota).count_if(of_the_client));
    let with = |code: &'static [(&'static str, &'static str)]| {
        move || {
            let mut response = streaming(GRPC, &[Step::Trailers(code)]);
            response.headers_mut().insert("x-head", "there".parse().unwrap());
            response
        }
    };
    for _ in 0..5 {
        assert!(answered(&limit, grpc(from(1)), with(&[("grpc-status", "13")])).passed());
    }
    assert!(answered(&limit, grpc(from(1)), with(&[("grpc-status", "3")])).passed());
    assert_eq!(send(&limit, grpc(from(1))).header("grpc-status"), Some("8"));
}
