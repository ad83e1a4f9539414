use std::{fmt, sync::Arc};

use http::{request, response};
use palisade_core::{
    Allowed, Clock, Decision, Description, Policy, PolicyLayer, RequestId, SystemClock,
    TrustedProxies, watch_until_end,
};

use crate::{
    AccessLog, Explain, RequestIds, RequestReport, TraceContext,
    record::{Record, Watcher},
    settings::Settings,
    trace_context::Continue,
};

/// Observes requests: sets request id and trace context, and reports each request to the access log and to metrics.
///
/// Place it outside all policies except [`TrustedProxies`]; outer policies are not observed. Each request is reported exactly
/// once: at the end of its response's body, or when the client disconnects, the service fails or a panic occurs.
///
/// ```
/// use http::{Request, Response};
/// use palisade_core::RequestId;
/// use palisade_observe::{Observe, TraceContext};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = Observe::new().layer().layer(service_fn(|request: Request<String>| async move {
///     let id = request.extensions().get::<RequestId>().expect("every request has a name");
///     let trace = request.extensions().get::<TraceContext>().expect("and is part of a trace");
///     Ok::<_, std::convert::Infallible>(Response::new(format!("{id} {}", trace.trace_id())))
/// }));
/// let response = service.oneshot(Request::new(String::new())).await.unwrap();
/// assert_eq!(response.headers()["x-request-id"].len(), 36);
/// # });
/// ```
#[derive(Clone)]
pub struct Observe {
    settings: Arc<Settings>,
}

impl Observe {
    /// Ids, traces and the access log.
    pub fn new() -> Self {
        Self {
            settings: Arc::new(Settings {
                ids: RequestIds::new(),
                traces: Continue::default(),
                clock: SystemClock::shared(),
                access_log: Some(AccessLog::new()),
                explain: None,
                reporters: Vec::new(),
                methods: Arc::default(),
                #[cfg(feature = "metrics")]
                metrics: false,
            }),
        }
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// Chooses whose ids are kept; see [`RequestIds`].
    #[must_use]
    pub fn request_ids(self, ids: RequestIds) -> Self {
        self.with(|settings| settings.ids = ids)
    }

    /// Starts a new trace for each request and ignores the client's. For servers at the edge, where a client could otherwise
    /// add requests to your traces.
    #[must_use]
    pub fn always_new_traces(self) -> Self {
        self.with(|settings| settings.traces = Continue::NoClient)
    }

    /// Continues traces of these proxies only, and starts new ones for all other clients.
    ///
    /// ```
    /// use palisade_core::TrustedProxies;
    /// use palisade_observe::Observe;
    ///
    /// let proxies = TrustedProxies::private_networks().build()?;
    /// let observe = Observe::new().traces_only_from(&proxies);
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    #[must_use]
    pub fn traces_only_from(self, proxies: &TrustedProxies) -> Self {
        self.with(|settings| settings.traces = Continue::Proxies(proxies.clone()))
    }

    /// Configures the access log; see [`AccessLog`].
    #[must_use]
    pub fn access_log(self, log: AccessLog) -> Self {
        self.with(|settings| settings.access_log = Some(log))
    }

    /// Disables the access log.
    #[must_use]
    pub fn without_access_log(self) -> Self {
        self.with(|settings| settings.access_log = None)
    }

    /// Counts and times requests and decisions through the `metrics` facade; see [`METRICS`](crate::METRICS).
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(self) -> Self {
        crate::metrics::describe();
        self.with(|settings| settings.metrics = true)
    }

    /// Reports the decisions of policies to clients; see [`Explain`].
    #[must_use]
    pub fn explain(self, explain: Explain) -> Self {
        self.with(|settings| settings.explain = Some(explain))
    }

    /// Calls `reporter` with the [report](RequestReport) of each request when the request has ended. May be called several
    /// times.
    ///
    /// The reporter runs on the task of the request, so it must not block: send the report to a channel if it is to be written
    /// elsewhere.
    #[must_use]
    pub fn report_to(self, reporter: impl Fn(&RequestReport) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.reporters.push(Arc::new(reporter)))
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| {
            settings.ids = settings.ids.clone().clock(Arc::clone(&clock));
            settings.clock = clock;
        })
    }

    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl Default for Observe {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe")
            .field("ids", &self.settings.ids)
            .field("traces", &self.settings.traces)
            .field("access_log", &self.settings.access_log)
            .field("explain", &self.settings.explain)
            .finish_non_exhaustive()
    }
}

/// The grant of [`Observe`]. Dropping it ends the record of the request.
pub struct Observation {
    id: RequestId,
    trace: TraceContext,
    /// `None` without a subscriber; then a request pays only for its ids.
    record: Option<Box<Record>>,
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observation").field(&self.id).finish()
    }
}

impl Policy for Observe {
    type Grant = Observation;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<Observation> {
        let settings = &self.settings;
        let id = settings.ids.id_of(request);
        let trace = settings.traces.trace_of(request);
        let record = Record::begin(request, &id, &trace, settings).map(Box::new);
        Decision::grant(Observation { id, trace, record })
    }

    fn admit(&self, observation: &mut Observation, request: &mut request::Parts) {
        RequestIds::leave(&observation.id, request);
        observation.trace.insert_into(request);
        if let Some(explain) = &self.settings.explain {
            explain.leave_no_secret(request);
        }
        if let Some(record) = &observation.record {
            record.trail.look_at(request);
            request.extensions.insert(record.trail.clone());
        }
    }

    /// `X-Request-Id`, and the explanation for those who may see it.
    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(2).adds_trail()
    }

    fn finish(&self, Observation { id, record, .. }: Observation, response: &mut response::Parts) {
        RequestIds::tell(id, response);
        let Some(mut record) = record else { return };
        record.answered(response);
        if record.explained {
            Explain::tell(&record.trail, response);
        }
        watch_until_end(response, Watcher(record));
    }

    fn failed(&self, observation: Observation) {
        if let Some(mut record) = observation.record {
            record.service_failed();
        }
    }
}
