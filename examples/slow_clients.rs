//! Slow clients: an axum service on hyper's own server, which closes connections whose request head does not arrive in time. No
//! layer can do that, because no layer is called before the head of a request is complete.
//!
//! ```sh
//! cargo run --example slow_clients
//! ```

use std::{env, time::Duration};

use axum::{Router, routing::get};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use palisade::{
    BoxError, ErrorLayer, PeerAddr, Policy, PolicyLayer, TrackUpgrades, TrackedIo, body::Deadline,
    observe::RequestIds, stack,
};
use tokio::net::TcpListener;
use tower::Layer;

/// The time for the head of a request, from the start of the connection or the end of the last response.
const HEAD: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // After the head, layers limit the body, the handler, and clients that do not read.
    let deadline = Deadline::new(Duration::from_secs(10))
        .request_idle(Duration::from_secs(5))
        .write_idle(Duration::from_secs(30));
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()).timeout(deadline))
        .layer(TrackUpgrades::new());

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    println!("  curl http://{address}/");
    println!(
        "  (printf 'GET / HTTP/1.1\\r\\n'; sleep 5) | nc 127.0.0.1 {}   # closed after 2 s",
        address.port()
    );

    loop {
        let (stream, peer) = listener.accept().await?;
        let stream = TrackedIo::new(stream);
        let service = PolicyLayer::new(PeerAddr(peer).then(stream.connection())).layer(app.clone());
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            // Without a timer the timeout has no effect.
            server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
            server.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
            let connection = server.serve_connection_with_upgrades(
                TokioIo::new(stream),
                TowerToHyperService::new(service),
            );
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "the connection was closed");
            }
        });
    }
}
