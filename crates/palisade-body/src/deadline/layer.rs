use std::{
    sync::Once,
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, Request, Response};
use palisade_core::{AcceptsBody, Body, BytesBody, Connection, DiscardOnDrop};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{DeadlineFuture, NAME, TimedBody, body::Pace, future::Exchange};
use crate::{grpc, responder::Responder};

/// Limits the time of the inner service. When it has passed, the handler's future is dropped, and the client gets an error.
///
/// | cause | response |
/// | --- | --- |
/// | the handler | 504 `DEADLINE_EXCEEDED` |
/// | the client, and the handler waits for the rest of the body | 408 `REQUEST_TIMEOUT` |
/// | the client, between two frames of the body ([`request_idle`](Self::request_idle)) | 408, also if the handler ignores the error of the body |
/// | the handler, between two frames of the response ([`response_idle`](Self::response_idle)) | an aborted response |
///
/// The deadline ends with the response's head. A streaming response has no time limit except the idle times, and an upgraded
/// connection is not limited by layers. Use [`write_idle`](Self::write_idle) for clients that do not read the response.
///
/// # gRPC
///
/// A client of gRPC or gRPC-web sends its timeout in `grpc-timeout`. The shorter of the two times applies, and the status is
/// `DEADLINE_EXCEEDED`. The client's timeout also ends a streaming response, with the status and its details in the trailers.
///
/// # Timers
///
/// No timer is set if the inner service responds at once. Otherwise tokio's timer must be enabled.
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

    /// Sets the longest pause between two frames, for the bodies of requests and responses. Default: no limit.
    #[must_use]
    pub fn idle(self, pause: Duration) -> Self {
        self.request_idle(pause).response_idle(pause)
    }

    /// Sets the longest pause between two frames of the request's body while the handler waits for one. Default: no limit.
    #[must_use]
    pub fn request_idle(mut self, pause: Duration) -> Self {
        self.request_idle = Some(pause);
        self
    }

    /// The longest pause between two frames of the response's body, while the client waits for the next one.
    #[must_use]
    pub fn response_idle(mut self, pause: Duration) -> Self {
        self.response_idle = Some(pause);
        self
    }

    /// Closes the connection of a client that has not read for this long while the server has more to send. Default: no
    /// limit.
    ///
    /// A client that does not read a response keeps its resources allocated. Layers cannot detect this, because the body is not
    /// polled. So the server must wrap its sockets in [`TrackedIo`](palisade_core::TrackedIo) or
    /// [`TrackedListener`](palisade_core::TrackedListener) and insert the [`Connection`](palisade_core::Connection) into its
    /// requests. Otherwise the setting has no effect, and a warning is logged once.
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
    ReqB: BytesBody + Unpin + 'static,
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
        let responder = Responder::for_request(&request, NAME);
        let patience = responder.is_grpc().then(|| grpc::timeout(request.headers())).flatten();
        // Requests without a body, which is most of them, share no state with it.
        let pace = (!request.body().is_end_stream()).then(Pace::shared);
        let exchange = Exchange {
            responder,
            // `None` if the time is beyond the range of the clock.
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
