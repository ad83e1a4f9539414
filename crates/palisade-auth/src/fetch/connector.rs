use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use palisade_core::BoxError;
use tokio::net::TcpStream;
use tower_service::Service;

/// Connects to an issuer, through an HTTP proxy if one is set (`CONNECT`: RFC 9110, section 9.3.6). The proxy sees the
/// issuer's host and port, and TLS bytes.
///
/// Plain http is for loopback addresses only, which are never reached through a proxy.
#[derive(Clone)]
pub(super) struct Connector {
    direct: HttpConnector,
    tunnel: Option<Tunnel<HttpConnector>>,
}

impl Connector {
    pub(super) fn new(proxy: Option<(Uri, Option<HeaderValue>)>) -> Self {
        let mut direct = HttpConnector::new();
        // The connector around this one speaks TLS.
        direct.enforce_http(false);
        let tunnel = proxy.map(|(proxy, authorization)| {
            let tunnel = Tunnel::new(proxy, direct.clone());
            match authorization {
                Some(authorization) => tunnel.with_auth(authorization),
                None => tunnel,
            }
        });
        Self { direct, tunnel }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.direct.poll_ready(cx))?;
        match &mut self.tunnel {
            Some(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, issuer: Uri) -> Self::Future {
        match &mut self.tunnel {
            Some(tunnel) if issuer.scheme() == Some(&Scheme::HTTPS) => {
                let connection = tunnel.call(issuer);
                Box::pin(async move { Ok(connection.await?) })
            }
            _ => {
                let connection = self.direct.call(issuer);
                Box::pin(async move { Ok(connection.await?) })
            }
        }
    }
}
