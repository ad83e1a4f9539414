use std::{fmt, sync::Arc};

use metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use palisade_core::{Measured, Measurement, Metric};

use crate::summary::{RequestEnd, Summary};

const REQUESTS: &str = "palisade_requests_total";
const REQUEST_SECONDS: &str = "palisade_request_duration_seconds";
const IN_FLIGHT: &str = "palisade_requests_in_flight";
const DECISIONS: &str = "palisade_policy_decisions_total";
const DECISION_SECONDS: &str = "palisade_policy_duration_seconds";

/// The metrics of [`Observe::metrics`](crate::Observe::metrics). Clients cannot multiply label values: routes are templates or
/// `other`, and unknown methods are `other`.
///
/// ```
/// use palisade_observe::METRICS;
///
/// let decisions = METRICS.iter().find(|metric| metric.name == "palisade_policy_decisions_total").unwrap();
/// assert_eq!(decisions.labels, ["policy", "outcome", "shadow"]);
/// ```
pub const METRICS: &[Metric] = &[
    Metric::counter(REQUESTS, &["method", "route", "status", "end"], "requests that are over"),
    Metric::histogram(
        REQUEST_SECONDS,
        &["method", "route"],
        "time to the end of the response, in seconds",
    ),
    Metric::gauge(IN_FLIGHT, &[], "requests whose response has not ended"),
    Metric::counter(
        DECISIONS,
        &["policy", "outcome", "shadow"],
        "decisions of policies; of policies in shadow, the decision that they would have made",
    ),
    Metric::histogram(DECISION_SECONDS, &["policy"], "time of a policy's decision, in seconds"),
];

pub(crate) fn describe() {
    METRICS.iter().for_each(describe_one);
}

fn describe_one(metric: &Metric) {
    let Metric { name, kind, help, .. } = *metric;
    match kind {
        "counter" => describe_counter!(name, help),
        "gauge" => describe_gauge!(name, help),
        _ => describe_histogram!(name, Unit::Seconds, help),
    }
}

pub(crate) fn begins() {
    gauge!(IN_FLIGHT).increment(1);
}

pub(crate) fn ends(summary: &Summary<'_>) {
    gauge!(IN_FLIGHT).decrement(1);
    let method = known_method(summary.method);
    let route: SharedString = match &summary.route {
        Some(route) => SharedString::from(route.to_string()),
        None => SharedString::const_str("other"),
    };
    let status: SharedString = match (summary.status, summary.end) {
        (Some(status), _) => SharedString::from(status.as_str().to_owned()),
        (None, RequestEnd::Cancelled) => SharedString::const_str("cancelled"),
        (None, _) => SharedString::const_str("none"),
    };
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status, "end" => summary.end.name())
        .increment(1);
    histogram!(REQUEST_SECONDS, "method" => method, "route" => route).record(summary.duration);
    for step in &summary.steps {
        let policy = SharedString::from(step.policy_name());
        let shadow = if step.is_shadow() { "true" } else { "false" };
        counter!(DECISIONS, "policy" => policy.clone(), "outcome" => step.outcome().name(), "shadow" => shadow)
            .increment(1);
        histogram!(DECISION_SECONDS, "policy" => policy).record(step.took());
    }
}

/// Clients invent methods.
fn known_method(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Exports the measurements of components, such as a rate limit's questions to its store or the age of an issuer's keys. Call
/// [`read`](Self::read) before each export.
///
/// ```
/// use palisade_core::{Measured, Measurement, Metric};
/// use palisade_observe::Readings;
///
/// # const AGE: Metric = Metric::gauge("palisade_jwks_age_seconds", &["issuer"], "");
/// # struct Jwks;
/// # impl Measured for Jwks { fn measure(&self) -> Vec<Measurement> { vec![AGE.at(60.0)] } }
/// # let (jwks, workers) = (Jwks, || 4);
/// // `jwks` and `limit` clone; this is `palisade_jwks_age_seconds{issuer="example"}` and others
/// let readings = Readings::new()
///     .part("example", jwks)
///     .gauge("workers", [], move || Some(workers() as f64)); // a number of your own
///
/// // in the handler of /metrics
/// readings.read();
/// ```
#[derive(Clone, Default)]
pub struct Readings(Vec<Arc<Read>>);

type Read = dyn Fn() + Send + Sync;

impl Readings {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component: a limit, the keys of an issuer, an authentication. `name` is the value of its metrics' label, which
    /// distinguishes it from others of its type. Use one of few constant names.
    #[must_use]
    pub fn part(mut self, name: impl Into<SharedString>, part: impl Measured) -> Self {
        let name = name.into();
        self.0.push(Arc::new(move || {
            for Measurement { metric, value } in part.measure() {
                // Each time, because metrics and the exporter may be added later.
                describe_one(metric);
                let label = |label: &&'static str| Label::new(*label, name.clone());
                let labels: Vec<_> = metric.labels.iter().map(label).collect();
                if metric.kind == "counter" {
                    // From a count, and within 2^53.
                    counter!(metric.name, labels).absolute(value as u64);
                } else {
                    gauge!(metric.name, labels).set(value);
                }
            }
        }));
        self
    }

    /// A number that goes up and down; `None` leaves it as it was.
    #[must_use]
    pub fn gauge<const N: usize>(
        mut self,
        name: &'static str,
        labels: [(&'static str, &'static str); N],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        let labels = labels.map(|(name, value)| Label::from_static_parts(name, value)).to_vec();
        self.0.push(Arc::new(move || {
            if let Some(value) = read() {
                gauge!(name, labels.clone()).set(value);
            }
        }));
        self
    }

    /// A number that only grows.
    #[must_use]
    pub fn counter<const N: usize>(
        mut self,
        name: &'static str,
        labels: [(&'static str, &'static str); N],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let labels = labels.map(|(name, value)| Label::from_static_parts(name, value)).to_vec();
        self.0.push(Arc::new(move || counter!(name, labels.clone()).absolute(read())));
        self
    }

    /// Reads all of them.
    pub fn read(&self) {
        for read in &self.0 {
            read();
        }
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readings").field(&self.0.len()).finish()
    }
}
