use std::{fmt, sync::Arc};

use http::{request, response};
use palisade_core::{
    Clock, Decision, Policy, PolicyLayer, RequestId, SystemClock, TrustedProxies, watch_until_end,
};

use crate::{
    AccessLog, Explain, Recorder, RequestIds, TraceContext, access_log,
    methods::GrpcMethods,
    record::{Record, Watcher},
    trace_context::Continue,
};

/// Everything that is known of a request, in one policy: its id, its trace, and once its response is over an event in
/// the access log, and more if asked.
///
/// It belongs outside of everything but [`TrustedProxies`]: whatever runs outside of it is not on its records. Each
/// request makes exactly one record, when its response's body is over or as soon as there will be none: because the
/// client is gone, because the service failed, because something panicked.
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

#[derive(Clone)]
pub(crate) struct Settings {
    ids: RequestIds,
    traces: Continue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) explain: Option<Explain>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) methods: Arc<GrpcMethods>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: bool,
}

impl Settings {
    /// Whether anybody wants to know what becomes of requests.
    pub(crate) fn are_wanted(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.metrics {
            return true;
        }
        self.recorder.is_some() || self.access_log.is_some() && access_log::is_enabled()
    }
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
                recorder: None,
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
    ///
    /// ```
    /// use palisade_observe::{Observe, RequestIds};
    ///
    /// let observe = Observe::new().request_ids(RequestIds::new().always_new());
    /// ```
    #[must_use]
    pub fn request_ids(self, ids: RequestIds) -> Self {
        self.with(|settings| settings.ids = ids)
    }

    /// Begins a new trace for each request, whatever came with it: on the outer edge, where a client could otherwise
    /// write itself into a trace of yours.
    ///
    /// ```
    /// use palisade_observe::Observe;
    ///
    /// let observe = Observe::new().always_new_traces();
    /// ```
    #[must_use]
    pub fn always_new_traces(self) -> Self {
        self.with(|settings| settings.traces = Continue::Nobodys)
    }

    /// Continues traces of these proxies only, and begins new ones for everybody else.
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
        self.with(|settings| settings.traces = Continue::OfProxies(proxies.clone()))
    }

    /// Chooses what the access log says; see [`AccessLog`].
    ///
    /// ```
    /// use palisade_observe::{AccessLog, Observe};
    ///
    /// let observe = Observe::new().access_log(AccessLog::new().query_parameters(["page"]));
    /// ```
    #[must_use]
    pub fn access_log(self, log: AccessLog) -> Self {
        self.with(|settings| settings.access_log = Some(log))
    }

    /// No access log.
    #[must_use]
    pub fn without_access_log(self) -> Self {
        self.with(|settings| settings.access_log = None)
    }

    /// Counts and times requests and decisions through the `metrics` facade; see [`METRICS`](crate::METRICS).
    ///
    /// ```
    /// use palisade_observe::Observe;
    ///
    /// let observe = Observe::new().metrics();
    /// ```
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(self) -> Self {
        crate::metrics::describe();
        self.with(|settings| settings.metrics = true)
    }

    /// Tells clients which policies their requests met; see [`Explain`].
    #[must_use]
    pub fn explain(self, explain: Explain) -> Self {
        self.with(|settings| settings.explain = Some(explain))
    }

    /// Keeps the last requests; see [`Recorder`].
    #[must_use]
    pub fn recorder(self, recorder: &Recorder) -> Self {
        self.with(|settings| settings.recorder = Some(recorder.clone()))
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

/// What [`Observe`] has seen of a request so far. Wherever it is dropped, there the request ended.
pub struct Observation {
    id: RequestId,
    trace: TraceContext,
    /// Where nobody listens there is none, and a request costs no more than its names.
    record: Option<Box<Record>>,
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observation").field(&self.id).finish()
    }
}

impl Policy for Observe {
    type Grant = Observation;

    /// It does not decide who may come in.
    fn abstains(_: &Self::Grant) -> bool {
        true
    }

    fn decide(&self, request: &request::Parts) -> Decision<Observation> {
        let settings = &self.settings;
        let id = settings.ids.id_of(request);
        let trace = settings.traces.trace_of(request);
        let record = Record::of(request, &id, &trace, settings).map(Box::new);
        Decision::grant(Observation { id, trace, record })
    }

    fn admit(&self, observation: &mut Observation, request: &mut request::Parts) {
        RequestIds::leave(&observation.id, request);
        observation.trace.leave(request);
        if let Some(explain) = &self.settings.explain {
            explain.leave_no_secret(request);
        }
        if let Some(record) = &observation.record {
            record.trail.look_at(request);
            request.extensions.insert(record.trail.clone());
        }
    }

    /// `X-Request-Id`, and the explanation of those who may see one.
    fn header_fields(&self) -> usize {
        2
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

    fn observes(&self) -> bool {
        true
    }
}
