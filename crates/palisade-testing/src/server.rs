use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use palisade_auth::Fetch;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::TestIssuer;

/// A [`TestIssuer`] on a socket of this machine. Made by [`TestIssuer::serve`]; it stops when it is dropped.
///
/// For services that fetch keys themselves. A service that takes its `Jwks` or `Introspection` as an argument needs no server:
/// see [`TestIssuer::jwks`] and [`TestIssuer::introspection`].
#[cfg_attr(any(feature = "aws-lc", feature = "rust-crypto"), doc = "```")]
#[cfg_attr(not(any(feature = "aws-lc", feature = "rust-crypto")), doc = "```ignore")]
/// use palisade_testing::TestIssuer;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = TestIssuer::new().for_audience("orders").serve().await;
/// // settings of the service under test; plain http needs `insecure_allow_loopback_http`
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// assert_eq!(server.key_set_url(), format!("{}/.well-known/jwks.json", server.url()));
/// // its tokens name the server
/// assert_eq!(server.issuer().name(), server.url());
/// # });
/// ```
#[derive(Debug)]
pub struct IssuerServer {
    issuer: TestIssuer,
    task: JoinHandle<()>,
}

/// More than a question about a token has.
const MAX_BODY: usize = 64 * 1024;

impl TestIssuer {
    /// Starts a server on a free port of the loopback interface, with the metadata, the key set and the introspection endpoint of
    /// this issuer, which is then [named](Self::named) by its address.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn serve(self) -> IssuerServer {
        IssuerServer::start(self).await
    }
}

impl IssuerServer {
    async fn start(issuer: TestIssuer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound socket has an address");
        let issuer = issuer.named(format!("http://{address}"));
        let serving = issuer.clone();
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let issuer = serving.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(issuer.clone(), request));
                    // A client that goes away is not an error of the test.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { issuer, task }
    }

    /// Returns the issuer, whose name is the address of the server.
    pub fn issuer(&self) -> &TestIssuer {
        &self.issuer
    }

    /// Returns the address of the server, which is the name of the issuer, for discovery.
    pub fn url(&self) -> &str {
        self.issuer.name()
    }

    /// Returns the address of the key set.
    pub fn key_set_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.url())
    }

    /// Returns the address of the introspection endpoint, which accepts
    /// [`client_credentials`](TestIssuer::client_credentials).
    pub fn introspection_url(&self) -> String {
        format!("{}/introspect", self.url())
    }
}

impl Drop for IssuerServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    issuer: TestIssuer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let is_known = head.uri.path().starts_with("/.well-known/");
    let response = match (&head.method, head.uri.path()) {
        (&Method::POST, "/introspect") => match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => issuer.opaque_issuer().answer(&Request::from_parts(head, body.to_bytes())),
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        (&Method::GET, _) if is_known => match issuer.fetch(&head.uri).await {
            Ok(document) => json(document.body),
            Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
        },
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(response.map(Full::new))
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn json(body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
