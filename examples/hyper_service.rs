//! A service written for hyper, wrapped in a stack without a change:
//!
//! ```sh
//! cargo run --example hyper_service
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example hyper_service
//! ```

use std::{env, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use palisade::{
    BoxError, Clock, ErrorLayer, PeerAddr, PolicyLayer, SystemClock,
    auth::{Identity, Jwt, testing},
    body::BodyLimit,
    cors::Cors,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack, when,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use uuid::Uuid;

// ---- The service. It depends on hyper only. ------------------------------------------------------------------------

/// `GET /` greets, `POST /echo` returns the body, everything else is not found.
async fn service<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Ok(Response::new(Full::from("hello\n"))),
        (&Method::POST, "/echo") => {
            let body = request.into_body().collect().await.map_err(Into::into)?.to_bytes();
            Ok(Response::new(Full::new(body)))
        }
        (&Method::GET, "/whoami") => {
            let caller = Identity::<Claims>::from_extensions(request.extensions());
            let name = caller.map_or("nobody", |caller| &caller.claims().sub);
            Ok(Response::new(Full::from(format!("{name}\n"))))
        }
        (&Method::GET, "/fail") => Err("the database is down".into()),
        (&Method::GET, "/boom") => panic!("a service panicked, and the server goes on"),
        _ => {
            let mut response = Response::new(Full::from("not found\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok(response)
        }
    }
}

// ---- The stack, and the server. -----------------------------------------------------------------------------------

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // A new secret at each start: the token below is valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let auth = Jwt::<Claims>::hs256(secret.as_str()).audience("hyper_service").build()?;
    let cors = Cors::builder()
        .allow_origin("https://app.example.com")
        .allow_headers(["authorization", "content-type"])
        .build()?;
    let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(10))).build()?;

    let guarded = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .cors(&cors)
        .rate_limit(&limit)
        // without a router, a predicate selects the requests that need a token
        .auth(&when(|request| request.uri.path() == "/whoami", auth))
        .body_limit(BodyLimit::new(1024))
        .wrap(service_fn(service));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3001".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let claims = Claims { sub: "ada".into(), aud: "hyper_service".into(), exp };
    print_what_to_try(listener.local_addr()?, &testing::sign_hs256(secret.as_str(), &claims));

    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // an error of one connection, such as too many open files, does not stop the server
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Gives the policies the address of the peer.
        let service = PolicyLayer::new(PeerAddr(peer)).layer(guarded.clone());
        tokio::spawn(async move {
            let service = TowerToHyperService::new(service);
            // an error here means that the client closed the connection
            let _: Result<(), BoxError> = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn print_what_to_try(address: SocketAddr, token: &str) {
    println!(
        r"listening on http://{address}

user token: {token}

A request that passes, and what every answer carries
  curl -i http://{address}/

Authentication: with a token, and without
  curl -i http://{address}/whoami -H 'Authorization: Bearer {token}'
  curl -i http://{address}/whoami

CORS: a preflight from the allowed origin, and from another
  curl -i -X OPTIONS http://{address}/echo -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: POST'
  curl -i -X OPTIONS http://{address}/echo -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST'

Body limit: 1024 bytes pass, also without a declared length; one byte more does not
  head -c 1024 /dev/zero | curl -s -o /dev/null -w '%{{http_code}}\n' http://{address}/echo --data-binary @-
  head -c 1025 /dev/zero | curl -i http://{address}/echo -H 'Transfer-Encoding: chunked' --data-binary @-

Rate limit: 100 in 10 seconds
  for i in $(seq 102); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/; done; echo

An error of the service, and a panic
  curl -i http://{address}/fail
  curl -i http://{address}/boom
"
    );
}
