//! Policies in one stack, in an order that the compiler checks.

#[cfg(all(feature = "body", feature = "tower"))]
mod boxed;
pub mod order;
mod outside;
mod segment;

use std::{fmt, marker::PhantomData};

#[cfg(feature = "observe")]
use palisade_core::Policy;
use palisade_core::{ErrorLayer, IntoStage, Stage, TrustedProxies};
use tower_layer::{Identity, Layer};

#[cfg(all(feature = "body", feature = "tower"))]
pub use self::boxed::{BoxedService, BoxedStack};
use self::{
    outside::{Nest, Outside, Own},
    segment::{Nothing, Segment},
};

/// Creates an empty stack. Call its methods from the outermost step to the innermost; see [`Stack`].
pub fn stack() -> Stack<order::Start> {
    Stack { outer: Identity::new(), open: Nothing, errors: Identity::new(), at: PhantomData }
}

/// A stack of policies: a tower layer, built from the outermost step to the innermost.
///
/// ```text
/// client_ip -> observe -> errors -> security_headers -> cors -> rate_limit (by address) -> auth -> role
///           -> rate_limit (by principal) -> cache -> timeout -> body_limit -> webhook -> validate -> idempotency -> your service
/// ```
///
/// Each step is optional. One that is called out of order does not compile, and the error message says why the order
/// matters:
///
/// ```compile_fail,E0277
/// # fn wrong(cors: palisade::cors::Cors, auth: palisade::auth::Jwt<String>) {
/// let stack = palisade::stack().auth(&auth).cors(&cors); // a preflight has no token: CORS goes outside
/// # }
/// ```
///
/// [`policy`](Stack::policy) and [`layer`](Stack::layer) are allowed anywhere. Consecutive policies and the error format are one
/// service with one future and one response body.
///
/// The stack is a layer: pass it to `Router::layer`, to `tonic::transport::Server::layer`, or call [`wrap`](Stack::wrap).
/// All its steps share one [`Body`](palisade_core::Body): a service whose responses have the body `B` has the body `Body<B>`
/// behind any stack. Each [`layer`](Stack::layer) of your own adds another one if steps of the stack are outside of it.
///
/// # Errors
///
/// With [`errors`](Stack::errors), failures of your service (an `Err(_)` or a panic) become responses right where they
/// happen, so that they pass all policies on the way out and carry their headers.
#[derive(Clone, Copy)]
pub struct Stack<At, Outer = Identity, Open = Nothing, Errors = Identity> {
    /// The outer layers, which are complete.
    outer: Outer,
    /// The consecutive policies inside them, with the error format: they become one service.
    open: Open,
    /// The error format of inner services.
    errors: Errors,
    at: PhantomData<fn() -> At>,
}

impl<At, Outer, Open, Errors> fmt::Debug for Stack<At, Outer, Open, Errors> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = std::any::type_name::<At>().rsplit("::").next().unwrap_or_default();
        f.debug_struct("Stack").field("at", &step).finish_non_exhaustive()
    }
}

/// A stack with one more policy.
type With<P, At, Outer, Open, Errors> = Stack<At, Outer, <Open as Segment>::Then<P>, Errors>;

/// A stack with one more layer of Palisade, inside everything that was there.
#[allow(dead_code, reason = "used by the steps of features")]
type WithLayer<L, At, Outer, Open, Errors> = Stack<
    At,
    Own<<<Open as Segment>::Onto<Outer, Errors> as Outside>::Sharing, L>,
    Nothing,
    Errors,
>;

/// A stack with one more layer of the user's, inside everything that was there.
type WithUserLayer<L, At, Outer, Open, Errors> =
    Stack<At, Nest<<Open as Segment>::Onto<Outer, Errors>, L>, Nothing, Errors>;

/// A stack with one error format, inside everything that was there.
type WithErrors<Outer, Open> =
    Stack<order::ErrorsHandled, Outer, <Open as Segment>::Handled, ErrorLayer>;

impl<At, Outer, Open, Errors> Stack<At, Outer, Open, Errors>
where
    Outer: Outside,
    Open: Segment,
    Errors: segment::Errors,
{
    fn then<P: Stage + Clone, To>(self, policy: P) -> With<P, To, Outer, Open, Errors> {
        Stack {
            outer: self.outer,
            open: self.open.then(policy),
            errors: self.errors,
            at: PhantomData,
        }
    }

    #[allow(dead_code, reason = "used by the steps of features")]
    fn then_layer<L, To>(self, layer: L) -> WithLayer<L, To, Outer, Open, Errors> {
        let outer = Own::new(self.open.close(self.outer, &self.errors), layer);
        Stack { outer, open: Nothing, errors: self.errors, at: PhantomData }
    }

    /// Determines the client's address behind your proxies. It is the outermost step, so that inner steps count and log the
    /// client's address instead of the proxy's. Without this step the client is the socket's peer.
    ///
    #[cfg_attr(feature = "rate-limit", doc = "```")]
    #[cfg_attr(not(feature = "rate-limit"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use palisade::{TrustedProxies, rate_limit::{Quota, RateLimit}, stack};
    ///
    /// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
    /// let limit = RateLimit::per_address(Quota::per(100, Duration::from_secs(60))).build()?;
    /// let stack = stack().client_ip(&proxies).rate_limit(&limit);
    /// # Ok::<_, palisade::ConfigError>(())
    /// ```
    pub fn client_ip(
        self,
        proxies: impl order::Finished<TrustedProxies>,
    ) -> With<TrustedProxies, order::ClientKnown, Outer, Open, Errors>
    where
        At: order::BeforeClientIp,
    {
        self.then(proxies.borrow().clone())
    }

    /// Sets request ids ([`RequestIds`](palisade_observe::RequestIds)), or also logs and measures requests
    /// ([`Observe`](palisade_observe::Observe)). It comes before all steps that can respond, so that each response is observed.
    ///
    /// ```
    /// use palisade::{ErrorLayer, observe::{Observe, RequestSpan}, stack};
    ///
    /// let stack = stack().observe(Observe::new()).layer(RequestSpan).errors(ErrorLayer::new());
    /// ```
    #[cfg(feature = "observe")]
    pub fn observe<P, Given>(
        self,
        observer: P,
    ) -> With<P::Stage, order::Observed, Outer, Open, Errors>
    where
        At: order::BeforeObserve,
        P: IntoStage<Given, Stage: Policy + Clone>,
    {
        self.then(observer.into_stage())
    }

    /// Renders all errors of inner steps and of the service in one format.
    pub fn errors(self, errors: impl order::Finished<ErrorLayer>) -> WithErrors<Outer, Open>
    where
        At: order::BeforeErrors,
    {
        let errors = errors.borrow().clone();
        let open = self.open.handled(errors.clone());
        Stack { outer: self.outer, open, errors, at: PhantomData }
    }

    /// Writes security headers on every response. It comes before every step that can respond, so that rejections and preflights
    /// have them too, and before `cors`, because the default resource policy depends on CORS headers.
    ///
    /// It never responds itself, so it does not change which steps may follow.
    ///
    /// ```
    /// use palisade::{ErrorLayer, headers::SecurityHeaders, stack};
    ///
    /// let security = SecurityHeaders::api().always_https().build()?;
    /// let stack = stack().errors(ErrorLayer::new()).security_headers(&security);
    /// # Ok::<_, palisade::ConfigError>(())
    /// ```
    #[cfg(feature = "headers")]
    pub fn security_headers(
        self,
        headers: impl order::Finished<palisade_headers::SecurityHeaders>,
    ) -> With<palisade_headers::SecurityHeaders, At, Outer, Open, Errors>
    where
        At: order::BeforeSecurityHeaders,
    {
        self.then(headers.borrow().clone())
    }

    /// Answers preflights, and writes which origins may read the responses.
    #[cfg(feature = "cors")]
    pub fn cors(
        self,
        cors: impl order::Finished<palisade_cors::Cors>,
    ) -> With<palisade_cors::Cors, order::CrossOrigin, Outer, Open, Errors>
    where
        At: order::BeforeCors,
    {
        self.then(cors.borrow().clone())
    }

    /// Adds a rate limit. Place it before `auth` to limit by address, after `auth` to limit by principal. Add a limit by your own
    /// [`Key`](palisade_rate_limit::Key) with [`policy`](Self::policy).
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit<K>(
        self,
        limit: impl order::Finished<palisade_rate_limit::RateLimit<K>>,
    ) -> With<palisade_rate_limit::RateLimit<K>, K::Next, Outer, Open, Errors>
    where
        K: palisade_rate_limit::Key + order::LimitAfter<At>,
    {
        self.then(limit.borrow().clone())
    }

    /// Authenticates the caller by a [`Jwt`](palisade_auth::Jwt), an [`any_of`](palisade_core::any_of), or your own policy that
    /// inserts a [`Principal`](palisade_core::Principal).
    #[cfg(feature = "auth")]
    pub fn auth<P, Given>(
        self,
        auth: P,
    ) -> With<P::Stage, order::Authenticated, Outer, Open, Errors>
    where
        At: order::BeforeAuth,
        P: IntoStage<Given, Stage: Clone>,
    {
        self.then(auth.into_stage())
    }

    /// Requires one of these roles.
    #[cfg(feature = "auth")]
    pub fn role(
        self,
        roles: impl Into<palisade_auth::RequireRole>,
    ) -> With<palisade_auth::RequireRole, order::RoleChecked, Outer, Open, Errors>
    where
        At: order::BeforeRole,
    {
        self.then(roles.into())
    }

    /// Requires that this rule allows the caller.
    #[cfg(feature = "auth")]
    pub fn rule<R>(
        self,
        rule: R,
    ) -> With<palisade_auth::rules::Authorize<R>, order::RoleChecked, Outer, Open, Errors>
    where
        At: order::BeforeRole,
        R: palisade_auth::rules::Rule<About = http::request::Parts>,
    {
        self.then(rule.authorize())
    }

    /// Replaces the responses of routes without an authorization policy by 403, and logs their method and path. Such policies are
    /// `with_auth`, `with_role`, `with_rule` and `with_public` of a route, and [`role`](Stack::role) and [`rule`](Stack::rule) of
    /// the stack, before or after this step. [`auth`](Stack::auth) alone does not count, because it may be optional.
    ///
    /// The handler of an undecided route has run when its response is replaced. See
    /// [`DenyUndecided`](palisade_auth::DenyUndecided) for its limits, and for a way to reject before the handler runs.
    #[cfg_attr(feature = "axum", doc = "```")]
    #[cfg_attr(not(feature = "axum"), doc = "```ignore")]
    /// use axum::{Router, routing::get};
    /// use palisade::{ErrorLayer, WithAuth, auth::Jwt, stack};
    ///
    /// # #[derive(serde::Deserialize)]
    /// # struct Claims { sub: String }
    /// # let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
    /// let app: Router = Router::new()
    ///     .route("/health", get(|| async { "ok" }).with_public())
    ///     .route("/profile", get(|| async { "hello" }).with_auth(&auth))
    ///     .route("/forgotten", get(|| async { "403, and an error in the log" }))
    ///     .layer(stack().errors(ErrorLayer::new()).deny_undecided());
    /// # Ok::<_, palisade::ConfigError>(())
    /// ```
    #[cfg(feature = "auth")]
    pub fn deny_undecided(self) -> WithLayer<palisade_auth::DenyUndecided, At, Outer, Open, Errors>
    where
        At: order::BeforeDenyUndecided,
    {
        self.then_layer(palisade_auth::DenyUndecided::new())
    }

    /// Answers requests from stored responses. It comes after `cors`, authentication and limits, so that hits pass them too, and
    /// before `timeout`, which then limits background renewals as well. The service inside gets its request with a
    /// [`Body`](palisade_core::Body).
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade::{ErrorLayer, cache::Cache, stack};
    ///
    /// let cache = Cache::revalidate(Duration::from_secs(60)).build()?;
    /// let stack = stack().errors(ErrorLayer::new()).cache(&cache);
    /// # Ok::<_, palisade::ConfigError>(())
    /// ```
    #[cfg(feature = "cache")]
    pub fn cache(
        self,
        cache: impl order::Finished<palisade_cache::Cache>,
    ) -> WithLayer<palisade_cache::Cache, order::Cached, Outer, Open, Errors>
    where
        At: order::BeforeCache,
    {
        self.then_layer(cache.borrow().clone())
    }

    /// Limits the time to a response, and the pauses of bodies. The service inside gets its request with a
    /// [`TimedBody`](palisade_body::TimedBody).
    #[cfg(feature = "body")]
    pub fn timeout(
        self,
        deadline: impl order::Finished<palisade_body::Deadline>,
    ) -> WithLayer<palisade_body::Deadline, order::TimeLimited, Outer, Open, Errors>
    where
        At: order::BeforeTimeout,
    {
        self.then_layer(*deadline.borrow())
    }

    /// Limits the size of request bodies in bytes. The service inside gets its request with a
    /// [`LimitedBody`](palisade_body::LimitedBody). Bodies that arrive compressed are for a
    /// [`layer`](Stack::layer) directly inside.
    ///
    /// For a service that names the type of its body, such as axum's `from_fn`:
    #[cfg_attr(feature = "axum", doc = "```")]
    #[cfg_attr(not(feature = "axum"), doc = "```ignore")]
    /// use axum::{body::Body, extract::Request, middleware::{Next, from_fn}, response::Response, Router};
    /// use palisade::{body::{BodyLimit, MapRequestBody}, stack};
    ///
    /// async fn logs(request: Request, next: Next) -> Response { next.run(request).await }
    ///
    /// let app: Router = Router::new().layer(
    ///     stack()
    ///         .body_limit(BodyLimit::new(1024 * 1024))
    ///         .layer(MapRequestBody::new(Body::new))
    ///         .layer(from_fn(logs)),
    /// );
    /// ```
    #[cfg(feature = "body")]
    pub fn body_limit(
        self,
        limit: impl order::Finished<palisade_body::BodyLimit>,
    ) -> WithLayer<palisade_body::BodyLimit, order::SizeLimited, Outer, Open, Errors>
    where
        At: order::BeforeBodyLimit,
    {
        self.then_layer(limit.borrow().clone())
    }

    /// Requires a valid webhook signature over the bytes of the body, before the body is parsed. For a single route, add the layer
    /// to the route.
    #[cfg(feature = "webhook")]
    pub fn webhook(
        self,
        webhook: impl order::Finished<palisade_webhook::Webhook>,
    ) -> WithLayer<palisade_webhook::Webhook, order::WebhookVerified, Outer, Open, Errors>
    where
        At: order::BeforeWebhook,
    {
        self.then_layer(webhook.borrow().clone())
    }

    /// Validates each JSON body before the service receives it.
    #[cfg(feature = "validate")]
    pub fn validate<T>(
        self,
        validate: impl order::Finished<palisade_validate::ValidateLayer<T>>,
    ) -> WithLayer<palisade_validate::ValidateLayer<T>, order::Validated, Outer, Open, Errors>
    where
        At: order::BeforeValidate,
    {
        self.then_layer(validate.borrow().clone())
    }

    /// Processes each request with an `Idempotency-Key` once; retries get the stored response. It comes last, so that a request
    /// that is rejected by a limit or by validation does not use up its key.
    #[cfg(feature = "idempotency")]
    pub fn idempotency(
        self,
        idempotency: impl order::Finished<palisade_idempotency::Idempotency>,
    ) -> WithLayer<palisade_idempotency::Idempotency, order::Idempotent, Outer, Open, Errors>
    where
        At: order::BeforeIdempotency,
    {
        self.then_layer(idempotency.borrow().clone())
    }

    /// Adds any policy or chain of policies, inside all steps above. The compiler does not check its place.
    pub fn policy<P, Given>(self, policy: P) -> With<P::Stage, At, Outer, Open, Errors>
    where
        P: IntoStage<Given, Stage: Clone>,
    {
        self.then(policy.into_stage())
    }

    /// Adds any tower layer, inside all steps above. The steps outside of it cannot know the response body of the
    /// layer, so they add a [`Body`](palisade_core::Body) around it.
    pub fn layer<L>(self, layer: L) -> WithUserLayer<L, At, Outer, Open, Errors> {
        let outer = Nest::new(layer, self.open.close(self.outer, &self.errors));
        Stack { outer, open: Nothing, errors: self.errors, at: PhantomData }
    }

    /// Wraps a service in the stack.
    pub fn wrap<S>(&self, service: S) -> <Self as Layer<S>>::Service
    where
        Self: Layer<S>,
    {
        Layer::layer(self, service)
    }
}

impl<S, At, Outer, Open, Errors> Layer<S> for Stack<At, Outer, Open, Errors>
where
    Outer: Outside + Clone,
    Open: Segment + Clone,
    Errors: segment::Errors,
    Open::Onto<Outer, Errors>: Layer<S>,
{
    type Service = <Open::Onto<Outer, Errors> as Layer<S>>::Service;

    fn layer(&self, service: S) -> Self::Service {
        self.open.clone().close(self.outer.clone(), &self.errors).layer(service)
    }
}
