use http::{
    Extensions, HeaderValue,
    header::{self, Entry},
    request, response,
};

use crate::{Principal, is_grpc};

/// In the extensions of the response to an authenticated request, if an outer policy asked for it: the response is for one caller.
///
/// Unless the service says what caches may store, the response to each admitted request that carries a [`Principal`] gets
/// `Cache-Control: private` (RFC 9111, section 5.2.2.7): a shared cache knows that `Authorization` makes a response personal
/// (section 3.5), but not that a session cookie or an `X-Api-Key` does.
///
/// A policy or layer outside of the authentication that must recognise such responses, for any scheme, calls
/// [`Personal::enable`] for each request. Without it nothing is marked, because extensions of a response cost two allocations.
///
/// ```
/// use http::{Request, Response, request, response};
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
/// let mut request = Request::new(String::new());
/// Personal::enable(request.extensions_mut());
/// let response = service.oneshot(request).await.unwrap();
/// assert!(response.extensions().get::<Personal>().is_some());
/// assert_eq!(response.headers()["cache-control"], "private");
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Personal(());

/// In the extensions of a request: a policy or layer outside reads the marks of its response.
#[derive(Clone, Copy, Debug)]
struct Enabled;

/// In the extensions of a personal response: the engine wrote `Cache-Control: private`, because the service wrote none. A type of
/// its own and without bytes, because extensions allocate for each value that has some.
#[derive(Clone, Copy, Debug)]
struct PrivateByDefault;

const PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// For whom the response to a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Anyone,
    /// One caller.
    Caller,
    /// One caller, and an outer policy must see it.
    MarkedCaller,
}

impl Audience {
    /// Returns the audience of the response to a request that was admitted.
    #[inline]
    pub(crate) fn of_request(request: &request::Parts) -> Self {
        if request.extensions.get::<Principal>().is_none() {
            Self::Anyone
        } else if request.extensions.get::<Enabled>().is_none() {
            Self::Caller
        } else {
            Self::MarkedCaller
        }
    }

    /// Marks the response before the policies see it.
    #[inline]
    pub(crate) fn mark(self, response: &mut response::Parts) {
        if self == Self::MarkedCaller {
            response.extensions.insert(Personal(()));
        }
    }

    /// Writes the default `Cache-Control` after the policies have finished the response. A gRPC response gets none, because caches
    /// do not store it.
    #[inline]
    pub(crate) fn keep_private(self, response: &mut response::Parts) {
        if self == Self::Anyone || response.status.is_informational() {
            return;
        }
        if is_grpc(&response.headers) {
            return;
        }
        // A map that is full stays unchanged.
        if let Ok(Entry::Vacant(place)) = response.headers.try_entry(header::CACHE_CONTROL)
            && place.try_insert(PRIVATE).is_ok()
            && self == Self::MarkedCaller
        {
            response.extensions.insert(PrivateByDefault);
        }
    }
}

impl Personal {
    /// Asks for the marks on the response to this request. A policy that reads them calls it in [`admit`](crate::Policy::admit).
    pub fn enable(request: &mut Extensions) {
        request.insert(Enabled);
    }

    /// Returns true if the service itself says what caches may store. The default for personal responses does not count if the
    /// marks are [enabled](Self::enable): a policy that knows more replaces it.
    pub fn has_own_cache_control(response: &response::Parts) -> bool {
        let Some(value) = response.headers.get(header::CACHE_CONTROL) else { return false };
        !(value == PRIVATE && response.extensions.get::<PrivateByDefault>().is_some())
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

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
        Audience::MarkedCaller.mark(&mut silent);
        Audience::MarkedCaller.keep_private(&mut silent);
        assert_eq!(silent.headers[header::CACHE_CONTROL], "private");
        assert!(!Personal::has_own_cache_control(&silent));

        for own in ["private", "no-store", "public, max-age=1"] {
            let mut own = head(Some(own));
            let before = own.headers.clone();
            Audience::MarkedCaller.mark(&mut own);
            Audience::MarkedCaller.keep_private(&mut own);
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
            Audience::MarkedCaller.mark(&mut response);
            Audience::MarkedCaller.keep_private(&mut response);
            assert!(!response.headers.contains_key(header::CACHE_CONTROL));
            assert!(response.extensions.get::<Personal>().is_some());
        }
    }

    #[test]
    fn response_is_marked_only_if_an_outer_policy_asked() {
        let mut anonymous = Request::new(()).into_parts().0;
        Personal::enable(&mut anonymous.extensions);
        let mut known = Request::new(()).into_parts().0;
        known.extensions.insert(Principal::new("ada"));
        let mut asked = known.clone();
        Personal::enable(&mut asked.extensions);
        for (request, expected) in [
            (&anonymous, Audience::Anyone),
            (&known, Audience::Caller),
            (&asked, Audience::MarkedCaller),
        ] {
            assert_eq!(Audience::of_request(request), expected);
        }
        let mut silent = head(None);
        Audience::Caller.mark(&mut silent);
        Audience::Caller.keep_private(&mut silent);
        assert_eq!(silent.headers[header::CACHE_CONTROL], "private");
        assert!(silent.extensions.is_empty());
    }
}
