use http::request;
use palisade_core::{Decision, Policy, PolicyLayer};

use super::mark::{is_marked, mark, undecided};

/// Marks a route as open to everybody, on purpose: [`DenyUndecided`](super::DenyUndecided) lets it pass.
///
/// ```
/// use axum::{Router, routing::get};
/// use palisade_auth::{DenyUndecided, public};
///
/// let app: Router = Router::new()
///     .route("/health", get(|| async { "ok" }).layer(public().layer()))
///     .layer(DenyUndecided::new());
/// ```
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
        mark(request);
    }
}

/// Marks what passes the policy outside of it as decided: for an authentication that is the only rule of its route.
///
/// `with_auth` of the `palisade` crate adds it. An authentication alone does not count, because it may be
/// [optional](crate::Authenticate::optional) for a whole server and decide nothing.
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
        mark(request);
    }
}

/// Refuses, before the handler runs, what met no auth decision further out: 403, and a log line at level ERROR that
/// names method and path.
///
/// It belongs directly around what it protects, inside the policies that decide. It sees them because they have run
/// before it; [`DenyUndecided`](super::DenyUndecided) needs no place on each route, and learns of a forgotten one
/// only afterwards.
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
