//! What the policies outside write on the refusals of those inside.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::Full;
use palisade_core::{ApiError, Decision, Policy, PolicyLayer};
use palisade_headers::{CacheControl, SecurityHeaders};
use tower::{Layer, ServiceExt, service_fn};

/// Refuses with 429, and answers OPTIONS and what asks for a redirect itself.
#[derive(Clone)]
struct Closed;

impl Policy for Closed {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        if request.method == http::Method::OPTIONS {
            Decision::reply(Response::new(Bytes::new()))
        } else if request.headers.contains_key("x-redirect") {
            let redirect = Response::builder().status(303).header("location", "/login");
            Decision::reply(redirect.body(Bytes::new()).unwrap())
        } else {
            Decision::refuse(ApiError::rate_limited())
        }
    }
}

async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

fn request(method: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn inner_rejection_has_security_headers() {
    let security = SecurityHeaders::api().always_https().build().unwrap();
    let chain = PolicyLayer::new(security.clone().then(Closed)).layer(service_fn(hello));
    let nested = security.layer().layer(PolicyLayer::new(Closed).layer(service_fn(hello)));
    for (method, status) in [("GET", StatusCode::TOO_MANY_REQUESTS), ("OPTIONS", StatusCode::OK)] {
        let in_chain = chain.clone().oneshot(request(method, &[])).await.unwrap();
        let in_layers = nested.clone().oneshot(request(method, &[])).await.unwrap();
        assert_eq!((in_chain.status(), in_layers.status()), (status, status));
        for headers in [in_chain.headers(), in_layers.headers()] {
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["x-frame-options"], "DENY");
            assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
        }
    }
}

#[tokio::test]
async fn success_responses_of_a_policy_are_not_cached() {
    let cache = CacheControl::public().max_age(std::time::Duration::from_secs(60)).build().unwrap();
    let service = PolicyLayer::new(cache.then(Closed)).layer(service_fn(hello));
    let grpc = [("content-type", "application/grpc")];
    for (request, status) in [
        (request("GET", &[]), StatusCode::TOO_MANY_REQUESTS),
        (request("GET", &grpc), StatusCode::OK),
        (request("OPTIONS", &[]), StatusCode::OK),
        (request("GET", &[("x-redirect", "1")]), StatusCode::SEE_OTHER),
    ] {
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
