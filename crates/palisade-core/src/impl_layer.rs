/// Makes policies tower layers: `.layer(policy)` and `.layer(&policy)` in a `ServiceBuilder`, `Router::layer(policy)`,
/// and `policy.layer(service)`.
///
/// A policy with type parameters names them: `impl_layer!(TenantHeader, ByPlan<Store>)`. Each policy must be `Clone`;
/// wrap it in a [`PolicyLayer`](crate::PolicyLayer) if it is not.
///
/// ```
/// use http::request;
/// use palisade_core::{Decision, Policy, impl_layer};
/// use tower::ServiceBuilder;
///
/// #[derive(Clone)]
/// struct AllowAll;
///
/// impl Policy for AllowAll {
///     type Grant = ();
///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
/// }
///
/// impl_layer!(AllowAll);
///
/// let service = ServiceBuilder::new().layer(AllowAll).service_fn(
///     async |_: http::Request<String>| Ok::<_, std::convert::Infallible>(http::Response::new(String::new())),
/// );
/// # use tower::ServiceExt;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let response = runtime.block_on(service.oneshot(http::Request::default()));
/// assert_eq!(response.unwrap().status(), 200);
/// ```
#[macro_export]
macro_rules! impl_layer {
    ($($policy:ident $(<$($parameter:ident),+ $(,)?>)?),+ $(,)?) => {$(
        #[allow(trivial_bounds)]
        impl<__Inner $(, $($parameter),+)?> $crate::Layer<__Inner> for $policy $(<$($parameter),+>)?
        where
            Self: $crate::Stage + ::core::clone::Clone,
        {
            type Service = $crate::PolicyService<__Inner, Self>;

            fn layer(&self, inner: __Inner) -> Self::Service {
                let layer = $crate::PolicyLayer::new(::core::clone::Clone::clone(self));
                $crate::Layer::layer(&layer, inner)
            }
        }
    )+};
}

use crate::{
    AllowNetworks, AnyOf, Chain, ChainPolicy, Connection, DenyNetworks, DiscardUnread, PeerAddr,
    Shadow, TrustedProxies, UnixPeer, When,
};

impl_layer!(
    AllowNetworks,
    AnyOf<A, B>,
    Chain<A, B>,
    ChainPolicy<A, B>,
    Connection,
    DenyNetworks,
    DiscardUnread,
    PeerAddr,
    Shadow<P>,
    TrustedProxies,
    UnixPeer,
    When<F, P>,
);
