//! A tonic service with a unary and a streaming method in the same stack; rejections are gRPC statuses.
//!
//! ```sh
//! cargo run --example tonic_service                  # the server; it prints what to try
//! cargo run --example tonic_service -- hello TOKEN   # a client
//! ```

use std::{env, net::SocketAddr, time::Duration};

use palisade::{
    Clock, ErrorLayer, SystemClock,
    auth::{Identity, Jwt, RequireRole, testing},
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack, when,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, metadata::MetadataValue, transport::Server};
use uuid::Uuid;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "made by the compiler of the protocol"
)]
mod greeter {
    tonic::include_proto!("greeter.v1");
}

use greeter::{
    CountReply, CountRequest, HelloReply, HelloRequest, ResetReply, ResetRequest,
    greeter_client::GreeterClient,
    greeter_server::{Greeter, GreeterServer},
};

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

struct Service;

type CountStream =
    std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<CountReply, Status>> + Send>>;

#[tonic::async_trait]
impl Greeter for Service {
    type CountStream = CountStream;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let identity = request.extensions().get::<Identity<Claims>>();
        let caller = identity.map_or_else(String::new, |identity| identity.claims().sub.clone());
        let text = format!("hello {}", request.into_inner().name);
        Ok(Response::new(HelloReply { text, caller }))
    }

    async fn count(&self, request: Request<CountRequest>) -> Result<Response<CountStream>, Status> {
        let numbers = tokio_stream::iter(1..=request.into_inner().to.min(100));
        let replies = numbers.throttle(Duration::from_millis(100));
        Ok(Response::new(Box::pin(replies.map(|number| Ok(CountReply { number })))))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Result<Response<ResetReply>, Status> {
        Ok(Response::new(ResetReply {}))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3002".to_owned());
    match arguments.next() {
        None => serve(&address).await,
        Some(method) => call(&address, &method, arguments.next()).await,
    }
}

async fn serve(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // A new secret at each start: the tokens below are valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let auth = Jwt::<Claims>::hs256(secret.as_str()).audience("tonic_service").build()?;
    let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(10))).build()?;
    let resets_by_admins =
        when(|request| request.uri.path().ends_with("/Reset"), RequireRole::any(["admin"]));

    let guarded = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .rate_limit(&limit)
        .auth(&auth)
        .policy(resets_by_admins);

    let listener = TcpListener::bind(address).await?;
    print_what_to_try(listener.local_addr()?, |name, roles| {
        let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
        let roles = roles.iter().map(ToString::to_string).collect();
        let aud = "tonic_service".to_owned();
        testing::sign_hs256(secret.as_str(), &Claims { sub: name.to_owned(), aud, exp, roles })
    });
    // tonic itself gives the policies the address of the peer.
    Server::builder()
        .layer(guarded)
        .add_service(GreeterServer::new(Service))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

async fn call(
    address: &str,
    method: &str,
    token: Option<String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let credentials =
        token.map(|token| MetadataValue::try_from(format!("Bearer {token}"))).transpose()?;
    let channel = tonic::transport::Endpoint::new(format!("http://{address}"))?.connect().await?;
    let mut client = GreeterClient::with_interceptor(channel, move |mut request: Request<()>| {
        if let Some(credentials) = &credentials {
            request.metadata_mut().insert("authorization", credentials.clone());
        }
        Ok(request)
    });
    let outcome = match method {
        "hello" => {
            let request = HelloRequest { name: "world".to_owned() };
            client.hello(request).await.map(|reply| println!("{:?}", reply.into_inner()))
        }
        "reset" => client.reset(ResetRequest {}).await.map(|_| println!("reset")),
        "count" => match client.count(CountRequest { to: 5 }).await {
            Ok(replies) => {
                let mut replies = replies.into_inner();
                while let Some(reply) = replies.message().await? {
                    println!("{}", reply.number);
                }
                Ok(())
            }
            Err(status) => Err(status),
        },
        other => return Err(format!("no method `{other}`: hello, count or reset").into()),
    };
    if let Err(status) = outcome {
        println!("{:?}: {}\n{:#?}", status.code(), status.message(), status.metadata());
    }
    Ok(())
}

fn print_what_to_try(address: SocketAddr, token: impl Fn(&str, &[&str]) -> String) {
    let (user, admin) = (token("ada", &["user"]), token("grace", &["user", "admin"]));
    let client = format!("PALISADE_ADDR={address} cargo run -q --example tonic_service --");
    println!(
        r"listening on http://{address}

user token:  {user}
admin token: {admin}

Unary and streaming, with a token
  {client} hello {user}
  {client} count {user}

Without a token: Unauthenticated
  {client} hello

Roles: as an admin, and as a user
  {client} reset {admin}
  {client} reset {user}

Rate limit: 100 in 10 seconds
  for i in $(seq 102); do {client} hello; done
"
    );
}
