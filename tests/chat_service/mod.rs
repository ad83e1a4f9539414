//! A tonic service with a method that reads and writes a stream of messages at once, behind limits.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use palisade::{
    ErrorLayer,
    body::{BodyLimit, Deadline},
    observe::RequestIds,
    stack,
};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    codegen::{BoxFuture, Service},
    server::{Grpc, NamedService, StreamingService},
    transport::Server,
};
use tonic_prost::ProstCodec;

/// The method's path.
pub(crate) const TALK: &str = "/chat.v1.Chat/Talk";

/// The most bytes of a message.
pub(crate) const LIMIT: usize = 1000;

/// A message of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) bytes: Vec<u8>,
}

type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

/// Sends back what it reads, and the error with which reading ends.
#[derive(Clone)]
struct Chat;

impl StreamingService<Note> for Chat {
    type Response = Note;
    type ResponseStream = Notes;
    type Future = Ready<Result<Response<Notes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        // the response begins at once
        let greeting = tokio_stream::iter([Ok(Note::default())]);
        ready(Ok(Response::new(Box::pin(greeting.chain(request.into_inner())))))
    }
}

impl Service<http::Request<tonic::body::Body>> for Chat {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Note, Note>::default());
            Ok(grpc.streaming(Chat, request).await)
        })
    }
}

impl NamedService for Chat {
    const NAME: &'static str = "chat.v1.Chat";
}

pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let limits = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .timeout(Deadline::new(Duration::from_secs(60)))
        .body_limit(BodyLimit::new(LIMIT as u64).per_grpc_message());
    let server = Server::builder()
        .accept_http1(true)
        .layer(limits)
        .add_service(Chat)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}
