//! A load balancer that forwards TCP and sends the client's address by the PROXY protocol, version 2. The server reads the header
//! of each connection, so that every policy sees the client's address.
//!
//! ```sh
//! cargo run --example proxy_protocol
//! ```

use std::{env, io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use palisade::{
    BoxError, ErrorLayer, PeerAddr, PolicyLayer,
    rate_limit::{Quota, RateLimit},
    stack,
};
use ppp::v2::{Addresses, Header};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::Layer;

/// The load balancers. Any other peer could claim any address.
fn is_load_balancer(peer: SocketAddr) -> bool {
    peer.ip().is_loopback()
}

/// Reads the header, which precedes the first byte of HTTP or TLS, and returns the client's address.
async fn read_announcement(stream: &mut TcpStream) -> io::Result<SocketAddr> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    // 12 bytes of signature, version and command, family and protocol, and the length of the rest.
    let mut announcement = vec![0; 16];
    stream.read_exact(&mut announcement).await?;
    let rest = usize::from(u16::from_be_bytes([announcement[14], announcement[15]]));
    if !announcement.starts_with(ppp::v2::PROTOCOL_PREFIX) || rest > 512 {
        return Err(invalid("the connection does not begin with a PROXY v2 header"));
    }
    announcement.resize(16 + rest, 0);
    stream.read_exact(&mut announcement[16..]).await?;
    let header =
        Header::try_from(&announcement[..]).map_err(|error| invalid(&error.to_string()))?;
    match header.addresses {
        Addresses::IPv4(client) => Ok((client.source_address, client.source_port).into()),
        Addresses::IPv6(client) => Ok((client.source_address, client.source_port).into()),
        // LOCAL: the load balancer's own health check.
        Addresses::Unspecified | Addresses::Unix(_) => stream.peer_addr(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let limit = RateLimit::per_address(Quota::per(2, Duration::from_secs(60))).build()?;
    let app = Router::new()
        .route(
            "/",
            get(async |peer: axum::Extension<PeerAddr>| format!("hello {}\n", peer.0.0.ip())),
        )
        .layer(stack().errors(ErrorLayer::new()).rate_limit(&limit));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    println!(
        "  curl --haproxy-protocol http://{address}/   # curl announces by version 1: rejected, this server wants 2"
    );
    println!("  curl http://{address}/                      # rejected: no announcement");
    println!(
        "put `server app {address} send-proxy-v2` into haproxy's backend, or `proxy_protocol on` into nginx's stream"
    );

    loop {
        let (mut stream, peer) = listener.accept().await?;
        let app = app.clone();
        tokio::spawn(async move {
            if !is_load_balancer(peer) {
                return;
            }
            let announced = timeout(Duration::from_secs(5), read_announcement(&mut stream)).await;
            let client = match announced {
                Ok(Ok(client)) => client,
                Ok(Err(error)) => return tracing::warn!(%peer, %error, "the connection is closed"),
                Err(_) => return tracing::warn!(%peer, "no PROXY header within 5 s"),
            };
            let service = PolicyLayer::new(PeerAddr(client)).layer(app);
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let connection = server.serve_connection_with_upgrades(
                TokioIo::new(stream),
                TowerToHyperService::new(service),
            );
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "the connection failed");
            }
        });
    }
}
