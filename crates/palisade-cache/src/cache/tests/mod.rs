mod concurrency;
#[cfg(feature = "redis")]
mod fleet;
mod privacy;
mod queries;
mod serving;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body_util::{BodyExt, Full};
use palisade_core::{Body, Layer, ManualClock};
use tower::ServiceExt;
use tower_service::Service;

use super::{Cache, CacheBuilder, CacheService};

type Text = Full<Bytes>;
type Asked = Request<Body<Text>>;
type Answered = Pin<Box<dyn Future<Output = Result<Response<Text>, Infallible>> + Send>>;
type Handler = Arc<dyn Fn(usize, Asked) -> Answered + Send + Sync>;

/// A service that counts its calls.
#[derive(Clone)]
struct Origin {
    handler: Handler,
    calls: Arc<AtomicUsize>,
}

impl Service<Asked> for Origin {
    type Response = Response<Text>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Asked) -> Answered {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.handler)(number, request)
    }
}

/// A cache in front of a service, and its clock.
#[derive(Clone)]
struct Site {
    service: CacheService<Origin>,
    cache: Cache,
    calls: Arc<AtomicUsize>,
    clock: ManualClock,
}

const START: Duration = Duration::from_secs(1_700_000_000);

impl Site {
    /// A service that returns what `answer` makes of the number of the call and the request.
    fn new(
        builder: CacheBuilder,
        answer: impl Fn(usize, &Asked) -> response::Builder + Send + Sync + 'static,
    ) -> Self {
        Self::with_handler(builder, move |number, request| {
            let response = answer(number, &request).body(Text::from(format!("answer {number}")));
            Box::pin(std::future::ready(Ok(response.unwrap())))
        })
    }

    fn with_handler(
        builder: CacheBuilder,
        handler: impl Fn(usize, Asked) -> Answered + Send + Sync + 'static,
    ) -> Self {
        let clock = ManualClock::at(START);
        let cache = builder.clock(Arc::new(clock.clone())).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let origin = Origin { handler: Arc::new(handler), calls: Arc::clone(&calls) };
        Self { service: cache.layer(origin), cache, calls, clock }
    }

    /// Sends a request, and returns the head and the text of its response.
    async fn send(&self, request: http::request::Builder) -> (response::Parts, String) {
        self.send_with(request.body(Text::default()).unwrap()).await
    }

    async fn send_with(&self, request: Request<Text>) -> (response::Parts, String) {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (response::Parts, String) {
        self.send(Request::get(path)).await
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn ok() -> response::Builder {
    Response::builder()
}

fn minute() -> response::Builder {
    ok().header("cache-control", "max-age=60")
}

fn status(head: &response::Parts) -> &str {
    field(head, "cache-status")
}

fn field<'a>(head: &'a response::Parts, name: &str) -> &'a str {
    head.headers[name].to_str().unwrap()
}

/// Lets background tasks run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
