use http::{request, response};

use crate::{Allowed, Decision, Description, IntoPolicy, Policy};

/// Applies `policy`, one or several in a row, only to the requests that `predicate` selects; all others pass.
///
/// The predicate reads the request of the client, and a client that makes it return false is not checked. Select by method or
/// by extensions of outer policies instead of by a header. Inside [`any_of`](crate::any_of), the other policy alone decides
/// about a request that is not selected.
///
/// ```
/// # use http::request;
/// # use palisade_core::{ApiError, Decision, Policy, when};
/// # struct Signed;
/// # impl Policy for Signed { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::refuse(ApiError::forbidden()) } }
/// let signed_writes = when(|request| !request.method.is_safe(), Signed);
/// ```
pub fn when<F, P>(predicate: F, policy: P) -> When<F, P::Policy>
where
    F: Fn(&request::Parts) -> bool + Send + Sync + 'static,
    P: IntoPolicy,
{
    When { predicate, expected: true, policy: policy.into_policy() }
}

/// Applies `policy`, one or several in a row, to all requests but those that `predicate` selects, which pass. See
/// [`when`].
pub fn unless<F, P>(predicate: F, policy: P) -> When<F, P::Policy>
where
    F: Fn(&request::Parts) -> bool + Send + Sync + 'static,
    P: IntoPolicy,
{
    When { predicate, expected: false, policy: policy.into_policy() }
}

/// See [`when`] and [`unless`].
#[derive(Clone, Copy)]
pub struct When<F, P> {
    predicate: F,
    expected: bool,
    policy: P,
}

impl<F, P: std::fmt::Debug> std::fmt::Debug for When<F, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.expected { "when" } else { "unless" };
        f.debug_tuple(name).field(&self.policy).finish()
    }
}

impl<F, P> Policy for When<F, P>
where
    F: Fn(&request::Parts) -> bool + Send + Sync + 'static,
    P: Policy,
{
    /// `None`: the policy was not asked.
    type Grant = Option<P::Grant>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        if (self.predicate)(request) == self.expected {
            self.policy.decide(request).map(Some)
        } else {
            Decision::grant(None)
        }
    }

    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        if let Some(grant) = grant {
            self.policy.admit(grant, request);
        }
    }

    fn finish(&self, grant: Self::Grant, response: &mut response::Parts) {
        if let Some(grant) = grant {
            self.policy.finish(grant, response);
        }
    }

    fn failed(&self, grant: Self::Grant) {
        if let Some(grant) = grant {
            self.policy.failed(grant);
        }
    }

    fn describe(&self) -> Description {
        self.policy.describe()
    }

    fn allowed(grant: &Self::Grant) -> Allowed {
        grant.as_ref().map_or(Allowed::WithoutDecision, P::allowed)
    }

    const IS_ALTERNATIVE: bool = P::IS_ALTERNATIVE;

    fn prepare(&self, request: &mut request::Parts) {
        self.policy.prepare(request);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Request};

    use super::*;
    use crate::{ApiError, Halt};

    struct Locked;

    impl Policy for Locked {
        type Grant = ();

        fn decide(&self, request: &request::Parts) -> Decision<()> {
            if request.headers.contains_key("x-key") {
                Decision::grant(())
            } else {
                Decision::refuse(ApiError::forbidden())
            }
        }

        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert("asked");
        }

        fn finish(&self, (): (), response: &mut response::Parts) {
            response.headers.insert("x-asked", HeaderValue::from_static("yes"));
        }
    }

    fn head(method: Method) -> request::Parts {
        Request::builder().method(method).body(()).unwrap().into_parts().0
    }

    #[test]
    fn conditional_policies_check_the_selected_requests_only() {
        let writes = when(|request| !request.method.is_safe(), Locked);
        assert!(matches!(writes.decide(&head(Method::GET)), Decision::Now(Ok(None))));
        assert!(matches!(writes.decide(&head(Method::POST)), Decision::Now(Err(Halt::Refuse(_)))));

        let not_options = unless(|request| request.method == Method::OPTIONS, Locked);
        assert!(matches!(not_options.decide(&head(Method::OPTIONS)), Decision::Now(Ok(None))));
        assert!(matches!(
            not_options.decide(&head(Method::GET)),
            Decision::Now(Err(Halt::Refuse(_)))
        ));
    }

    #[test]
    fn unselected_request_and_response_are_unchanged() {
        let policy = when(|_| false, Locked);
        let mut request = head(Method::GET);
        let (mut response, ()) = http::Response::new(()).into_parts();
        policy.admit(&mut None, &mut request);
        policy.finish(None, &mut response);
        assert!(request.extensions.is_empty() && response.headers.is_empty());
    }
}
