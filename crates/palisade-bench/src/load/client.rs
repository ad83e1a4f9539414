//! A client that sends at fixed rates, or as fast as it can.

use std::{
    cell::Cell,
    fmt,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use hdrhistogram::Histogram;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    runtime::Runtime,
    task::{LocalSet, yield_now},
};

use super::server::pin_to_core;
use crate::Error;

/// The protocol that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1, one connection for each request in flight.
    #[default]
    Http1,
    /// HTTP/2 without TLS, one connection for all requests.
    Http2,
    /// A unary gRPC call: like [`Http2`](Self::Http2), with the body of the request as the message. The client sends it by POST
    /// and adds the prefix of the message, `Content-Type` and `TE`.
    Grpc,
}

/// What one turn came to.
pub(super) struct Ran {
    /// Latencies in nanoseconds.
    pub(super) latencies: Histogram<u64>,
    /// From the first request to the end of the last response.
    pub(super) elapsed: Duration,
}

/// Latencies from 1 ns to an hour, with three digits.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds and digits are allowed")
}

/// What a response says about its request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    status: StatusCode,
    /// From the head or from the trailers.
    grpc_status: Option<HeaderValue>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match &self.grpc_status {
            Some(status) => {
                write!(f, ", grpc-status {}", String::from_utf8_lossy(status.as_bytes()))
            }
            None => Ok(()),
        }
    }
}

pub(super) struct Client {
    runtime: Runtime,
    request: Request<Bytes>,
    protocol: Protocol,
    in_flight: usize,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// When the requests of a turn are due.
struct Schedule {
    start: Instant,
    end: Instant,
    /// The time between two requests; `None` if each is due at once.
    every: Option<Duration>,
    next: Cell<u32>,
}

impl Schedule {
    /// Returns when the next request is due, or `None` at the end of the turn.
    fn next(&self) -> Option<Instant> {
        let due = match self.every {
            None => Instant::now(),
            Some(every) => self.start + every * self.next.replace(self.next.get() + 1),
        };
        (due < self.end).then_some(due)
    }
}

impl Client {
    pub(super) fn new(
        request: Request<Bytes>,
        protocol: Protocol,
        in_flight: usize,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.map_err(Error::Runtime)?, request, protocol, in_flight })
    }

    /// Returns the outcome of one request.
    pub(super) fn outcome(&self, server: SocketAddr) -> Result<Outcome, Error> {
        let local = LocalSet::new();
        let asked = local.block_on(&self.runtime, async {
            let mut senders = self.connect(server, 1).await?;
            senders[0].send(self.request_to(server)?).await
        });
        asked.map_err(Error::Client)
    }

    /// Sends requests for `turn`: `rate` per second, or as many as it can.
    pub(super) fn run(
        &self,
        server: SocketAddr,
        rate: Option<u32>,
        turn: Duration,
        expected: &Outcome,
    ) -> Result<Ran, Error> {
        // The thread is of use to its owner afterwards: only the client's own thread stays on a core.
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                pin_to_core(1);
                let local = LocalSet::new();
                local.block_on(&self.runtime, self.run_here(server, rate, turn, expected))
            });
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .map_err(Error::Client)
    }

    async fn run_here(
        &self,
        server: SocketAddr,
        rate: Option<u32>,
        turn: Duration,
        expected: &Outcome,
    ) -> Result<Ran, String> {
        let senders = self.connect(server, self.in_flight).await?;
        let request = self.request_to(server)?;
        let start = Instant::now();
        let every = rate.map(|rate| Duration::from_secs(1) / rate);
        let schedule = Rc::new(Schedule { start, end: start + turn, every, next: Cell::new(0) });
        let workers: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                tokio::task::spawn_local(work(
                    sender,
                    request.clone(),
                    Rc::clone(&schedule),
                    expected.clone(),
                ))
            })
            .collect();
        let mut latencies = new_histogram();
        for worker in workers {
            latencies += worker.await.map_err(|error| error.to_string())??;
        }
        Ok(Ran { latencies, elapsed: start.elapsed() })
    }

    async fn connect(&self, server: SocketAddr, requests: usize) -> Result<Vec<Sender>, String> {
        let stream = || async {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        };
        let failed = |error: &dyn std::error::Error| format!("{server}: {error}");
        match self.protocol {
            Protocol::Http1 => {
                let mut senders = Vec::new();
                for _ in 0..requests {
                    let stream = stream().await.map_err(|error| failed(&error))?;
                    let (sender, connection) =
                        http1::handshake(stream).await.map_err(|error| failed(&error))?;
                    tokio::spawn(connection);
                    senders.push(Sender::Http1(sender));
                }
                Ok(senders)
            }
            Protocol::Http2 | Protocol::Grpc => {
                let stream = stream().await.map_err(|error| failed(&error))?;
                let handshake = http2::handshake(TokioExecutor::new(), stream).await;
                let (sender, connection) = handshake.map_err(|error| failed(&error))?;
                tokio::spawn(connection);
                Ok((0..requests).map(|_| Sender::Http2(sender.clone())).collect())
            }
        }
    }

    fn request_to(&self, server: SocketAddr) -> Result<Request<Full<Bytes>>, String> {
        let mut request = self.request.clone();
        if self.protocol == Protocol::Grpc {
            let mut message = BytesMut::new();
            message.put_u8(0); // not compressed
            message
                .put_u32(u32::try_from(request.body().len()).map_err(|error| error.to_string())?);
            message.put_slice(request.body());
            *request.body_mut() = message.freeze();
            *request.method_mut() = Method::POST;
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if self.protocol != Protocol::Http1 {
            // HTTP/2 has `:authority`.
            request.headers_mut().remove(header::HOST);
        }
        let mut request = request.map(Full::new);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match self.protocol {
            Protocol::Http1 => {
                let host = HeaderValue::from_str(&server.to_string())
                    .map_err(|error| error.to_string())?;
                *request.uri_mut() = path.parse().map_err(|_| format!("no path: {path:?}"))?;
                request.headers_mut().insert(header::HOST, host);
            }
            Protocol::Http2 | Protocol::Grpc => {
                let uri = Uri::builder()
                    .scheme("http")
                    .authority(server.to_string())
                    .path_and_query(path);
                *request.uri_mut() = uri.build().map_err(|error| error.to_string())?;
                *request.version_mut() = http::Version::HTTP_2;
            }
        }
        Ok(request)
    }
}

impl Sender {
    /// Sends a request, and reads the response to its end.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Outcome, String> {
        let failed = |error: hyper::Error| {
            format!("no response: {error}; the server closes the connection if the service fails")
        };
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await
            }
        };
        let response = response.map_err(failed)?;
        let status = response.status();
        let grpc_status = |headers: &HeaderMap| headers.get("grpc-status").cloned();
        let mut outcome = Outcome { status, grpc_status: grpc_status(response.headers()) };
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(trailers) = frame.map_err(failed)?.into_trailers() {
                outcome.grpc_status = outcome.grpc_status.or_else(|| grpc_status(&trailers));
            }
        }
        Ok(outcome)
    }
}

/// Sends the requests that are due, one after another. Several workers share a schedule.
async fn work(
    mut sender: Sender,
    request: Request<Full<Bytes>>,
    schedule: Rc<Schedule>,
    expected: Outcome,
) -> Result<Histogram<u64>, String> {
    let mut latencies = new_histogram();
    while let Some(due) = schedule.next() {
        // tokio's timer counts milliseconds; the client has a core of its own to wait more exactly.
        while Instant::now() < due {
            yield_now().await;
        }
        let outcome = sender.send(request.clone()).await?;
        if outcome != expected {
            return Err(format!("the status changed from {expected} to {outcome} under load"));
        }
        latencies.saturating_record(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
        // In place of a timer that never fires: lets the other workers and the connections run.
        yield_now().await;
    }
    Ok(latencies)
}
