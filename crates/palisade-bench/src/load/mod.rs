//! Real servers under real load.

mod client;
mod report;
mod server;

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::Request;

use self::{
    client::Client,
    server::{App, Server},
};
pub use self::{
    client::Protocol,
    report::{LoadReport, LoadRow, UserTime},
    server::Servable,
};
use crate::{Error, instructions::callgrind, measurement::outside_of_runtimes, progress::Progress};

/// Measures services behind a real server on loopback: requests per second, latency, and the processor time of the server.
///
/// Each service runs on a server of its own, which has one thread and, if the machine has several cores, a core of its own. The
/// client runs on another core. The services take turns. Each one is first measured as fast as the client can, then at fixed
/// rates: there the client sends each request when it is due, however slow the responses are, and latency counts from the time when
/// the request was due.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use palisade_bench::Load;
/// use tower::{ServiceBuilder, service_fn};
/// use tower_http::set_header::SetResponseHeaderLayer;
///
/// let hello = service_fn(async |_: Request<hyper::body::Incoming>| {
///     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
/// });
/// let server = http::HeaderValue::from_static("bench");
/// let with_header = ServiceBuilder::new()
///     .layer(SetResponseHeaderLayer::overriding(http::header::SERVER, server))
///     .service(hello);
///
/// let report = Load::loopback(hello)
///     .beside("with a header", with_header)
///     .rates([2_000])
///     .turn(Duration::from_millis(50))
///     .rounds(1)
///     .run()?;
/// report.print();
/// assert_eq!(report.rows.len(), 4, "two services, each as fast as possible and at one rate");
/// # Ok::<_, palisade_bench::Error>(())
/// ```
pub struct Load {
    title: String,
    apps: Vec<(String, App)>,
    request: Request<Bytes>,
    protocol: Protocol,
    rates: Vec<u32>,
    in_flight: usize,
    turn: Duration,
    rounds: usize,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("title", &self.title)
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

impl Load {
    /// Measures `app`: any tower service that hyper can serve. It is the base, "bare", that others are compared with.
    pub fn loopback<A: Servable>(app: A) -> Self {
        Self {
            title: "Load".to_owned(),
            apps: vec![("bare".to_owned(), app.into_app())],
            request: Request::new(Bytes::new()),
            protocol: Protocol::default(),
            rates: Vec::new(),
            in_flight: 32,
            turn: Duration::from_secs(1),
            rounds: 5,
        }
    }

    /// Adds a service that takes turns with the others.
    #[must_use]
    pub fn beside<A: Servable>(mut self, name: impl Into<String>, app: A) -> Self {
        self.apps.push((name.into(), app.into_app()));
        self
    }

    /// Sets the title of the report. Default: "Load".
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the request. Its URI is a path; the client adds `Host`. Default: `GET /` without a body.
    #[must_use]
    pub fn request(mut self, request: Request<impl Into<Bytes>>) -> Self {
        self.request = request.map(Into::into);
        self
    }

    /// Sets the protocol. Default: HTTP/1.1.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets the rates, in requests per second. Default: none; the services are only measured as fast as possible.
    #[must_use]
    pub fn rates(mut self, rates: impl IntoIterator<Item = u32>) -> Self {
        self.rates = rates.into_iter().filter(|rate| *rate > 0).collect();
        self
    }

    /// Sets how many requests may be in flight at the same time. Default: 32.
    #[must_use]
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.max(1);
        self
    }

    /// Sets how long each service is measured in one round and at one rate. Default: 1 s.
    #[must_use]
    pub fn turn(mut self, turn: Duration) -> Self {
        self.turn = turn;
        self
    }

    /// Sets the number of rounds, at least 1. Default: 5.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Returns how long [`run`](Self::run) takes.
    pub fn duration(&self) -> Duration {
        let turns = self.rounds * self.apps.len() * (1 + self.rates.len());
        self.turn * u32::try_from(turns).unwrap_or(u32::MAX)
    }

    /// Starts the servers, measures, and stops them.
    ///
    /// # Errors
    ///
    /// Fails if a server cannot be started, a request gets no response, or two services answer with different statuses. The status
    /// of a gRPC call contains its `grpc-status`.
    pub fn run(self) -> Result<LoadReport, Error> {
        outside_of_runtimes(|| self.run_here())
    }

    fn run_here(self) -> Result<LoadReport, Error> {
        if callgrind::counted_ladder().is_some() {
            return Ok(LoadReport { title: self.title, rows: Vec::new() });
        }
        let mut progress = Progress::new(&self.title, self.rounds);
        let mut servers = Vec::new();
        for (name, app) in self.apps {
            servers.push((name, Server::start(app)?));
        }
        let client = Client::new(self.request, self.protocol, self.in_flight)?;
        let expected = client.outcome(servers[0].1.address)?;
        for (name, server) in &servers {
            let outcome = client.outcome(server.address)?;
            if outcome != expected {
                return Err(Error::Client(format!(
                    "{name:?} answers {outcome}, the first service {expected}"
                )));
            }
        }
        let loads: Vec<Option<u32>> =
            std::iter::once(None).chain(self.rates.into_iter().map(Some)).collect();
        let mut rows: Vec<_> = loads
            .iter()
            .flat_map(|rate| servers.iter().map(|(name, _)| report::Samples::new(name, *rate)))
            .collect();
        for round in 0..self.rounds {
            progress.during(&format!("round {}", round + 1), || {
                let measured =
                    loads.iter().flat_map(|rate| servers.iter().map(|(_, server)| (*rate, server)));
                for ((rate, server), row) in measured.zip(&mut rows) {
                    let before = server.user_time();
                    let ran = client.run(server.address, rate, self.turn, &expected)?;
                    row.add(ran, server.user_time() - before);
                }
                Ok::<_, Error>(())
            })?;
        }
        Ok(LoadReport::new(self.title, servers.len(), &rows))
    }
}
