use std::{
    sync::Once,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use palisade_core::{AcceptsBody, Body, BoxError, Connection, DiscardOnDrop, is_grpc, is_grpc_web};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{DeadlineFuture, NAME, TimedBody, body::Pace, future::Exchange};
use crate::{asker::Asker, grpc};

/// Gives the inner service so long to answer, and answers itself when the time is up; the handler's future is dropped
/// before the client hears of it.
///
/// | too slow is | the client gets |
/// | --- | --- |
/// | the handler | 504 `DEADLINE_EXCEEDED` |
/// | the client, and the handler waits for the rest of the body | 408 `REQUEST_TIMEOUT` |
/// | the client, between two pieces of the body ([`request_idle`](Self::request_idle)) | 408, whatever the handler makes of the body's error |
/// | the handler, between two pieces of the response ([`response_idle`](Self::response_idle)) | a response that breaks off |
///
/// The deadline ends with the response's head: a stream, and a connection that has become another protocol's, may go on
/// for as long as they like, under the idle times where they are set. (An upgraded connection is out of reach of any
/// layer.) How fast a client takes what the server sends
/// only the socket sees: [`write_idle`](Self::write_idle).
///
/// # gRPC
///
/// A client of gRPC or gRPC-web says in `grpc-timeout` how long it is going to wait; the shorter of the two times counts,
/// and the answer is `DEADLINE_EXCEEDED`. The client's own time also ends a stream that has begun, with that status and its
/// details in the trailers.
///
/// # Costs
///
/// No timer is touched where the inner service answers at once. Where it does not, tokio's timer must be there.
///
/// ```
/// use std::time::Duration;
/// use palisade_body::Deadline;
///
/// let layer = Deadline::new(Duration::from_secs(10)).idle(Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    after: Duration,
    request_idle: Option<Duration>,
    response_idle: Option<Duration>,
    write_idle: Option<Duration>,
}

impl Deadline {
    /// Answers within `after`, the time included in which the request's body arrives.
    ///
    /// ```
    /// use std::{future::pending, time::Duration};
    /// use bytes::Bytes;
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Full;
    /// use palisade_body::Deadline;
    /// use tower::{BoxError, Layer, ServiceExt, service_fn};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let never = service_fn(|_: Request<_>| pending::<Result<Response<Full<Bytes>>, BoxError>>());
    /// let service = Deadline::new(Duration::from_millis(1)).layer(never);
    /// let response = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    /// assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    /// # });
    /// ```
    pub fn new(after: Duration) -> Self {
        Self { after, request_idle: None, response_idle: None, write_idle: None }
    }

    /// The longest pause between two frames, of the request's body and of the response's. There is none unless it is
    /// set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_body::Deadline;
    ///
    /// let layer = Deadline::new(Duration::from_secs(60)).idle(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn idle(self, pause: Duration) -> Self {
        self.request_idle(pause).response_idle(pause)
    }

    /// The longest pause between two frames of the request's body, while somebody waits for the next one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_body::Deadline;
    ///
    /// let layer = Deadline::new(Duration::from_secs(60)).request_idle(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn request_idle(mut self, pause: Duration) -> Self {
        self.request_idle = Some(pause);
        self
    }

    /// The longest pause between two frames of the response's body, while the client waits for the next one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_body::Deadline;
    ///
    /// let layer = Deadline::new(Duration::from_secs(10)).response_idle(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn response_idle(mut self, pause: Duration) -> Self {
        self.response_idle = Some(pause);
        self
    }

    /// Closes the connection of a client that has not read for this long while the server has more to send. Default: no
    /// limit.
    ///
    /// A client that does not read keeps a response, and what is held for it, for as long as it likes: the body is not
    /// asked for more, so no layer sees it. Only the socket does, so the server must wrap its sockets in
    /// [`TrackedIo`](palisade_core::TrackedIo) or [`TrackedListener`](palisade_core::TrackedListener) and leave the
    /// [`Connection`](palisade_core::Connection) on its requests. Without one, the setting has no effect, and the log says so
    /// once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_body::Deadline;
    ///
    /// let layer = Deadline::new(Duration::from_secs(10)).write_idle(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub fn write_idle(mut self, pause: Duration) -> Self {
        self.write_idle = Some(pause);
        self
    }
}

fn limit_write_idle(request: &Extensions, pause: Duration) {
    static WARNED: Once = Once::new();
    match Connection::from_extensions(request) {
        Some(connection) => connection.limit_write_idle(pause),
        None => WARNED.call_once(|| {
            tracing::warn!(
                target: "palisade::body",
                "Deadline::write_idle has no effect: the requests carry no Connection; wrap the sockets in TrackedIo, \
                 or the listener in TrackedListener"
            );
        }),
    }
}

impl<S> Layer<S> for Deadline {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, deadline: *self }
    }
}

/// A service that answers in time. Made by [`Deadline`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    deadline: Deadline,
}

impl<S, ReqB> Service<Request<ReqB>> for DeadlineService<S>
where
    S: AcceptsBody<TimedBody<ReqB>>,
    ReqB: http_body::Body<Data = Bytes> + Unpin + 'static,
    ReqB::Error: Into<BoxError>,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let Deadline { after, request_idle, response_idle, write_idle } = self.deadline;
        if let Some(pause) = write_idle {
            limit_write_idle(request.extensions(), pause);
        }
        let is_grpc = is_grpc(request.headers()) || is_grpc_web(request.headers());
        let patience = is_grpc.then(|| grpc::timeout(request.headers())).flatten();
        // Most requests have no body, and nothing to share with it.
        let pace = (!request.body().is_end_stream()).then(Pace::shared);
        let exchange = Exchange {
            asker: Asker::of(&request, NAME),
            // A time that the clock cannot tell never comes.
            given_up_at: patience.and_then(|patience| Instant::now().checked_add(patience)),
            response_idle,
            pace: pace.clone(),
        };
        let after = patience.map_or(after, |patience| patience.min(after));
        let (head, body) = request.into_parts();
        let body = TimedBody::new(DiscardOnDrop::new(&head, body), request_idle, pace);
        let request = Request::from_parts(head, body);
        DeadlineFuture::new(self.inner.call(request), after, exchange)
    }
}
