//! A greeter that fails as its caller says, on a port of its own: what clients of gRPC see of each code.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, header, request};
use palisade::{
    ApiError, Decision, ErrorLayer, Issue, Policy, QuotaViolation, catalogue, observe::RequestIds,
    stack,
};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    reason = "made by the compiler of the protocol"
)]
pub(crate) mod greeter {
    tonic::include_proto!("greeter.v1");
}

use greeter::{
    CountReply, CountRequest, HelloReply, HelloRequest, ResetReply, ResetRequest,
    greeter_server::{Greeter, GreeterServer},
};

/// The retry delay in errors that contain one.
pub(crate) const WAIT: Duration = Duration::from_millis(1500);

/// Stands for an error with more to say than fits into header fields.
pub(crate) const MUCH: &str = "MUCH";

fn much() -> ApiError {
    let text = |at: usize| format!("{at}: {}", "no \u{fc} ".repeat(300));
    let issues = (0..64).map(|at| Issue::new(format!("items[{at}].price"), "too_small", text(at)));
    let first = Issue::new("email", "invalid_email", "must be an email address");
    let name = "x".repeat(5_000);
    ApiError::validation([Issue::new(name.clone(), "unknown_field", "is not known"), first])
        .with_issues(issues)
        .with_field(name)
        .with_message(text(0).repeat(10))
}

fn error_of(code: &str) -> ApiError {
    if code == MUCH {
        return much();
    }
    let entry = catalogue().find(|entry| entry.code.code == code).expect("a code of the catalogue");
    let error = ApiError::from(entry.code).with_source("hunter2");
    match code {
        "UNAUTHENTICATED" => error.with_header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"api\""),
        ),
        "VALIDATION_ERROR" => {
            error.with_issues([Issue::new("items[0].price", "too_small", "must be at least 1")])
        }
        "RATE_LIMITED" => {
            error.with_quota_violation(QuotaViolation::new("daily", 100)).with_retry_after(WAIT)
        }
        "UNAVAILABLE" => error.with_retry_after(WAIT),
        _ => error,
    }
}

/// Refuses with the code that the request names.
#[derive(Clone)]
pub(crate) struct AsAsked;

impl Policy for AsAsked {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        match request.headers.get("x-refuse").map(|code| code.to_str().expect("a code")) {
            Some(code) => Decision::refuse(error_of(code)),
            None => Decision::grant(()),
        }
    }
}

struct Service;

fn asked<T>(request: &Request<T>, name: &str) -> Option<ApiError> {
    request.metadata().get(name).map(|code| error_of(code.to_str().expect("a code")))
}

type Counts = Pin<Box<dyn Stream<Item = Result<CountReply, Status>> + Send>>;

#[tonic::async_trait]
impl Greeter for Service {
    type CountStream = Counts;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        match asked(&request, "x-fail") {
            Some(error) => Err(error)?,
            None => Ok(Response::new(HelloReply::default())),
        }
    }

    async fn count(&self, request: Request<CountRequest>) -> Result<Response<Counts>, Status> {
        if let Some(error) = asked(&request, "x-fail") {
            Err(error)?;
        }
        if request.metadata().contains_key("x-panic-later") {
            let panics = tokio_stream::iter(1..).map(|number| match number {
                3 => panic!("hunter2"),
                number => Ok(CountReply { number }),
            });
            return Ok(Response::new(Box::pin(panics)));
        }
        let number = |number| Ok(CountReply { number });
        let mut replies = vec![number(1), number(2)];
        replies.extend(asked(&request, "x-fail-later").map(|error| Err(error.into())));
        let replies = tokio_stream::iter(replies);
        let then = request.metadata().get("x-then").map(|then| then.to_str().expect("text"));
        Ok(Response::new(match then {
            None => Box::pin(replies),
            Some("panic") => Box::pin(replies.chain(Then(|| panic!("hunter2")))),
            Some(_) => Box::pin(replies.chain(Then(|| Poll::Pending))),
        }))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Result<Response<ResetReply>, Status> {
        panic!("hunter2")
    }
}

/// A stream that does this when it is asked for more.
struct Then(fn() -> Poll<()>);

impl Stream for Then {
    type Item = Result<CountReply, Status>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        (self.0)().map(|()| None)
    }
}

pub(crate) fn greeter() -> GreeterServer<impl Greeter> {
    GreeterServer::new(Service)
}

#[allow(dead_code, reason = "some tests put it behind a stack of their own")]
pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder()
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()).policy(AsAsked))
        .add_service(greeter())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}
