use std::{fmt, sync::Arc};

use http::{HeaderValue, header, request};
use palisade_core::{ApiError, Decision, Policy, PolicyLayer, Principal};

use super::{
    Rule,
    judge::judge,
    rule::{Described, in_tenant_of},
};
use crate::decided;

/// Allows a request if a rule allows it.
///
/// The rule is evaluated for the [`Principal`] that an outer authentication has set:
///
/// | outcome | response |
/// | --- | --- |
/// | no caller is authenticated | 401, `WWW-Authenticate: Bearer` |
/// | the rule denies | 403 |
/// | ... because a scope is missing | 403, `WWW-Authenticate: Bearer error="insufficient_scope", scope="…"` |
/// | ... and [hides it](Rule::hide_as_not_found) | 404 |
/// | the rule failed | 503 |
///
/// Each decision is a `tracing` event with the target `palisade::auth`: at level DEBUG if the request is allowed, INFO if it is
/// denied, WARN if the rule failed. It has the fields `rule`, `outcome`, `reason` and `subject`, a number that is the same for
/// the same caller until the process ends.
///
/// Rules are synchronous. For a decision of another service (OPA, a database), implement a [`Policy`] with [`Decision::Later`].
///
/// ```
/// use http::{Request, StatusCode};
/// use palisade_auth::rules::{Authorize, Rule, role, scope};
/// use palisade_core::Principal;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let rule = Authorize::new(role("admin").or(scope("orders:write")));
/// let service = rule.layer().layer(service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new("written".to_owned()))
/// }));
///
/// let status = async |caller: Option<Principal>| {
///     let mut request = Request::post("/orders").body(String::new()).unwrap();
///     if let Some(caller) = caller {
///         request.extensions_mut().insert(caller);
///     }
///     service.clone().oneshot(request).await.map(|response| response.status())
/// };
/// let ada = Principal::new("ada");
/// assert_eq!(status(None).await?, StatusCode::UNAUTHORIZED);
/// assert_eq!(status(Some(ada.clone())).await?, StatusCode::FORBIDDEN);
/// assert_eq!(status(Some(ada.with_scopes(["orders:write"]))).await?, StatusCode::OK);
/// # Ok(()) })
/// # }
/// ```
pub struct Authorize<R> {
    inner: Arc<Inner<R>>,
}

struct Inner<R> {
    rule: R,
    /// Written once, so that no request has to.
    name: String,
}

impl<R: Rule<About = request::Parts>> Authorize<R> {
    /// Creates a policy that allows the requests that `rule` allows.
    pub fn new(rule: R) -> Self {
        let name = Described(&rule).to_string();
        Self { inner: Arc::new(Inner { rule, name }) }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl<R: Rule<About = request::Parts>> From<R> for Authorize<R> {
    fn from(rule: R) -> Self {
        Self::new(rule)
    }
}

impl<R: Rule<About = request::Parts>> Policy for Authorize<R> {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let Inner { rule, name } = &*self.inner;
        match request.extensions.get::<Principal>() {
            Some(caller) => judge(rule, name, caller, request).into(),
            None => Decision::refuse(unauthenticated(name)),
        }
    }

    /// Leaves the caller as it acts in the tenant of the rule, for the rules and handlers further in.
    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        let caller = request.extensions.get::<Principal>();
        if let Some(caller) =
            caller.and_then(|caller| in_tenant_of(&self.inner.rule, caller, request))
        {
            request.extensions.insert(caller);
        }
        decided::mark(request);
    }
}

#[cold]
fn unauthenticated(name: &str) -> ApiError {
    tracing::info!(
        target: "palisade::auth",
        rule = %name,
        outcome = "deny",
        reason = "not authenticated",
    );
    let challenge = HeaderValue::from_static("Bearer");
    ApiError::unauthenticated().with_header(header::WWW_AUTHENTICATE, challenge)
}

impl<R> Clone for Authorize<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R> fmt::Debug for Authorize<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorize").field(&self.inner.name).finish()
    }
}
