use std::{
    fmt::{self, Debug},
    future::{Future, poll_fn},
    hint::black_box,
    pin::pin,
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::{runtime::Runtime, time::timeout};
use tower_service::Service;

use crate::requests::Requests;

/// One side of a [`Comparison`](crate::Comparison): a service with its requests, or a closure.
///
/// ```
/// use palisade_bench::Subject;
///
/// let text = "7".to_owned();
/// let parse = Subject::work("str::parse", move || text.parse::<u32>().unwrap());
/// assert_eq!(parse.name(), "str::parse");
/// ```
pub struct Subject {
    name: String,
    pub(crate) run: Box<dyn Run>,
}

impl Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Subject {
    /// Measures a service with the requests that `request` makes, and reads each response to its end. Making a request is not
    /// part of the measurement; cloning the service is, as servers do for each request.
    pub fn service<S, B>(
        name: impl Into<String>,
        service: S,
        request: impl FnMut() -> Request<B> + Clone + Send + 'static,
    ) -> Self
    where
        S: Service<Request<B>, Response: MeasuredResponse, Error: Debug> + Clone + Send + 'static,
        B: Send + 'static,
    {
        let run = Box::new(ServiceRun { service, request, prepared: Vec::new() });
        Self { name: name.into(), run }
    }

    /// Measures a closure.
    pub fn work<T>(
        name: impl Into<String>,
        work: impl FnMut() -> T + Clone + Send + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(WorkRun { work, prepared: 0 }) }
    }

    pub(crate) fn new(name: &str, run: Box<dyn Run>) -> Self {
        Self { name: name.to_owned(), run }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A service that can be measured: any tower service over http whose clones serve requests of their own.
///
/// Implemented for all services that fit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be measured with requests of body `{B}`",
    note = "a measured service is `Clone + Send + 'static`, takes `http::Request<B>`, and returns an `http::Response` with a body that implements `http_body::Body`",
    note = "a layer that changes the type of the request's body is measured around a service that accepts any body, such as axum's `Router` or `AnyBody::new(service)`"
)]
pub trait Measured<B>: Clone {
    #[doc(hidden)]
    fn with_requests(self, requests: Requests<B>) -> Box<dyn Run>;
}

impl<S, B> Measured<B> for S
where
    S: Service<Request<B>, Response: MeasuredResponse, Error: Debug> + Clone + Send + 'static,
    B: Send + 'static,
{
    fn with_requests(self, requests: Requests<B>) -> Box<dyn Run> {
        Subject::service("", self, move || requests.make()).run
    }
}

/// An `http::Response` whose body can be read to its end.
///
/// A trait of its own instead of a bound `Response = Response<B>`: rustc's inference of nested services takes exponential time
/// with the latter.
pub trait MeasuredResponse: sealed::Sealed {
    #[doc(hidden)]
    fn status(&self) -> StatusCode;

    /// Reads the body to its end. Returns false if the body fails.
    #[doc(hidden)]
    fn read(self) -> impl Future<Output = bool>;

    /// Reads the body to its end, and returns what head and trailers say.
    #[doc(hidden)]
    fn outcome(self) -> impl Future<Output = Result<Outcome, String>>;
}

impl<B: Body<Error: Debug>> MeasuredResponse for Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    async fn read(self) -> bool {
        let mut body = pin!(self.into_body());
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    }

    async fn outcome(self) -> Result<Outcome, String> {
        let status = Some(self.status());
        let mut grpc_status = grpc_status(self.headers());
        let mut body = pin!(self.into_body());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("the response's body failed: {error:?}"))?;
            grpc_status = grpc_status.or(frame.trailers_ref().and_then(self::grpc_status));
        }
        Ok(Outcome { status, grpc_status })
    }
}

fn grpc_status(fields: &HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// What a single response says about its request.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `None` for a closure.
    pub status: Option<StatusCode>,
    /// The status of a gRPC call, from the head or from the trailers.
    pub grpc_status: Option<u16>,
}

/// What some requests in a row came to.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The time from the first call to the end of the last body.
    pub elapsed: Duration,
    /// How often the futures of the service and of the bodies were polled.
    pub polls: u64,
    /// The status of the last response that differs from the first one's, or the status of all. `None` for a closure.
    pub status: Option<StatusCode>,
    /// True if the service or a body failed.
    pub failed: bool,
}

/// A subject with its type erased outside of the measured loop.
#[doc(hidden)]
pub trait Run: Send {
    /// Sends one request. Returns the outcome of the response, or the reason why the request failed.
    fn probe(&mut self, runtime: &Runtime) -> Result<Outcome, String>;

    /// Makes `count` requests.
    fn prepare(&mut self, count: usize);

    /// Sends the prepared requests one after another.
    fn run(&mut self, runtime: &Runtime) -> Batch;

    /// Returns a clone, for another thread.
    fn fork(&self) -> Box<dyn Run>;

    /// Returns the size of the future that the service returns, in bytes.
    fn future_bytes(&self) -> Option<usize>;
}

/// How long the first response of a service may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct ServiceRun<S, R, B> {
    service: S,
    request: R,
    prepared: Vec<Request<B>>,
}

impl<S, R, B> Run for ServiceRun<S, R, B>
where
    S: Service<Request<B>, Response: MeasuredResponse, Error: Debug> + Clone + Send + 'static,
    R: FnMut() -> Request<B> + Clone + Send + 'static,
    B: Send + 'static,
{
    fn probe(&mut self, runtime: &Runtime) -> Result<Outcome, String> {
        let (mut service, request) = (self.service.clone(), (self.request)());
        let answered = async {
            let failed = |error: S::Error| format!("the service failed: {error:?}");
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            service.call(request).await.map_err(failed)?.outcome().await
        };
        let late = |_| {
            Err(format!(
                "no response within {PATIENCE:?}; a service whose background tasks belong to a runtime needs that \
                 runtime to have threads of its own"
            ))
        };
        runtime.block_on(async { timeout(PATIENCE, answered).await.unwrap_or_else(late) })
    }

    fn prepare(&mut self, count: usize) {
        let received = || with_room((self.request)());
        self.prepared.extend(std::iter::repeat_with(received).take(count));
    }

    fn run(&mut self, runtime: &Runtime) -> Batch {
        runtime.block_on(tokio::task::unconstrained(async {
            let mut polls = 0;
            let mut common = None;
            let mut failed = false;
            let start = Instant::now();
            for request in self.prepared.drain(..) {
                // A server clones the service too: hyper-util for each request, axum for each connection and request.
                let mut service = self.service.clone();
                let mut answered = pin!(async {
                    poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
                    let response = service.call(request).await.ok()?;
                    let status = response.status();
                    response.read().await.then_some(status)
                });
                let status = poll_fn(|cx| {
                    polls += 1;
                    answered.as_mut().poll(cx)
                });
                match (status.await, common) {
                    (Some(status), None) => common = Some(status),
                    (Some(status), Some(first)) if status != first => common = Some(status),
                    (Some(_), Some(_)) => {}
                    (None, _) => failed = true,
                }
            }
            Batch { elapsed: start.elapsed(), polls, status: common, failed }
        }))
    }

    fn fork(&self) -> Box<dyn Run> {
        let (service, request) = (self.service.clone(), self.request.clone());
        Box::new(Self { service, request, prepared: Vec::new() })
    }

    fn future_bytes(&self) -> Option<usize> {
        Some(size_of::<S::Future>())
    }
}

/// Returns the request with the room for more fields that hyper's parser leaves: hyper reserves the number of received fields. The
/// fields of a clone have no room, and the first field that a layer adds would move all of them.
fn with_room<B>(mut request: Request<B>) -> Request<B> {
    let fields = request.headers_mut();
    let mut received = HeaderMap::new();
    received.reserve(fields.len());
    for (name, value) in fields.iter() {
        received.append(name.clone(), value.clone());
    }
    *fields = received;
    request
}

struct WorkRun<F> {
    work: F,
    prepared: usize,
}

impl<F: FnMut() -> T + Clone + Send + 'static, T> Run for WorkRun<F> {
    fn probe(&mut self, _: &Runtime) -> Result<Outcome, String> {
        black_box((self.work)());
        Ok(Outcome::default())
    }

    fn prepare(&mut self, count: usize) {
        self.prepared += count;
    }

    fn run(&mut self, _: &Runtime) -> Batch {
        let start = Instant::now();
        for _ in 0..std::mem::take(&mut self.prepared) {
            black_box((self.work)());
        }
        Batch { elapsed: start.elapsed(), polls: 0, status: None, failed: false }
    }

    fn fork(&self) -> Box<dyn Run> {
        Box::new(Self { work: self.work.clone(), prepared: 0 })
    }

    fn future_bytes(&self) -> Option<usize> {
        None
    }
}

mod sealed {
    pub trait Sealed {}
    impl<B: http_body::Body> Sealed for http::Response<B> {}
}
