use std::{
    any::Any,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Body, BoxError, HttpResponse};

/// The state that a socket shares with the requests of its connection.
#[derive(Default)]
struct ConnectionState {
    /// Guards that are dropped with the connection.
    guards: Mutex<Vec<Box<dyn Any + Send>>>,
    /// The longest time without progress of a write, in milliseconds. 0: any time.
    write_idle: AtomicU64,
}

pin_project! {
    /// A tracked socket. [`TrackUpgrades`] can wait for its end, and `Deadline::write_idle` or [`Connection::limit_write_idle`]
    /// can close it if the client does not read.
    ///
    /// Wrap the socket in the accept loop. On axum, [`TrackedListener`](crate::TrackedListener) does it (feature `axum`).
    pub struct TrackedIo<T> {
        #[pin]
        io: T,
        shared: Arc<ConnectionState>,
        // Set while a write makes no progress.
        alarm: Option<Pin<Box<Sleep>>>,
    }
}

impl<T> fmt::Debug for TrackedIo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrackedIo")
    }
}

impl<T> TrackedIo<T> {
    /// Tracks this socket.
    pub fn new(io: T) -> Self {
        Self { io, shared: Arc::default(), alarm: None }
    }

    /// Returns the handle that requests of this connection carry.
    pub fn connection(&self) -> Connection {
        Connection(Arc::downgrade(&self.shared))
    }

    /// Fails a write that has made no progress for too long.
    fn in_time<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let this = self.project();
        let polled = write(this.io, cx);
        if polled.is_ready() {
            *this.alarm = None;
            return polled;
        }
        let longest = this.shared.write_idle.load(Ordering::Relaxed);
        if longest == 0 {
            return Poll::Pending;
        }
        let alarm =
            this.alarm.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(longest))));
        ready!(alarm.as_mut().poll(cx));
        let reason = format!("the client has not read for {longest} ms");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl<T: AsyncRead> AsyncRead for TrackedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite> AsyncWrite for TrackedIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx, |io, cx| io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// The connection that a request came in on. Made by [`TrackedIo::connection`]; a policy that leaves itself on each
/// request, as [`PeerAddr`](crate::PeerAddr) does.
#[derive(Clone)]
pub struct Connection(Weak<ConnectionState>);

impl Connection {
    /// Returns the connection that the server left on a request.
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        let own = extensions.get().cloned();
        #[cfg(feature = "axum")]
        let own = own.or_else(|| {
            let info = extensions.get::<axum::extract::ConnectInfo<TrackedPeer>>();
            info.map(|axum::extract::ConnectInfo(peer)| peer.connection.clone())
        });
        own
    }

    /// Keeps `guard` until the connection is closed. Drops it at once if it is closed already.
    pub fn hold(&self, guard: impl Send + 'static) {
        if let Some(shared) = self.0.upgrade() {
            shared.guards.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(guard));
        }
    }

    /// Closes the connection when a write makes no progress for this long, because the client does not read. Applies until
    /// it is changed. Precision: 1 ms.
    pub fn limit_write_idle(&self, time: Duration) {
        if let Some(shared) = self.0.upgrade() {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
            shared.write_idle.store(millis, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// Extends the response to an upgrade, such as a WebSocket, until its connection is closed, for inner layers that hold data
/// until the end of the response.
///
/// A response with 101 has no body, so without this layer the slot of a `ConcurrencyLimit` is released, and the access log has
/// its event, as soon as the WebSocket begins. Place it outside all other layers. It needs the [`Connection`] on the request,
/// because only the socket knows when it is closed; without it, it has no effect. Over HTTP/2 (RFC 8441) a WebSocket is one of
/// many streams of a connection, and this layer has no effect.
///
/// On hyper, for each connection:
///
/// ```
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use palisade_core::{PolicyLayer, TrackUpgrades, TrackedIo};
/// # use tower::{Layer, service_fn};
/// # let stream = tokio::io::empty();
/// # let guarded = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
/// let stream = TrackedIo::new(stream);
/// let service = TrackUpgrades::new().layer(guarded.clone());
/// let service = PolicyLayer::new(stream.connection()).layer(service);
/// // …serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades()
/// ```
///
/// On axum, with the feature `axum`:
///
#[cfg_attr(feature = "axum", doc = "```no_run")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, routing::get};
/// use palisade_core::{TrackUpgrades, TrackedListener, TrackedPeer};
///
/// # async fn serve() -> std::io::Result<()> {
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(TrackUpgrades::new());
/// let listener = TrackedListener(tokio::net::TcpListener::bind("127.0.0.1:3000").await?);
/// axum::serve(listener, app.into_make_service_with_connect_info::<TrackedPeer>()).await
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackUpgrades(());

impl TrackUpgrades {
    /// Returns the layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for TrackUpgrades {
    type Service = TrackUpgradesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackUpgradesService { inner }
    }
}

/// A service whose upgraded connections are part of its responses. Made by [`TrackUpgrades`].
#[derive(Clone, Debug)]
pub struct TrackUpgradesService<S> {
    inner: S,
}

impl<S, ReqB> Service<Request<ReqB>> for TrackUpgradesService<S>
where
    S: Service<Request<ReqB>>,
    S::Response:
        HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
{
    type Response = Response<Body<<S::Response as HttpResponse>::Body>>;
    type Error = S::Error;
    type Future = TrackUpgradesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        // Only these can be upgraded; all others skip the look-up.
        let may_upgrade = request.headers().contains_key(http::header::UPGRADE)
            || request.method() == Method::CONNECT;
        let connection = if may_upgrade && request.version() <= http::Version::HTTP_11 {
            Connection::from_extensions(request.extensions())
        } else {
            None
        };
        let connects = request.method() == Method::CONNECT;
        TrackUpgradesFuture { inner: self.inner.call(request), connection, connects }
    }
}

pin_project! {
    /// The future of [`TrackUpgradesService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TrackUpgradesFuture<F> {
        #[pin]
        inner: F,
        connection: Option<Connection>,
        connects: bool,
    }
}

impl<F> fmt::Debug for TrackUpgradesFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackUpgradesFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for TrackUpgradesFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: HttpResponse<Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
{
    type Output = Result<Response<Body<R::Body>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (head, body) = ready!(this.inner.poll(cx))?.into_response().into_parts();
        let is_upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS
            || *this.connects && head.status.is_success();
        let body = match this.connection.take() {
            Some(connection) if is_upgraded => {
                // The body was complete before it is dropped with the connection.
                http_body::Body::is_end_stream(&body);
                connection.hold(body);
                Body::empty()
            }
            _ => body,
        };
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}

/// The address of a socket's peer, and the connection, as axum's `ConnectInfo` carries them for a
/// [`TrackedListener`](crate::TrackedListener).
#[cfg(feature = "axum")]
#[derive(Clone, Debug)]
pub struct TrackedPeer {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) connection: Connection,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connection_of_a_client_that_stops_reading_is_closed() {
        let (server, mut client) = tokio::io::duplex(16);
        let mut server = TrackedIo::new(server);
        server.write_all(&[0; 16]).await.unwrap();
        server.connection().limit_write_idle(Duration::from_secs(5));
        let before = tokio::time::Instant::now();
        let error = server.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed().as_secs(), 5);

        // One that reads slowly keeps it.
        let mut taken = [0; 1];
        for _ in 0..20 {
            sleep(Duration::from_secs(4)).await;
            client.read_exact(&mut taken).await.unwrap();
            server.write_all(&[0; 1]).await.unwrap();
        }
    }

    #[test]
    fn guards_are_dropped_with_the_socket() {
        let socket = TrackedIo::new(tokio::io::empty());
        let connection = socket.connection();
        let guard = Arc::new(());
        connection.hold(Arc::clone(&guard));
        assert_eq!(Arc::strong_count(&guard), 2);
        drop(socket);
        assert_eq!(Arc::strong_count(&guard), 1);
        connection.hold(Arc::clone(&guard));
        assert_eq!(Arc::strong_count(&guard), 1, "it is closed already");
    }
}
