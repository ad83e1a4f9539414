//! 32 levels of each layer that wraps the body of a request or a response. If the compile time doubled with each level, this
//! file would not compile.

// For 32 bodies that a policy has read, each around the next one.
#![recursion_limit = "256"]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use palisade::{
    BodyPolicy, BodyPolicyLayer, Decision, ErrorLayer, Policy, PolicyLayer, TrackUpgrades,
    auth::DenyUndecided,
    body::{BodyLimit, Deadline, ResponseLimit},
    headers::HeadFromGet,
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone)]
struct AllowAll;

impl Policy for AllowAll {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }
}

impl BodyPolicy for AllowAll {
    type Grant = ();

    fn decide(&self, _: &request::Parts, _: &Bytes) -> Decision<()> {
        Decision::grant(())
    }
}

/// Accepts any request body, so that layers may wrap it.
#[derive(Clone)]
struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::from("hello"))))
    }
}

async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// Sends one request through 32 of the same layer.
macro_rules! check_32_levels {
    ($layer:expr, $status:expr) => {
        check_32_levels!($layer, Hello, $status)
    };
    ($layer:expr, $service:expr, $status:expr) => {{
        let layer = $layer;
        let eight = || {
            ServiceBuilder::new()
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
                .layer(layer.clone())
        };
        let all = ServiceBuilder::new().layer(eight()).layer(eight()).layer(eight()).layer(eight());
        let service = all.service($service);
        let response = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
        assert_eq!(response.status(), $status);
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }};
}

#[tokio::test]
async fn policies_nest_32_levels_deep() {
    check_32_levels!(PolicyLayer::new(AllowAll), service_fn(hello), StatusCode::OK);
}

#[tokio::test]
async fn error_layers_nest_32_levels_deep() {
    check_32_levels!(ErrorLayer::new(), service_fn(hello), StatusCode::OK);
}

/// Only compiled: without optimizations, 64 of these futures do not fit the stack of a test. A bound that leads to both the error
/// and the response of the inner service would double the time with each pair.
#[allow(dead_code, reason = "what it shows is that it compiles")]
async fn error_layers_alternate_with_others_32_times() {
    let errors = ErrorLayer::new();
    check_32_levels!(
        (errors.clone(), PolicyLayer::new(AllowAll)),
        service_fn(hello),
        StatusCode::OK
    );
    check_32_levels!((errors.clone(), ResponseLimit::new(16)), service_fn(hello), StatusCode::OK);
    check_32_levels!((errors.clone(), TrackUpgrades::new()), service_fn(hello), StatusCode::OK);
    check_32_levels!((errors.clone(), HeadFromGet), service_fn(hello), StatusCode::OK);
    #[cfg(feature = "cache")]
    {
        let tags = palisade::cache::ETag::strong();
        check_32_levels!((errors, tags), service_fn(hello), StatusCode::OK);
    }
}

#[tokio::test]
async fn response_limits_nest_32_levels_deep() {
    check_32_levels!(ResponseLimit::new(16), service_fn(hello), StatusCode::OK);
}

#[tokio::test]
async fn layers_of_other_crates_nest_32_levels_deep() {
    check_32_levels!(TrackUpgrades::new(), service_fn(hello), StatusCode::OK);
    check_32_levels!(HeadFromGet, service_fn(hello), StatusCode::OK);
    check_32_levels!(DenyUndecided::new(), service_fn(hello), StatusCode::FORBIDDEN);
}

/// Only compiled: without optimizations, 32 of these futures do not fit the stack of a test.
#[allow(dead_code, reason = "what it shows is that it compiles")]
async fn body_limits_nest_32_levels_deep() {
    check_32_levels!(BodyLimit::new(16), StatusCode::OK);
}

#[tokio::test]
async fn deadlines_nest_32_levels_deep() {
    check_32_levels!(Deadline::new(Duration::from_secs(10)), StatusCode::OK);
}

#[tokio::test]
async fn body_policies_nest_32_levels_deep() {
    check_32_levels!(BodyPolicyLayer::new(AllowAll, 16), StatusCode::OK);
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn decompressions_nest_32_levels_deep() {
    check_32_levels!(palisade::body::Decompression::new(16), StatusCode::OK);
}
