use palisade_core::Metric;

const JWT: &[&str] = &["jwt"];
const ISSUER: &[&str] = &["issuer"];

pub(crate) const CACHE_HITS: Metric =
    Metric::counter("palisade_jwt_cache_hits_total", JWT, "tokens that were in the cache");
pub(crate) const CACHE_MISSES: Metric = Metric::counter(
    "palisade_jwt_cache_misses_total",
    JWT,
    "tokens that were not in the cache, valid or not",
);
pub(crate) const CACHE_EVICTIONS: Metric = Metric::counter(
    "palisade_jwt_cache_evictions_total",
    JWT,
    "verified tokens that were evicted before they expired, because the cache was full",
);
#[cfg(feature = "jwks")]
pub(crate) const JWKS_AGE: Metric = Metric::gauge(
    "palisade_jwks_age_seconds",
    ISSUER,
    "seconds since the issuer last confirmed its keys",
);
#[cfg(feature = "jwks")]
pub(crate) const JWKS_USABLE: Metric =
    Metric::gauge("palisade_jwks_usable", ISSUER, "1 while keys of the issuer can be used, else 0");
#[cfg(feature = "jwks")]
pub(crate) const JWKS_FETCHES: Metric =
    Metric::counter("palisade_jwks_fetches_total", ISSUER, "started fetches of keys");
#[cfg(feature = "jwks")]
pub(crate) const JWKS_FAILURES: Metric =
    Metric::counter("palisade_jwks_fetch_failures_total", ISSUER, "failed fetches of keys");

pub(crate) const INTROSPECTION_USABLE: Metric = Metric::gauge(
    "palisade_introspection_usable",
    ISSUER,
    "1 while the introspection endpoint answers, else 0",
);
pub(crate) const INTROSPECTION_HITS: Metric = Metric::counter(
    "palisade_introspection_cache_hits_total",
    ISSUER,
    "tokens whose introspection response was in the cache",
);
pub(crate) const INTROSPECTION_QUESTIONS: Metric =
    Metric::counter("palisade_introspection_questions_total", ISSUER, "introspection requests");
pub(crate) const INTROSPECTION_FAILURES: Metric = Metric::counter(
    "palisade_introspection_failures_total",
    ISSUER,
    "introspection requests that failed",
);

/// The metrics of [`Jwt`](crate::Jwt), `Jwks` (feature `jwks`) and `Introspection`, each a [`Measured`](palisade_core::Measured). The names
/// are a stable interface.
///
/// ```
/// assert_eq!(palisade_auth::METRICS[0].name, "palisade_jwt_cache_hits_total");
/// ```
pub const METRICS: &[Metric] = &[
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_EVICTIONS,
    #[cfg(feature = "jwks")]
    JWKS_AGE,
    #[cfg(feature = "jwks")]
    JWKS_USABLE,
    #[cfg(feature = "jwks")]
    JWKS_FETCHES,
    #[cfg(feature = "jwks")]
    JWKS_FAILURES,
    INTROSPECTION_USABLE,
    INTROSPECTION_HITS,
    INTROSPECTION_QUESTIONS,
    INTROSPECTION_FAILURES,
];
