//! The stack that is written by hand responds like that of Palisade, so that their costs can be compared.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use palisade_benches::{
    by_hand::ByHand,
    full_stack::requests,
    our_stack,
    stacks::{Hello, Ours},
};
use tower::{Service, ServiceExt};

/// The fields whose values differ between two requests.
const VARYING: [&str; 2] = ["x-request-id", "ratelimit"];

async fn headers<S, B>(service: S, request: Request<Full<Bytes>>) -> (u16, HeaderMap)
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>, Error: std::fmt::Debug>,
{
    let response = service.oneshot(request).await.unwrap();
    let mut headers = response.headers().clone();
    for name in VARYING {
        if let Some(value) = headers.get_mut(name) {
            assert!(!value.is_empty(), "{name}");
            *value = http::HeaderValue::from_static("varies");
        }
    }
    (response.status().as_u16(), headers)
}

#[tokio::test]
async fn stack_by_hand_responds_like_that_of_palisade() {
    let ours = Ours::new().unwrap();
    let [allowed, rejected] = requests();
    let by_policies = headers(our_stack!(ours).wrap(Hello), allowed.clone()).await;
    assert_eq!(by_policies.1.len(), 14, "{by_policies:?}");
    assert_eq!(headers(ByHand::default(), allowed).await, by_policies);
    assert_eq!(headers(ByHand::default(), rejected).await.0, 403);
}
