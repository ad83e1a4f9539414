//! What hyper's errors are to a client, on connections that break on purpose.
#![cfg(feature = "hyper")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use palisade_core::{BoxError, ErrorLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tower::{Layer, service_fn};

/// Sends bytes over a connection to `service` and answers all that comes back.
async fn exchange<S, F>(service: S, sent: &[u8]) -> String
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send + 'static,
{
    let (mut client, server) = duplex(4096);
    let service = TowerToHyperService::new(ErrorLayer::new().layer(service_fn(service)));
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    client.write_all(sent).await.unwrap();
    let mut answer = [0; 1024];
    let length = client.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

async fn reads_it_all(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
}

#[tokio::test]
async fn malformed_request_body_is_400() {
    let request = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n";
    let answer = exchange(reads_it_all, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\"BAD_REQUEST\""), "{answer}");
}

#[tokio::test]
async fn closed_connection_to_another_server_is_503() {
    async fn asks_another(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
        let (ours, theirs) = duplex(4096);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
        tokio::spawn(connection);
        drop(theirs);
        sender.send_request(Request::new(Empty::<Bytes>::new())).await?;
        unreachable!("nobody answers")
    }
    let answer = exchange(asks_another, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}
