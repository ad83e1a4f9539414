use http::{
    HeaderValue,
    header::{self, Entry},
    request, response,
};

use crate::{Principal, is_grpc};

/// In the extensions of the response to an authenticated request: the response is for one caller.
///
/// The engine marks the response to each admitted request that carries a [`Principal`], so that policies outside the authentication can see it for any scheme. Unless the service says what
/// caches may store, the response gets `Cache-Control: private` (RFC 9111, section 5.2.2.7): a shared cache knows that
/// `Authorization` makes a response personal (section 3.5), but not that a session cookie or an `X-Api-Key` does.
///
/// ```
/// use http::{Request, Response, request};
/// use palisade_core::{Decision, Personal, Policy, PolicyLayer, Principal};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// struct Certificate;
///
/// impl Policy for Certificate {
///     type Grant = ();
///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
///     fn admit(&self, (): &mut (), request: &mut request::Parts) {
///         request.extensions.insert(Principal::new("ada"));
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = PolicyLayer::new(Certificate).layer(service_fn(async |_: Request<String>| {
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// let response = service.oneshot(Request::new(String::new())).await.unwrap();
/// assert!(response.extensions().get::<Personal>().is_some());
/// assert_eq!(response.headers()["cache-control"], "private");
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Personal(());

/// In the extensions of a personal response: the engine wrote `Cache-Control: private`, because the service wrote none. A type of
/// its own and without bytes, because extensions allocate for each value that has some.
#[derive(Clone, Copy, Debug)]
struct PrivateByDefault;

const PRIVATE: HeaderValue = HeaderValue::from_static("private");

impl Personal {
    /// Returns true if the service itself says what caches may store. The default for personal responses does not count:
    /// a policy that knows more replaces it.
    pub fn has_own_cache_control(response: &response::Parts) -> bool {
        let Some(value) = response.headers.get(header::CACHE_CONTROL) else { return false };
        !(value == PRIVATE && response.extensions.get::<PrivateByDefault>().is_some())
    }

    /// The caller is known.
    #[inline]
    pub(crate) fn is_request(request: &request::Parts) -> bool {
        request.extensions.get::<Principal>().is_some()
    }

    /// Marks the response to an authenticated request, before the policies see it.
    pub(crate) fn mark(response: &mut response::Parts) {
        response.extensions.insert(Self(()));
    }

    /// Writes the default, after the policies have had their say. A gRPC response is no cache's business.
    pub(crate) fn keep_private(response: &mut response::Parts) {
        if response.status.is_informational() || is_grpc(&response.headers) {
            return;
        }
        // A map that is full stays unchanged.
        if let Ok(Entry::Vacant(place)) = response.headers.try_entry(header::CACHE_CONTROL)
            && place.try_insert(PRIVATE).is_ok()
        {
            response.extensions.insert(PrivateByDefault);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(cache_control: Option<&'static str>) -> response::Parts {
        let (mut head, ()) = Response::new(()).into_parts();
        if let Some(value) = cache_control {
            head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        head
    }

    #[test]
    fn default_is_private_and_own_value_stays() {
        let mut silent = head(None);
        Personal::mark(&mut silent);
        Personal::keep_private(&mut silent);
        assert_eq!(silent.headers[header::CACHE_CONTROL], "private");
        assert!(!Personal::has_own_cache_control(&silent));

        for own in ["private", "no-store", "public, max-age=1"] {
            let mut own = head(Some(own));
            let before = own.headers.clone();
            Personal::mark(&mut own);
            Personal::keep_private(&mut own);
            assert_eq!(own.headers, before);
            assert!(Personal::has_own_cache_control(&own));
        }
    }

    #[test]
    fn grpc_and_informational_responses_get_no_cache_control() {
        let mut grpc = head(None);
        let value = HeaderValue::from_static("application/grpc");
        grpc.headers.insert(header::CONTENT_TYPE, value);
        let mut upgrade = head(None);
        upgrade.status = http::StatusCode::SWITCHING_PROTOCOLS;
        for mut response in [grpc, upgrade] {
            Personal::mark(&mut response);
            Personal::keep_private(&mut response);
            assert!(!response.headers.contains_key(header::CACHE_CONTROL));
            assert!(response.extensions.get::<Personal>().is_some());
        }
    }
}
