use std::sync::Arc;

use http::{Method, header, request};
use palisade_core::{Allowed, ApiError, Decision, Policy, impl_layer};

/// Requires that each change states the version that it changes: 428 `PRECONDITION_REQUIRED` without `If-Match`,
/// `If-Unmodified-Since` or `If-None-Match` ([RFC 6585, section 3](https://www.rfc-editor.org/rfc/rfc6585#section-3)).
///
/// It is about the presence of a condition. The handler checks the condition itself by
/// [`Preconditions::check`](crate::Preconditions::check), because it alone knows the current version.
///
/// Default: the methods PUT, PATCH and DELETE.
///
/// ```
/// use http::{Request, Response};
/// use palisade_cache::RequirePrecondition;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = RequirePrecondition::new().layer(service_fn(async |_: Request<String>| {
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// let put = |tag: Option<&str>| {
///     let request = tag.into_iter().fold(Request::put("/"), |request, tag| request.header("if-match", tag));
///     service.clone().oneshot(request.body(String::new()).unwrap())
/// };
/// assert_eq!(put(None).await.unwrap().status(), 428);
/// assert_eq!(put(Some("\"7\"")).await.unwrap().status(), 200);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct RequirePrecondition {
    methods: Arc<[Method]>,
}

impl RequirePrecondition {
    /// Requires a condition for PUT, PATCH and DELETE.
    pub fn new() -> Self {
        Self::for_methods([Method::PUT, Method::PATCH, Method::DELETE])
    }

    /// Requires a condition for these methods.
    pub fn for_methods(methods: impl IntoIterator<Item = Method>) -> Self {
        Self { methods: methods.into_iter().collect() }
    }
}

impl Default for RequirePrecondition {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for RequirePrecondition {
    type Grant = ();

    fn allowed((): &()) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        let conditions = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE, header::IF_NONE_MATCH];
        let has_condition = || conditions.iter().any(|name| request.headers.contains_key(name));
        if self.methods.contains(&request.method) && !has_condition() {
            let remedy = "the request must state the version that it changes: send If-Match with the ETag of the resource";
            return Decision::refuse(ApiError::precondition_required().with_message(remedy));
        }
        Decision::grant(())
    }
}

impl_layer!(RequirePrecondition);
