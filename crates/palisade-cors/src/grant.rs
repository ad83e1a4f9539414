use std::sync::Arc;

use http::HeaderValue;

use crate::{refusal::Refusal, rules::Rules};

/// The grant of [`Cors`](crate::Cors): the origin that may read the response, if any.
///
/// It contains everything that the response needs, so that a replaced configuration does not affect it.
///
/// ```
/// use palisade_core::Policy;
/// use palisade_cors::{Cors, CorsGrant};
///
/// fn same<P: Policy<Grant = CorsGrant>>(policy: P) -> P { policy }
/// let cors = same(Cors::allow_origins(["https://app.example.com"]).build()?);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct CorsGrant {
    /// The origin, and the rules that allow it. `None` without an origin, so that such a request increments no reference count.
    pub(crate) allowed: Option<(HeaderValue, Arc<Rules>)>,
    pub(crate) varies: bool,
    pub(crate) keeps_service_headers: bool,
    /// The reason of a rejection, in debug mode.
    pub(crate) told: Option<Refusal>,
}

impl CorsGrant {
    pub(crate) fn to(origin: HeaderValue, rules: &Arc<Rules>) -> Self {
        Self { allowed: Some((origin, Arc::clone(rules))), ..Self::to_none(rules, None) }
    }

    /// Allows the request without telling any origin that it may read the response.
    pub(crate) fn to_none(rules: &Rules, told: Option<Refusal>) -> Self {
        Self {
            allowed: None,
            varies: rules.origins.varies(),
            keeps_service_headers: rules.keeps_service_headers,
            told,
        }
    }
}
