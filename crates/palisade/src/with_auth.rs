use http::request;
use palisade_auth::{
    Decided, Public, RequireRole, public,
    rules::{Authorize, Rule},
};
use palisade_core::{Chain, IntoStage, Stage};

/// `with_auth`, `with_role`, `with_rule` and `with_public`, for routes, handlers and service builders.
///
/// On axum's method routers, handlers and routers (feature `axum`), and on tower's `ServiceBuilder` (feature `tower`).
/// `Kind` is found by the compiler.
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, routing::{delete, get}};
/// use palisade::{WithAuth, auth::{Identity, Jwt, rules::{Rule, role, scope}}};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Claims { sub: String }
///
/// async fn profile(identity: Identity<Claims>) -> String { identity.claims().sub.clone() }
/// async fn remove() {}
///
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes").audience("orders").build()?;
///
/// let app: Router = Router::new()
///     .route("/profile", get(profile).with_auth(&auth))
///     .route("/items/{id}", delete(remove).with_role(&auth, ["admin"]))
///     .route("/orders", get(remove).with_rule(&auth, role("admin").or(scope("orders:read"))))
///     .route("/health", get(remove).with_public())
///     // or on the handler
///     .route("/me", get(profile.with_auth(&auth)));
/// # Ok::<_, palisade::ConfigError>(())
/// ```
pub trait WithAuth<Kind>: Sized {
    /// The protected type.
    type Guarded<G: Stage>;

    /// Wraps it in a stage.
    fn guarded_by<G: Stage>(self, guard: G) -> Self::Guarded<G>;

    /// Requires authentication by `auth`: a scheme, or several policies in a row, by value or by reference.
    fn with_auth<A, Given>(self, auth: A) -> Self::Guarded<Chain<A::Stage, Decided>>
    where
        A: IntoStage<Given>,
    {
        self.guarded_by(Chain(auth.into_stage(), Decided))
    }

    /// Requires authentication by `auth`, and one of these roles.
    fn with_role<A, Given>(
        self,
        auth: A,
        roles: impl Into<RequireRole>,
    ) -> Self::Guarded<Chain<A::Stage, RequireRole>>
    where
        A: IntoStage<Given>,
    {
        self.guarded_by(Chain(auth.into_stage(), roles.into()))
    }

    /// Requires authentication by `auth`, and that the rule allows the caller.
    fn with_rule<A, Given, R>(
        self,
        auth: A,
        rule: R,
    ) -> Self::Guarded<Chain<A::Stage, Authorize<R>>>
    where
        A: IntoStage<Given>,
        R: Rule<About = request::Parts>,
    {
        self.guarded_by(Chain(auth.into_stage(), rule.authorize()))
    }

    /// Allows all callers explicitly: [`Stack::deny_undecided`](crate::Stack::deny_undecided) requires a decision.
    fn with_public(self) -> Self::Guarded<Public> {
        self.guarded_by(public())
    }
}

/// The kinds of types that can be protected, which distinguish the implementations of [`WithAuth`].
pub mod on {
    /// An axum `MethodRouter`.
    #[cfg(feature = "axum")]
    #[derive(Clone, Copy, Debug)]
    pub enum MethodRouter {}

    /// An axum `Router`: all its routes, and its fallback.
    #[cfg(feature = "axum")]
    #[derive(Clone, Copy, Debug)]
    pub enum Router {}

    /// An axum handler with these arguments and this state.
    #[cfg(feature = "axum")]
    #[derive(Debug)]
    pub struct Handler<Arguments, State>(std::marker::PhantomData<fn() -> (Arguments, State)>);

    /// A tower `ServiceBuilder`.
    #[cfg(feature = "tower")]
    #[derive(Clone, Copy, Debug)]
    pub enum ServiceBuilder {}
}

#[cfg(feature = "tower")]
mod on_tower {
    use palisade_core::{PolicyLayer, Stage};
    use tower::ServiceBuilder;

    use super::{WithAuth, on};

    impl<L> WithAuth<on::ServiceBuilder> for ServiceBuilder<L> {
        type Guarded<G: Stage> = ServiceBuilder<tower_layer::Stack<PolicyLayer<G>, L>>;

        fn guarded_by<G: Stage>(self, guard: G) -> Self::Guarded<G> {
            self.layer(PolicyLayer::new(guard))
        }
    }
}

#[cfg(feature = "axum")]
mod on_axum {
    use axum::{
        Router,
        handler::{Handler, Layered},
        routing::MethodRouter,
    };
    use palisade_core::{PolicyLayer, Stage};

    use super::{WithAuth, on};

    /// The fallback for other methods is protected too: a rejected caller does not learn which methods exist.
    impl<S> WithAuth<on::MethodRouter> for MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        type Guarded<G: Stage> = Self;

        fn guarded_by<G: Stage>(self, guard: G) -> Self {
            self.layer(PolicyLayer::new(guard))
        }
    }

    impl<S> WithAuth<on::Router> for Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        type Guarded<G: Stage> = Self;

        fn guarded_by<G: Stage>(self, guard: G) -> Self {
            self.layer(PolicyLayer::new(guard))
        }
    }

    // One implementation for each number of arguments: a method router is a handler too, of none of these shapes, so
    // the compiler never has to choose between this and the implementation above.
    macro_rules! handlers {
        ($first:ident $($argument:ident)*) => {
            handlers!(@ $first $($argument)*);
            handlers!($($argument)*);
        };
        () => {};
        (@ $($argument:ident)*) => {
            impl<F, $($argument,)* S> WithAuth<on::Handler<($($argument,)*), S>> for F
            where
                F: Handler<($($argument,)*), S>,
                $($argument: 'static,)*
                S: Clone + Send + Sync + 'static,
            {
                type Guarded<G: Stage> = Layered<PolicyLayer<G>, F, ($($argument,)*), S>;

                fn guarded_by<G: Stage>(self, guard: G) -> Self::Guarded<G> {
                    self.layer(PolicyLayer::new(guard))
                }
            }
        };
    }

    // axum's lists begin with a marker of how the last argument is extracted: 16 arguments are 17.
    handlers!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16 A17);
}
