use std::{fmt, sync::Arc};

use metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::record::{End, Summary};

const REQUESTS: &str = "palisade_requests_total";
const REQUEST_SECONDS: &str = "palisade_request_duration_seconds";
const IN_FLIGHT: &str = "palisade_requests_in_flight";
const DECISIONS: &str = "palisade_policy_decisions_total";
const DECISION_SECONDS: &str = "palisade_policy_duration_seconds";

/// One metric: a stable interface. Names and labels change with a major version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The labels, in their order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// What [`Observe::metrics`](crate::Observe::metrics) counts and times. No label grows with what clients send: routes
/// are templates, or `other` where nobody knew one, and methods that HTTP does not know are `other`.
///
/// ```
/// use palisade_observe::METRICS;
///
/// let decisions = METRICS.iter().find(|metric| metric.name == "palisade_policy_decisions_total").unwrap();
/// assert_eq!(decisions.labels, ["policy", "outcome", "shadow"]);
/// ```
pub const METRICS: &[Metric] = &[
    Metric {
        name: REQUESTS,
        kind: "counter",
        labels: &["method", "route", "status", "end"],
        help: "requests that are over",
    },
    Metric {
        name: REQUEST_SECONDS,
        kind: "histogram",
        labels: &["method", "route"],
        help: "until the end of the response, in seconds",
    },
    Metric {
        name: IN_FLIGHT,
        kind: "gauge",
        labels: &[],
        help: "requests whose response is not over",
    },
    Metric {
        name: DECISIONS,
        kind: "counter",
        labels: &["policy", "outcome", "shadow"],
        help: "decisions of policies; of shadows, what they would have been",
    },
    Metric {
        name: DECISION_SECONDS,
        kind: "histogram",
        labels: &["policy"],
        help: "until a policy had decided, in seconds",
    },
];

pub(crate) fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match *kind {
            "counter" => describe_counter!(*name, *help),
            "gauge" => describe_gauge!(*name, *help),
            _ => describe_histogram!(*name, Unit::Seconds, *help),
        }
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
        (None, End::Cancelled) => SharedString::const_str("cancelled"),
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

/// Numbers that other parts of a service keep themselves, as metrics: what a limit asked of its store, how old the keys
/// of an issuer are. They are read when [`read`](Self::read) is called, which is before the exporter is asked.
///
/// ```
/// use std::time::Duration;
/// use palisade_observe::Readings;
///
/// # struct Status { age: Option<Duration>, failures: u64 }
/// # struct Jwks;
/// # impl Jwks { fn status(&self) -> Status { Status { age: Some(Duration::from_secs(60)), failures: 0 } } }
/// # let jwks = std::sync::Arc::new(Jwks);
/// # let (age, failures) = (jwks.clone(), jwks);
/// let readings = Readings::new()
///     .gauge("palisade_jwks_age_seconds", [("issuer", "example")], move || age.status().age.map(|age| age.as_secs_f64()))
///     .counter("palisade_jwks_fetch_failures_total", [("issuer", "example")], move || failures.status().failures);
///
/// // in the handler of /metrics
/// readings.read();
/// ```
#[derive(Clone, Default)]
pub struct Readings(Vec<Arc<Read>>);

type Read = dyn Fn() + Send + Sync;

impl Readings {
    /// Nothing to read.
    pub fn new() -> Self {
        Self::default()
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
