use std::{
    fmt::Debug,
    future::{Future, poll_fn},
    pin::pin,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower_service::Service;

/// A service that can be measured: any tower service over http whose clones serve requests of their own.
///
/// Implemented for all services that fit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be measured with requests of body `{B}`",
    note = "a measured service is `Clone + Send + 'static`, takes `http::Request<B>`, and returns an `http::Response` with a body that implements `http_body::Body`",
    note = "a step that is left out must not change the request's body for the service inside it: make the service generic over the body, or map the body outside of the measured steps"
)]
pub trait Measured<B>: Clone {
    #[doc(hidden)]
    fn into_subject(self) -> Box<dyn Subject<B>>;
}

impl<S, B> Measured<B> for S
where
    S: Service<Request<B>, Response: MeasuredResponse, Error: Debug> + Clone + Send + 'static,
    B: 'static,
{
    fn into_subject(self) -> Box<dyn Subject<B>> {
        Box::new(ServiceSubject(self))
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
}

impl<B: Body> MeasuredResponse for Response<B> {
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
}

/// What some requests in a row came to.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The time from the first call to the end of the last body.
    pub elapsed: Duration,
    /// How often the futures of the service and of the bodies were polled.
    pub polls: u64,
    /// The status of the last response that differs from the first one's, or the status of all. `None` if the service or a body failed.
    pub status: Option<StatusCode>,
}

/// A service with its type erased outside of the measured loop.
#[doc(hidden)]
pub trait Subject<B>: Send {
    /// Sends the requests one after another. `requests` is empty afterwards.
    fn run(&mut self, runtime: &tokio::runtime::Runtime, requests: &mut Vec<Request<B>>) -> Batch;

    /// Returns a clone of the service, for another thread.
    fn fork(&self) -> Box<dyn Subject<B>>;

    /// Returns the size of the future that the service returns, in bytes.
    fn future_bytes(&self) -> usize;
}

struct ServiceSubject<S>(S);

impl<S, B> Subject<B> for ServiceSubject<S>
where
    S: Service<Request<B>, Response: MeasuredResponse, Error: Debug> + Clone + Send + 'static,
{
    fn run(&mut self, runtime: &tokio::runtime::Runtime, requests: &mut Vec<Request<B>>) -> Batch {
        runtime.block_on(tokio::task::unconstrained(async {
            let mut polls = 0;
            let mut common = None;
            let mut failed = false;
            let start = Instant::now();
            for request in requests.drain(..) {
                // A server clones the service too: hyper-util for each request, axum for each connection and request.
                let mut service = self.0.clone();
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
            Batch { elapsed: start.elapsed(), polls, status: common.filter(|_| !failed) }
        }))
    }

    fn fork(&self) -> Box<dyn Subject<B>> {
        Box::new(Self(self.0.clone()))
    }

    fn future_bytes(&self) -> usize {
        size_of::<S::Future>()
    }
}

mod sealed {
    pub trait Sealed {}
    impl<B: http_body::Body> Sealed for http::Response<B> {}
}
