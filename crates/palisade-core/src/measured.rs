/// One metric: a stable interface. Names and labels change with a major version only.
///
/// ```
/// use palisade_core::Metric;
///
/// const HITS: Metric = Metric::counter("my_cache_hits_total", &["cache"], "answers that were there");
/// assert_eq!((HITS.kind, HITS.labels), ("counter", &["cache"][..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The labels, in their order.
    pub labels: &'static [&'static str],
    /// The description.
    pub help: &'static str,
}

impl Metric {
    /// A number that only grows.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: "counter", labels, help }
    }

    /// A number that goes up and down.
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: "gauge", labels, help }
    }

    /// Times, in seconds.
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: "histogram", labels, help }
    }

    /// Creates a measurement of the metric.
    pub const fn at(&'static self, value: f64) -> Measurement {
        Measurement { metric: self, value }
    }
}

/// The value of a [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The metric: a counter or a gauge.
    pub metric: &'static Metric,
    /// Its value. Counts are exact up to 2<sup>53</sup>.
    pub value: f64,
}

/// A component with measurements: a limit, a set of keys, a cache.
///
/// The component counts for itself and is read on demand, so that it does not depend on exporters. Its metrics have at most one
/// label, whose value is the component's name in the service.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use palisade_core::{Measured, Measurement, Metric};
///
/// static HITS: Metric = Metric::counter("my_cache_hits_total", &["cache"], "answers that were there");
///
/// struct Cache { hits: AtomicU64 }
///
/// impl Measured for Cache {
///     fn measure(&self) -> Vec<Measurement> {
///         vec![HITS.at(self.hits.load(Ordering::Relaxed) as f64)]
///     }
/// }
/// assert_eq!(Cache { hits: AtomicU64::new(7) }.measure()[0].value, 7.0);
/// ```
pub trait Measured: Send + Sync + 'static {
    /// Returns the current measurements, without unknown ones.
    fn measure(&self) -> Vec<Measurement>;
}

impl<M: Measured + ?Sized> Measured for std::sync::Arc<M> {
    fn measure(&self) -> Vec<Measurement> {
        M::measure(self)
    }
}
