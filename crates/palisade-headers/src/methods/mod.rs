//! The methods of a service, for services without a router.

mod builder;
mod path;
mod tree;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use palisade_core::{
    Allowed, ApiError, Decision, Policy, PolicyLayer, is_preflight, requested_uri,
};

pub use builder::MethodsBuilder;
use tree::Tree;

/// Answers 405 with the right `Allow` to methods that are not offered, and OPTIONS with 204 and `Allow`
/// ([RFC 9110, sections 15.5.6 and 9.3.7](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6)).
///
/// | request | answer |
/// | --- | --- |
/// | a method that is listed, or HEAD where GET is | the service's |
/// | OPTIONS that is not listed | 204 with `Allow` |
/// | a CORS preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) | that of CORS, or the service's: it passes |
/// | another method | 405 with `Allow` |
/// | a path that is not listed, if there are no methods for other paths | 404 |
///
/// Methods are case-sensitive, and headers that would override one are not read.
///
/// ```
/// use http::{Method, Request, Response};
/// use palisade_headers::Methods;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let methods = Methods::at("/orders", [Method::GET, Method::POST])
///     .at("/orders/{id}", [Method::GET, Method::DELETE])
///     .build()?;
/// let service = methods.layer().layer(service_fn(async |_: Request<String>| {
///     Ok::<_, std::convert::Infallible>(Response::new("the service".to_owned()))
/// }));
/// let ask = async |method: &str, path: &str| {
///     let request = Request::builder().method(method).uri(path).body(String::new()).unwrap();
///     let response = service.clone().oneshot(request).await.unwrap();
///     (response.status().as_u16(), response.headers().get("allow").cloned())
/// };
///
/// assert_eq!(ask("DELETE", "/orders/7").await, (200, None));
/// assert_eq!(ask("DELETE", "/orders").await, (405, Some("GET, HEAD, POST, OPTIONS".parse()?)));
/// assert_eq!(ask("OPTIONS", "/orders/7").await, (204, Some("GET, HEAD, DELETE, OPTIONS".parse()?)));
/// assert_eq!(ask("GET", "/elsewhere").await, (404, None));
/// # Ok(()) })
/// # }
/// ```
///
/// # Paths
///
/// Paths are compared by percent-decoded segments: `/%6Frders` equals `/orders`, and `/orders%2F` does not. Empty segments and
/// dots (`//orders`, `/x/../orders`) match nothing. Do not use it for access control; that is the purpose of authentication.
///
/// # HEAD
///
/// HEAD is allowed wherever GET is. Add [`HeadFromGet`](crate::HeadFromGet) inside for services that do not support HEAD.
#[derive(Clone, Debug)]
pub struct Methods(Arc<Table>);

#[derive(Debug)]
struct Table {
    paths: Tree,
    /// The methods at each of the paths.
    offered: Vec<Offered>,
    /// Everywhere else.
    elsewhere: Option<Offered>,
    /// The methods of all paths together, for `OPTIONS *`.
    anywhere: Offered,
}

#[derive(Clone, Debug)]
struct Offered {
    /// HEAD with GET, and OPTIONS, included.
    methods: Vec<Method>,
    service_answers_options: bool,
    allow: HeaderValue,
}

impl Methods {
    /// These methods everywhere, but where [`at`](MethodsBuilder::at) lists others.
    ///
    /// ```
    /// use http::Method;
    /// use palisade_headers::Methods;
    ///
    /// let methods = Methods::allow([Method::GET, Method::POST]).build()?;
    /// assert!(Methods::allow([]).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow(methods: impl IntoIterator<Item = Method>) -> MethodsBuilder {
        MethodsBuilder::default().allow(methods)
    }

    /// These methods at this path, others at those that are listed next, and 404 elsewhere. Inside of axum's `Router::nest` the
    /// path is the whole one that the client requested, with the feature `axum`.
    pub fn at(
        path: impl Into<String>,
        methods: impl IntoIterator<Item = Method>,
    ) -> MethodsBuilder {
        MethodsBuilder::default().at(path, methods)
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    fn offered_at(&self, path: &str) -> Option<&Offered> {
        if path == "*" {
            return Some(&self.0.anywhere);
        }
        let listed = self.0.paths.find(path).and_then(|position| self.0.offered.get(position));
        listed.or(self.0.elsewhere.as_ref())
    }
}

impl Policy for Methods {
    type Grant = ();

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, request: &request::Parts) -> Decision<()> {
        if is_preflight(request) {
            return Decision::grant(());
        }
        let Some(offered) = self.offered_at(requested_uri(request).path()) else {
            return Decision::refuse(ApiError::not_found());
        };
        if !offered.methods.contains(&request.method) {
            return Decision::refuse(ApiError::method_not_allowed(&offered.methods));
        }
        if request.method == Method::OPTIONS && !offered.service_answers_options {
            return Decision::reply(offered.options());
        }
        Decision::grant(())
    }
}

impl Offered {
    #[cold]
    fn options(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(header::ALLOW, self.allow.clone());
        response
    }
}

#[cfg(test)]
mod tests;
