use palisade_core::Metric;

const JWT: &[&str] = &["jwt"];
const ISSUER: &[&str] = &["issuer"];

pub(crate) const CACHE_HITS: Metric =
    Metric::counter("palisade_jwt_cache_hits_total", JWT, "tokens that had been verified before");
pub(crate) const CACHE_MISSES: Metric = Metric::counter(
    "palisade_jwt_cache_misses_total",
    JWT,
    "tokens that had not, good and bad ones",
);
pub(crate) const CACHE_EVICTIONS: Metric = Metric::counter(
    "palisade_jwt_cache_evictions_total",
    JWT,
    "verified tokens that had to go before their time, for want of room",
);
#[cfg(feature = "jwks")]
pub(crate) const JWKS_AGE: Metric = Metric::gauge(
    "palisade_jwks_age_seconds",
    ISSUER,
    "since when an issuer has not confirmed its keys",
);
#[cfg(feature = "jwks")]
pub(crate) const JWKS_USABLE: Metric = Metric::gauge(
    "palisade_jwks_usable",
    ISSUER,
    "1 while there are keys of an issuer to verify with",
);
#[cfg(feature = "jwks")]
pub(crate) const JWKS_FETCHES: Metric =
    Metric::counter("palisade_jwks_fetches_total", ISSUER, "fetches of keys that were started");
#[cfg(feature = "jwks")]
pub(crate) const JWKS_FAILURES: Metric =
    Metric::counter("palisade_jwks_fetch_failures_total", ISSUER, "of these, those that failed");

pub(crate) const INTROSPECTION_USABLE: Metric = Metric::gauge(
    "palisade_introspection_usable",
    ISSUER,
    "0 while an issuer does not answer questions about tokens",
);
pub(crate) const INTROSPECTION_HITS: Metric = Metric::counter(
    "palisade_introspection_cache_hits_total",
    ISSUER,
    "tokens whose answer was stored",
);
pub(crate) const INTROSPECTION_QUESTIONS: Metric = Metric::counter(
    "palisade_introspection_questions_total",
    ISSUER,
    "questions about tokens that were asked",
);
pub(crate) const INTROSPECTION_FAILURES: Metric = Metric::counter(
    "palisade_introspection_failures_total",
    ISSUER,
    "of these, those that were not answered",
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
