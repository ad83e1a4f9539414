use std::{any::Any, fmt, ops::Deref, sync::Arc};

use http::{Extensions, request};
use palisade_core::{Allowed, ApiError, Decision, Policy, PolicyLayer};

/// A context for garde's rules, for the extractors and layers inside.
///
/// A type with `#[garde(context(Limits))]` gets the `Limits` from the request's extensions, where this layer puts them. A
/// middleware that knows the caller can insert another `RuleContext`. Without a context the response is 500, as for axum's
/// `Extension`, and the log names the missing type.
///
/// ```
/// use palisade_validate::RuleContext;
///
/// struct Limits { longest_name: usize }
///
/// let layer = RuleContext::new(Limits { longest_name: 100 }).layer();
/// ```
///
/// For one caller at a time, in a middleware of axum's:
///
/// ```
/// use axum::{extract::Request, middleware::Next, response::Response};
/// use palisade_validate::RuleContext;
/// # struct Limits { longest_name: usize }
///
/// async fn limits_of_the_caller(mut request: Request, next: Next) -> Response {
///     let longest_name = if request.headers().contains_key("x-trial") { 20 } else { 100 };
///     request.extensions_mut().insert(RuleContext::new(Limits { longest_name }));
///     next.run(request).await
/// }
/// ```
pub struct RuleContext<C>(Arc<C>);

impl<C: Send + Sync + 'static> RuleContext<C> {
    /// Returns a context for rules.
    pub fn new(context: C) -> Self {
        Self(Arc::new(context))
    }

    /// Returns the tower layer that provides the context.
    pub fn layer(self) -> PolicyLayer<Self> {
        PolicyLayer::new(self)
    }

    /// Returns the context of these rules.
    pub(crate) fn from_extensions(extensions: &Extensions) -> Result<ContextOf<C>, ApiError> {
        // Most types have `()` as their context, which needs no layer.
        let none: &'static (dyn Any + Send + Sync) = &();
        extensions
            .get::<Self>()
            .map(|context| ContextOf::Left(Arc::clone(&context.0)))
            .or_else(|| none.downcast_ref().map(ContextOf::None))
            .ok_or_else(|| {
                let wanted = std::any::type_name::<C>();
                let remedy = format!(
                    "rules need a context, and the request has no `RuleContext<{wanted}>`: add \
                     `.layer(RuleContext::new(context).layer())` to the route"
                );
                ApiError::report_misconfiguration(extensions, remedy)
            })
    }
}

/// The context of one request's rules.
pub(crate) enum ContextOf<C: 'static> {
    Left(Arc<C>),
    None(&'static C),
}

impl<C> Deref for ContextOf<C> {
    type Target = C;

    fn deref(&self) -> &C {
        match self {
            Self::Left(context) => context,
            Self::None(none) => none,
        }
    }
}

impl<C> Clone for RuleContext<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for RuleContext<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleContext").finish_non_exhaustive()
    }
}

impl<C: Send + Sync + 'static> Policy for RuleContext<C> {
    type Grant = ();

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(self.clone());
    }
}
