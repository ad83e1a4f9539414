//! 32 levels of each layer that wraps the body of a response. If the compile time doubled with each level, this file would
//! not compile.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use palisade::{
    Decision, ErrorLayer, Policy, PolicyLayer, TrackUpgrades, auth::DenyUndecided,
    body::ResponseLimit, headers::HeadFromGet,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone)]
struct AllowAll;

impl Policy for AllowAll {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }
}

async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// Sends one request through 32 of the same layer.
macro_rules! check_32_levels {
    ($layer:expr, $status:expr) => {{
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
        let service = all.service(service_fn(hello));
        let response = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
        assert_eq!(response.status(), $status);
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }};
}

#[tokio::test]
async fn policies_nest_32_levels_deep() {
    check_32_levels!(PolicyLayer::new(AllowAll), StatusCode::OK);
}

#[tokio::test]
async fn error_layers_nest_32_levels_deep() {
    check_32_levels!(ErrorLayer::new(), StatusCode::OK);
}

#[tokio::test]
async fn response_limits_nest_32_levels_deep() {
    check_32_levels!(ResponseLimit::new(16), StatusCode::OK);
}

#[tokio::test]
async fn layers_of_other_crates_nest_32_levels_deep() {
    check_32_levels!(TrackUpgrades::new(), StatusCode::OK);
    check_32_levels!(HeadFromGet, StatusCode::OK);
    check_32_levels!(DenyUndecided::new(), StatusCode::FORBIDDEN);
}
