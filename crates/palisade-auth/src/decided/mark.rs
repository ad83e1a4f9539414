use http::{Extensions, Method, request};
use palisade_core::{ApiError, DecisionFlag, on_admission};

/// Marks a request that an outer policy has authorized. Private, so that only this crate can create it.
#[derive(Clone, Copy)]
struct Marked;

/// Marks a request that a rule has authorized.
pub(crate) fn mark(request: &mut request::Parts) {
    report(request, DecisionFlag::record_rule);
}

/// Marks a request that a policy has admitted which admits every caller.
pub(super) fn mark_open(request: &mut request::Parts) {
    report(request, DecisionFlag::record_open);
}

fn report(request: &mut request::Parts, record: fn(&DecisionFlag)) {
    if let Some(flag) = request.extensions.get::<DecisionFlag>().cloned() {
        on_admission(request, move || record(&flag));
    }
    request.extensions.insert(Marked);
}

pub(super) fn is_marked(extensions: &Extensions) -> bool {
    extensions.get::<Marked>().is_some()
}

/// Returns the rejection of an undecided request. Logs its path without the query, which may contain secrets.
#[cold]
pub(super) fn undecided(method: &Method, path: &str) -> ApiError {
    tracing::error!(
        target: "palisade::auth",
        %method,
        path,
        outcome = "deny",
        reason = "undecided",
        "the route has no authorization policy: add with_auth, with_role, with_rule or with_public",
    );
    ApiError::forbidden()
}

/// Reports whether a policy has authorized a request, for tests of routes.
///
/// ```
/// use http::{Request, Response};
/// use palisade_auth::{public, testing::DecisionProbe};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = public().layer().layer(service_fn(|_: Request<()>| async {
///     Ok::<_, std::convert::Infallible>(Response::new(()))
/// }));
/// let mut request = Request::new(());
/// let probe = DecisionProbe::attach(request.extensions_mut());
/// service.oneshot(request).await.unwrap();
/// assert!(probe.is_decided());
/// # });
/// ```
#[cfg(feature = "testing")]
#[derive(Clone)]
pub struct DecisionProbe(DecisionFlag);

#[cfg(feature = "testing")]
impl DecisionProbe {
    /// Adds a probe to the extensions of a request.
    pub fn attach(extensions: &mut Extensions) -> Self {
        Self(DecisionFlag::for_request(extensions))
    }

    /// Returns true if a rule, `public` or `Decided` has allowed the request.
    pub fn is_decided(&self) -> bool {
        self.0.is_decided()
    }
}

#[cfg(feature = "testing")]
impl std::fmt::Debug for DecisionProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DecisionProbe").field(&self.is_decided()).finish()
    }
}
