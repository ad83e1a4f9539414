use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use palisade::{ApiError, ErrorLayer, Layer};
use palisade_testing::TestClient;

#[tokio::test]
async fn grpc_messages_and_statuses_are_read() {
    let service = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let refused = request.uri().path().ends_with("/Delete");
        let body = request.into_body().collect().await?.to_bytes();
        if refused {
            return Err(palisade::BoxError::from(ApiError::forbidden().with_code("READ_ONLY")));
        }
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok(Response::new(body))
    });
    let client = TestClient::new(ErrorLayer::new().layer(service));
    let echoed = client.post("/items.Items/Echo").grpc_message("lamp").await;
    assert_eq!(echoed.assert_grpc_status(0).grpc_message(), "lamp");
    assert_eq!(echoed.error_code(), None);
    let refused = client.post("/items.Items/Delete").grpc_message("lamp").await;
    refused.assert_status(200).assert_grpc_status(7).assert_rejected("READ_ONLY");
}

#[tokio::test]
async fn tonic_services_are_called_in_memory() {
    let (_, health) = tonic_health::server::health_reporter();
    let client = TestClient::new(health);
    let serving = client.post("/grpc.health.v1.Health/Check").grpc_message([]).await;
    // HealthCheckResponse { status: SERVING }
    assert_eq!(serving.assert_grpc_status(0).grpc_message(), [8, 1].as_slice());
    let unknown = client.post("/grpc.health.v1.Health/Nothing").grpc_message([]).await;
    unknown.assert_grpc_status(12).assert_rejected("UNIMPLEMENTED");
}
