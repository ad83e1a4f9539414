//! The behaviour of limits through the layer, on a manual clock.

mod calendar;
mod costs;
mod failures;
mod floods;
mod headers;
mod measured;
mod modes;
mod operators;
mod races;
mod settled;
mod several_quotas;
mod tiers;
mod trailers;

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use palisade_core::{
    ApiError, ErrorFormat, ErrorLayer, ManualClock, PeerAddr,
    testing::{Log, Script},
};
use palisade_rate_limit::{Key, Quota, RateLimit, RateLimitBuilder};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Quotas of all algorithms.
const TIMED: [fn(Quota) -> Quota; 5] =
    [Quota::sliding_window, Quota::fixed_window, Quota::strict, Quota::gcra, Quota::exact_log];

/// A request of the client with this number.
fn from(client: u32) -> Request<Script> {
    to("/", client)
}

fn to(path: &str, client: u32) -> Request<Script> {
    let peer = std::net::Ipv4Addr::from_bits(0x0A00_0000 + client);
    let request = Request::post(path).extension(PeerAddr((peer, 4000).into()));
    request.body(Script::empty()).unwrap()
}

/// The same over gRPC.
fn grpc(mut request: Request<Script>) -> Request<Script> {
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    request
}

/// Builds a limit on a manual clock.
fn clocked<K: Key>(builder: RateLimitBuilder<K>) -> (RateLimit<K>, ManualClock) {
    let clock = ManualClock::default();
    (builder.clock(Arc::new(clock.clone())).build().unwrap(), clock)
}

/// The result of a request.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// The error of the response, if the request was rejected.
    error: Option<ApiError>,
}

impl Answer {
    fn passed(&self) -> bool {
        self.status == StatusCode::OK && self.error.is_none()
    }

    fn limited(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// All lines of a field.
    fn fields(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The `r` of each quota.
    fn remaining(&self) -> Vec<u32> {
        let remaining = |field: &str| {
            let (_, rest) = field.split_once(";r=").unwrap();
            rest.split(';').next().unwrap().parse().unwrap()
        };
        self.fields("ratelimit").into_iter().map(remaining).collect()
    }

    /// The names of the exceeded quotas.
    fn violated(&self) -> Vec<&str> {
        let violations = self.error.as_ref().unwrap().quota_violations();
        violations.iter().map(|violation| &*violation.name).collect()
    }
}

/// Sends a request through a limit to a handler that answers at once, with errors as problem details.
fn answered<K: Key>(
    limit: &RateLimit<K>,
    request: Request<Script>,
    handler: impl Fn() -> Response<Script>,
) -> Answer {
    let service = service_fn(|_: Request<Script>| {
        let response = handler();
        async { Ok::<_, Infallible>(response) }
    });
    let errors = ErrorLayer::new().format(ErrorFormat::Problem);
    now(async {
        let response = errors.layer(limit.layer().layer(service)).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            error: head.extensions.get().cloned(),
            headers: head.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        }
    })
}

fn send<K: Key>(limit: &RateLimit<K>, request: Request<Script>) -> Answer {
    answered(limit, request, ok)
}

fn ok() -> Response<Script> {
    Response::new(Script::empty())
}

fn with_status(status: u16) -> Response<Script> {
    Response::builder().status(status).body(Script::empty()).unwrap()
}

/// Returns the output of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    let Poll::Ready(outcome) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for something")
    };
    outcome
}

/// What is logged while `run` runs.
fn logged(run: impl FnOnce()) -> String {
    Log::during(Level::INFO, run)
}
