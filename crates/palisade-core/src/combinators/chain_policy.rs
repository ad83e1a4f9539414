use std::{
    fmt,
    future::poll_fn,
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
};

use http::{request, response};

use crate::{
    Allowed, Chain, Decision, Description, Halt, Policy, Stage, Trail,
    engine::{Entry, Policies},
};

/// A policy, or several in a row: everything that a combinator accepts.
///
/// ```
/// # use http::request;
/// # use palisade_core::{Decision, Policy, any_of, shadow, when};
/// # #[derive(Clone)]
/// # struct Auth;
/// # impl Policy for Auth { type Grant = (); fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) } }
/// # let (auth, role, keys) = (Auth, Auth, Auth);
/// let staff = when(|request| !request.method.is_safe(), auth.clone().then(role.clone()));
/// let either = any_of(auth.clone().then(role.clone()), keys);
/// let trial = shadow(auth.then(role));
/// ```
pub trait IntoPolicy {
    /// The one policy.
    type Policy: Policy;

    /// Returns the one policy.
    fn into_policy(self) -> Self::Policy;
}

impl<P: Policy> IntoPolicy for P {
    type Policy = P;

    fn into_policy(self) -> P {
        self
    }
}

impl<A: Stage, B: Stage> IntoPolicy for Chain<A, B> {
    type Policy = ChainPolicy<A, B>;

    fn into_policy(self) -> ChainPolicy<A, B> {
        ChainPolicy { chain: Arc::new(Policies::new(self)) }
    }
}

/// A chain as one policy, for combinators. Created by [`IntoPolicy`].
///
/// Each policy decides about the head that the previous ones have changed, and a rejection by a later one must undo all
/// changes. Therefore they run on a copy of the head, which replaces the original when the request is admitted. A [`Chain`]
/// outside combinators needs no copy.
pub struct ChainPolicy<A, B> {
    chain: Arc<Policies<Chain<A, B>>>,
}

/// The grants of several policies in a row, with the head of the request as they left it.
pub struct ChainGrant<A: Stage, B: Stage> {
    grants: <Chain<A, B> as Stage>::Grants,
    /// Taken when the request is admitted.
    head: Option<request::Parts>,
}

impl<A: Stage, B: Stage> Policy for ChainPolicy<A, B> {
    type Grant = ChainGrant<A, B>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        let mut head = request.clone();
        // The trail notes this policy as one; a copy would note its parts also where they are not taken.
        head.extensions.remove::<Trail>();
        head.extensions.insert(Tentative::default());
        let mut grants = <Chain<A, B> as Stage>::Grants::default();
        match self.chain.enter(&mut head, &mut grants) {
            Entry::Passed => Decision::grant(ChainGrant { grants, head: Some(head) }),
            Entry::Refused(refusal) => {
                let refusal = self.chain.leave_refusal(&mut grants, refusal);
                Decision::Now(Err(Halt::Reply(refusal)))
            }
            Entry::Waiting(mut wait) => {
                let chain = Arc::clone(&self.chain);
                Decision::later(async move {
                    let resume = poll_fn(|cx| chain.resume(&mut wait, cx, &mut head, &mut grants));
                    match resume.await {
                        Ok(()) => Ok(ChainGrant { grants, head: Some(head) }),
                        Err(refusal) => Err(Halt::Reply(chain.leave_refusal(&mut grants, refusal))),
                    }
                })
            }
        }
    }

    fn admit(&self, grant: &mut Self::Grant, request: &mut request::Parts) {
        let Some(head) = grant.head.take() else { return };
        let outer = std::mem::replace(request, head);
        let tentative = request.extensions.remove::<Tentative>();
        if let Some(trail) = outer.extensions.get::<Trail>() {
            request.extensions.insert(trail.clone());
        }
        if let Some(outer) = outer.extensions.get::<Tentative>() {
            request.extensions.insert(outer.clone());
        }
        for deferred in tentative.map(Tentative::into_deferred).unwrap_or_default() {
            on_admission(request, deferred);
        }
    }

    fn finish(&self, mut grant: Self::Grant, response: &mut response::Parts) {
        if self.chain.leave(&mut grant.grants, response).is_some() {
            // A policy cannot replace the body; the engine does when it catches this. The panic was reported already.
            resume_unwind(Box::new("in one of several policies"));
        }
    }

    fn failed(&self, mut grant: Self::Grant) {
        self.chain.fail(&mut grant.grants);
    }

    fn describe(&self) -> Description {
        self.chain.stage.description()
    }

    fn allowed(grant: &Self::Grant) -> Allowed {
        if Chain::<A, B>::abstained(&grant.grants) {
            Allowed::WithoutDecision
        } else {
            Allowed::ByDecision
        }
    }

    const IS_ALTERNATIVE: bool = Chain::<A, B>::MAY_BE_ALTERNATIVE;

    fn prepare(&self, request: &mut request::Parts) {
        self.chain.stage.prepare_all(request);
    }
}

impl<A, B> Clone for ChainPolicy<A, B> {
    fn clone(&self) -> Self {
        Self { chain: Arc::clone(&self.chain) }
    }
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for ChainPolicy<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chain.stage.fmt(f)
    }
}

impl<A: Stage, B: Stage> fmt::Debug for ChainGrant<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainGrant")
    }
}

/// Runs `effect` once the request is known to pass.
///
/// That is at once, except in the [`admit`](Policy::admit) of a policy that is one of several in a row inside
/// [`any_of`](crate::any_of), [`when`](crate::when) or [`shadow`](crate::shadow): a later one may still refuse, and then
/// `effect` never runs. A policy uses it for an effect that is not part of the request, such as a flag that it shares
/// with a layer further out.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
/// use palisade_core::on_admission;
///
/// let seen = Arc::new(AtomicBool::new(false));
/// let (mut request, ()) = http::Request::new(()).into_parts();
/// on_admission(&mut request, { let seen = Arc::clone(&seen); move || seen.store(true, Ordering::Release) });
/// assert!(seen.load(Ordering::Acquire));
/// ```
pub fn on_admission(request: &mut request::Parts, effect: impl FnOnce() + Send + 'static) {
    match request.extensions.get::<Tentative>() {
        Some(tentative) => tentative.defer(Box::new(effect)),
        None => effect(),
    }
}

type Effect = Box<dyn FnOnce() + Send>;

/// The delayed effects of policies that have admitted a copy of the request, which may still be rejected.
#[derive(Clone, Default)]
struct Tentative(Arc<Mutex<Vec<Effect>>>);

impl Tentative {
    fn defer(&self, effect: Effect) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }

    fn into_deferred(self) -> Vec<Effect> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{HeaderValue, Request, Response, StatusCode};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{
        ApiError, PolicyLayer, Principal, any_of, shadow,
        testing::{Contract, Deferred, Script},
        unless, when,
    };

    /// Authenticates a caller by a header, counts admissions, and writes on the response.
    #[derive(Clone)]
    struct Knows(&'static str, Arc<AtomicUsize>);

    impl Policy for Knows {
        type Grant = ();

        fn decide(&self, request: &request::Parts) -> Decision<()> {
            match request.headers.contains_key(self.0) {
                true => Decision::grant(()),
                false => {
                    let challenge = HeaderValue::from_static(self.0);
                    let error = ApiError::unauthenticated();
                    Decision::refuse(error.with_header(http::header::WWW_AUTHENTICATE, challenge))
                }
            }
        }

        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert(Principal::new(self.0));
            let admitted = Arc::clone(&self.1);
            on_admission(request, move || {
                admitted.fetch_add(1, Ordering::Relaxed);
            });
        }

        fn finish(&self, (): (), response: &mut response::Parts) {
            response.headers.append("x-finished", HeaderValue::from_static(self.0));
        }
    }

    /// Allows one caller that an outer policy has authenticated.
    #[derive(Clone)]
    struct Only(&'static str);

    impl Policy for Only {
        type Grant = ();

        fn decide(&self, request: &request::Parts) -> Decision<()> {
            match request.extensions.get::<Principal>() {
                Some(principal) if principal.subject() == self.0 => Decision::grant(()),
                Some(_) => Decision::refuse(ApiError::forbidden()),
                None => Decision::refuse(ApiError::unauthenticated()),
            }
        }
    }

    /// Sends a request with these headers. Returns the status, the caller that the handler saw, and the headers.
    async fn ask<S: Stage>(stage: S, headers: &[&'static str]) -> (StatusCode, Response<String>) {
        let service =
            PolicyLayer::new(stage).layer(service_fn(async |request: Request<String>| {
                let caller = request.extensions().get::<Principal>();
                let caller = caller.map_or("", Principal::subject).to_owned();
                Ok::<_, std::convert::Infallible>(
                    Response::builder().header("x-caller", caller).body(String::new()).unwrap(),
                )
            }));
        let request =
            headers.iter().fold(Request::get("/"), |request, name| request.header(*name, "1"));
        let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
        (response.status(), response.map(|_| String::new()))
    }

    fn caller(response: &Response<String>) -> &str {
        response.headers().get("x-caller").map_or("-", |caller| caller.to_str().unwrap())
    }

    #[tokio::test]
    async fn chain_can_be_either_side_of_any_of() {
        for polls in [None, Some(2)] {
            let (a, b) = (Arc::default(), Arc::default());
            let (known_a, known_b) = (Knows("a", Arc::clone(&a)), Knows("b", Arc::clone(&b)));
            let both =
                any_of(known_a.clone().then(Only("nobody")), known_b.clone().then(Only("b")));
            let (status, response) = match polls {
                None => ask(both, &["a", "b"]).await,
                Some(polls) => {
                    let a =
                        Deferred::new(known_a, polls).then(Deferred::new(Only("nobody"), polls));
                    let b = Deferred::new(known_b, polls).then(Deferred::new(Only("b"), polls));
                    ask(any_of(a, b), &["a", "b"]).await
                }
            };
            assert_eq!((status, caller(&response)), (StatusCode::OK, "b"));
            assert_eq!(response.headers()["x-finished"], "b");
            assert_eq!((a.load(Ordering::Relaxed), b.load(Ordering::Relaxed)), (0, 1));
        }
    }

    #[tokio::test]
    async fn rejections_of_chains_merge_all_challenges() {
        let knows = |name| Knows(name, Arc::default());
        let both = || any_of(knows("a").then(Only("a")), knows("b").then(Only("nobody")));
        let (status, response) = ask(both(), &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["a", "b"]);
        // An authenticated caller without permission gets 403.
        let (status, response) = ask(both(), &["b"]).await;
        assert_eq!((status, caller(&response)), (StatusCode::FORBIDDEN, "-"));
        // also when the other is no chain
        let (status, _) = ask(any_of(knows("a"), knows("b").then(Only("nobody"))), &["b"]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn chain_can_be_inside_when_unless_and_shadow() {
        let chain = || Knows("a", Arc::default()).then(Only("a"));
        let (status, response) = ask(when(|_| true, chain()), &["a"]).await;
        assert_eq!((status, caller(&response)), (StatusCode::OK, "a"));
        assert_eq!(ask(when(|_| true, chain()), &[]).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(when(|_| false, chain()), &[]).await.0, StatusCode::OK);
        assert_eq!(ask(unless(|_| false, chain()), &[]).await.0, StatusCode::UNAUTHORIZED);

        let counted = Arc::default();
        let trial = shadow(Knows("a", Arc::clone(&counted)).then(Only("a")));
        let (status, response) = ask(trial, &["a"]).await;
        assert_eq!((status, caller(&response)), (StatusCode::OK, ""));
        assert!(!response.headers().contains_key("x-finished"));
        assert_eq!(counted.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn abstaining_policy_leaves_the_decision_to_the_other() {
        let knows = |name| Knows(name, Arc::default());
        // a request that is not selected has only one way in
        let either = || any_of(when(|_| false, knows("a")), knows("b"));
        assert_eq!(ask(either(), &[]).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(caller(&ask(either(), &["b"]).await.1), "b");
        let either = || any_of(knows("b"), unless(|_| true, knows("a").then(Only("a"))));
        assert_eq!(ask(either(), &["a"]).await.0, StatusCode::UNAUTHORIZED);
        // A shadowed policy does not allow requests.
        let either = || any_of(shadow(knows("a")), knows("b"));
        assert_eq!(ask(either(), &["a"]).await.0, StatusCode::UNAUTHORIZED);
        // where both abstain, the request passes as it does without them
        let neither = || any_of(when(|_| false, knows("a")), shadow(knows("b")));
        assert_eq!(ask(neither(), &[]).await.0, StatusCode::OK);
    }

    #[test]
    fn chain_in_a_combinator_keeps_the_policy_contract() {
        let chain = || Knows("a", Arc::default()).then(Only("a"));
        let other = || Knows("b", Arc::default());
        let request = |name: &'static str| {
            move || Request::get("/").header(name, "1").body(Script::default()).unwrap()
        };
        Contract::new(request("a")).check_policy(|| any_of(other(), chain()));
        Contract::new(request("b")).check_policy(|| any_of(chain(), other()));
        Contract::new(request("c")).check_refusal(|| any_of(chain(), other()));
    }

    #[tokio::test]
    async fn observer_records_a_chain_as_one_policy() {
        #[derive(Clone)]
        struct Observer(Trail);
        impl Policy for Observer {
            type Grant = ();
            fn decide(&self, _: &request::Parts) -> Decision<()> {
                Decision::grant(())
            }
            fn admit(&self, (): &mut (), request: &mut request::Parts) {
                request.extensions.insert(self.0.clone());
            }
            fn describe(&self) -> Description {
                Description::of_type::<Self>().adds_trail()
            }
        }
        let knows = |name| Knows(name, Arc::default());
        let trail = Trail::new(crate::SystemClock::shared());
        let either = any_of(knows("a").then(Only("nobody")), knows("b"));
        ask(Observer(trail.clone()).then(either).then(Only("b")), &["a", "b"]).await;
        let steps: Vec<_> = trail.steps().iter().map(ToString::to_string).collect();
        assert_eq!(steps, ["any_of(Knows.then(Only), Knows)=granted", "Only=granted"]);
        // and not the caller of the branch that was not taken
        assert_eq!(trail.principal().unwrap().subject(), "b");
    }
}
