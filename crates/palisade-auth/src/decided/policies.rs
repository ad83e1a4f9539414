use http::request;
use palisade_core::{Decision, Policy, PolicyLayer};

use super::mark::{is_marked, mark_open, undecided};

/// Marks a route as public on purpose, so that [`DenyUndecided`](super::DenyUndecided) allows it.
pub fn public() -> Public {
    Public(())
}

/// See [`public`].
#[derive(Clone, Copy, Debug)]
pub struct Public(());

impl Public {
    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(*self)
    }
}

impl Policy for Public {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        tracing::debug!(target: "palisade::auth", rule = "public", outcome = "allow");
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        mark_open(request);
    }
}

/// Marks requests as decided, for an authentication that is the only policy of its route.
///
/// `with_auth` of the `palisade` crate adds it. An authentication alone does not count, because it may be
/// [optional](crate::Authenticate::optional) for a whole server.
///
/// ```
/// use palisade_auth::{Decided, Jwt};
/// use palisade_core::{Policy, PolicyLayer};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
/// let layer = PolicyLayer::new(auth.then(Decided));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decided;

impl Policy for Decided {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        mark_open(request);
    }
}

/// Rejects undecided requests before the handler runs: 403, and a log line at level ERROR with method and path.
///
/// Place it directly around the handler, inside the policies that authorize, which must have run before it.
/// [`DenyUndecided`](super::DenyUndecided) covers all routes at once, but acts only after the handler has run.
///
/// ```
/// use axum::{Router, handler::Handler, routing::delete};
/// use palisade_auth::{public, require_decision, rules::{Rule, role}};
///
/// async fn remove() {}
/// async fn health() {}
///
/// // on one handler
/// let app: Router = Router::new()
///     .route("/items/{id}", delete(remove.layer(require_decision().layer())).layer(role("admin").authorize().layer()));
///
/// // or on a group of routes whose policies are outside of it
/// let group: Router = Router::new()
///     .route("/health", delete(health))
///     .layer(require_decision().layer())
///     .layer(public().layer());
/// ```
pub fn require_decision() -> RequireDecision {
    RequireDecision(())
}

/// See [`require_decision`].
#[derive(Clone, Copy, Debug)]
pub struct RequireDecision(());

impl RequireDecision {
    /// This policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(*self)
    }
}

impl Policy for RequireDecision {
    type Grant = ();

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        if is_marked(&request.extensions) {
            Decision::grant(())
        } else {
            Decision::refuse(undecided(&request.method, request.uri.path()))
        }
    }
}
