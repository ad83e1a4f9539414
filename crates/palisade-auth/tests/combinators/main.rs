//! Combinations of authentications and policies: every nesting means what the reference model says.

mod random_trees;

use std::{any::Any, convert::Infallible, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request, response};
use palisade_auth::{Attempt, Authenticate, Identity, Pending, RequireRole};
use palisade_core::{
    ApiError, Decision, Either, IntoPolicy, Policy, PolicyLayer, Principal, Stage, any_of, shadow,
    testing::Delay, when,
};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a request has for one scheme, in the header of the scheme's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Good,
    Bad,
    /// Good or bad, but the store is down.
    Unknown,
}

const ALL: [Sent; 4] = [Sent::Nothing, Sent::Good, Sent::Bad, Sent::Unknown];

/// A scheme that does as the request says, now or later. Its callers have its name, and a role of that name.
#[derive(Clone, Copy, Debug)]
struct Scheme {
    name: &'static str,
    later: bool,
}

impl Authenticate for Scheme {
    type Claims = &'static str;

    fn authenticate(&self, request: &request::Parts) -> Attempt<&'static str> {
        self.attempt(request.headers.get(self.name).map(HeaderValue::as_bytes))
    }

    /// A credential names its scheme: `a=good`.
    fn verify_credential(&self, credential: &str) -> Attempt<&'static str> {
        let (name, sent) = credential.split_once('=').unwrap();
        self.attempt((name == self.name).then_some(sent.as_bytes()))
    }

    fn invalid(&self) -> ApiError {
        let challenge = HeaderValue::from_static(self.name);
        ApiError::unauthenticated().with_header(header::WWW_AUTHENTICATE, challenge)
    }

    fn fields(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(self.name)]
    }

    /// Only a credential that asks for it is hidden, so that other tests can look at the rest.
    fn hide_credentials(&self, request: &mut request::Parts) {
        if request.headers.contains_key("x-hide") {
            request.headers.remove(self.name);
        }
    }

    fn mark_response(&self, response: &mut response::Parts) {
        response.headers.append("x-marked", HeaderValue::from_static(self.name));
    }
}

impl Scheme {
    fn attempt(&self, sent: Option<&[u8]>) -> Attempt<&'static str> {
        let Some(sent) = sent else { return Attempt::Absent(self.invalid()) };
        let outcome = match sent {
            b"good" => {
                let principal = Principal::new(self.name).with_roles([self.name]);
                Ok(Identity::new(self.name, principal.authenticated_by(self.name)))
            }
            b"bad" => Err(self.invalid()),
            _ => Err(ApiError::unavailable()),
        };
        if !self.later {
            return Attempt::Now(outcome);
        }
        Attempt::Later(Pending::new(async move {
            Delay::new(2).await;
            outcome
        }))
    }
}

impl Policy for Scheme {
    type Grant = Option<Identity<&'static str>>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        self.authenticate(request).into_decision()
    }

    fn admit(&self, identity: &mut Self::Grant, request: &mut request::Parts) {
        if let Some(identity) = identity.take() {
            self.leave_identity(identity, request);
        }
    }
}

/// The status, and the caller that the handler saw: by its principal, which must agree with its identity.
async fn ask<S: Stage>(stage: S, sent: [Sent; 3]) -> (u16, String) {
    let service = PolicyLayer::new(stage).layer(service_fn(async |request: Request<String>| {
        let extensions = request.extensions();
        let caller = extensions.get::<Principal>().map_or("anonymous", Principal::method);
        if let Some(identity) = Identity::<&'static str>::from_extensions(extensions) {
            assert_eq!(*identity.claims(), caller);
        }
        Ok::<_, Infallible>(
            Response::builder().header("x-caller", caller).body(String::new()).unwrap(),
        )
    }));
    let mut request = Request::get("/");
    for (name, sent) in NAMES.into_iter().zip(sent) {
        request = match sent {
            Sent::Nothing => request,
            Sent::Good => request.header(name, "good"),
            Sent::Bad => request.header(name, "bad"),
            Sent::Unknown => request.header(name, "unknown"),
        };
    }
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    if response.status() == StatusCode::UNAUTHORIZED {
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "RFC 9110, 15.5.2");
    }
    let caller = response.headers().get("x-caller").map_or("", |caller| caller.to_str().unwrap());
    (response.status().as_u16(), caller.to_owned())
}

/// Every combination of what a request may send for three schemes.
fn every_request() -> impl Iterator<Item = [Sent; 3]> {
    ALL.into_iter()
        .flat_map(|a| ALL.into_iter().flat_map(move |b| ALL.into_iter().map(move |c| [a, b, c])))
}

/// The first scheme that accepts; else 503 if one could not tell; else 401.
fn expected(sent: [Sent; 3], anonymous: bool) -> (u16, String) {
    if let Some(first) = sent.iter().position(|sent| *sent == Sent::Good) {
        return (200, NAMES[first].to_owned());
    }
    if sent.contains(&Sent::Unknown) {
        return (503, String::new());
    }
    if anonymous && sent == [Sent::Nothing; 3] {
        return (200, "anonymous".to_owned());
    }
    (401, String::new())
}

#[tokio::test]
async fn nested_schemes_decide_like_flat_ones() {
    for later in [[false; 3], [true; 3], [true, false, false], [false, true, false]] {
        let [a, b, c] = std::array::from_fn(|at| Scheme { name: NAMES[at], later: later[at] });
        macro_rules! check {
            ($($nesting:expr),* $(,)?) => {
                for sent in every_request() {
                    $(
                        let required = ask($nesting, sent).await;
                        assert_eq!(required, expected(sent, false), "{} {sent:?}", stringify!($nesting));
                        let optional = ask($nesting.optional(), sent).await;
                        assert_eq!(optional, expected(sent, true), "optional {} {sent:?}", stringify!($nesting));
                        let kept = ask($nesting.revoked(|_| false), sent).await;
                        assert_eq!(kept, required);
                        let kept = ask($nesting.revoked_later(async |_| Ok::<_, ApiError>(false)), sent).await;
                        assert_eq!(kept, required);
                        let pages = ask($nesting.login_redirect("/login").unwrap(), sent).await;
                        assert_eq!(pages, required, "a request that is not for a page");
                    )*
                }
            };
        }
        check!(
            any_of(any_of(a, b), c),
            any_of(a, any_of(b, c)),
            any_of(any_of(a, b).revoked(|_| false), c),
            any_of(
                a,
                any_of(b, c).map_claims(|either| match either {
                    Either::A(b) => *b.claims(),
                    Either::B(c) => *c.claims(),
                })
            ),
        );
    }
}

fn is_b<C>(identity: &Identity<C>) -> bool {
    identity.principal().subject() == "b"
}

#[tokio::test]
async fn nested_verify_decides_like_a_request() {
    for later in [[false; 3], [true; 3], [true, false, true]] {
        let [a, b, c] = std::array::from_fn(|at| Scheme { name: NAMES[at], later: later[at] });
        macro_rules! check {
            ($($nesting:expr),* $(,)?) => {
                for (at, name) in NAMES.into_iter().enumerate() {
                    for (text, one) in [("good", Sent::Good), ("bad", Sent::Bad), ("down", Sent::Unknown)] {
                        let mut sent = [Sent::Nothing; 3];
                        sent[at] = one;
                        let (status, caller) = expected(sent, false);
                        let credential = format!("{name}={text}");
                        $(
                            let outcome = $nesting.verify(&credential).await;
                            let verified = outcome.as_ref().map_or_else(
                                |error| (error.status().as_u16(), ""),
                                |identity| (200, identity.principal().subject()),
                            );
                            assert_eq!(verified, (status, &*caller), "{} {credential}", stringify!($nesting));
                        )*
                    }
                }
                $(assert_eq!($nesting.verify("d=good").await.unwrap_err().status(), 401);)*
            };
        }
        check!(
            any_of(any_of(a, b), c),
            any_of(a, any_of(b, c)).revoked_later(async |_| Ok::<_, ApiError>(false)),
            any_of(any_of(a, b).revoked(|_| false), c).map_claims(|_| ()),
            any_of(a, any_of(b.map_claims(|_| 1), c)).revoked(|_| false),
        );
        for (credential, status) in [("a=good", 200), ("b=good", 401), ("b=down", 503)] {
            let checks = [
                any_of(a, b).revoked(is_b).verify(credential).await.map(drop),
                any_of(a, b.revoked(is_b)).verify(credential).await.map(drop),
                any_of(a, b).map_claims(|_| ()).revoked(is_b).verify(credential).await.map(drop),
            ];
            for outcome in checks {
                assert_eq!(outcome.map_or_else(|error| error.status().as_u16(), |()| 200), status);
            }
            let is_revoked = async |identity: Identity<_>| match identity.principal().subject() {
                "b" => Ok(true),
                "a" => Ok(false),
                _ => Err("unknown"),
            };
            let outcome = any_of(a, b).revoked_later(is_revoked).verify(credential).await;
            assert_eq!(outcome.map_or_else(|error| error.status().as_u16(), |_| 200), status);
        }
        let fails = a.revoked_later(async |_| Err::<bool, _>("the list is not available"));
        assert_eq!(fails.verify("a=good").await.unwrap_err().status(), 503);
        assert_eq!(fails.verify("a=bad").await.unwrap_err().status(), 401);
    }
}

#[tokio::test]
async fn revocation_and_login_redirect_wrap_any_of() {
    let [a, b, _] = NAMES.map(|name| Scheme { name, later: false });
    let either = || {
        any_of(a, b).revoked(|identity| match identity.claims() {
            Either::A(identity) => *identity.claims() == "b",
            Either::B(identity) => *identity.claims() == "b",
        })
    };
    let [nothing, good] = [Sent::Nothing, Sent::Good];
    assert_eq!(ask(either(), [good, nothing, nothing]).await, (200, "a".to_owned()));
    assert_eq!(ask(either(), [nothing, good, nothing]).await.0, 401);

    let pages = any_of(a, b).login_redirect("/login").unwrap();
    let page = Request::get("/orders").header(header::ACCEPT, "text/html").header("b", "bad");
    let service = PolicyLayer::new(pages).layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let response = service.oneshot(page.body(()).unwrap()).await.unwrap();
    assert_eq!(response.headers()[header::LOCATION], "/login?return_to=%2Forders");
}

/// Returns the fields that the handler saw, `Vary`, and the schemes that marked the response.
async fn traces<S: Stage>(stage: S, scheme: &'static str) -> [String; 3] {
    let service = PolicyLayer::new(stage).layer(service_fn(async |request: Request<String>| {
        let seen = request.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>().join(" ");
        Ok::<_, Infallible>(Response::builder().header("x-seen", seen).body(String::new()).unwrap())
    }));
    let request = Request::get("/").header("x-hide", "").header(scheme, "good");
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    ["x-seen", "vary", "x-marked"].map(|name| {
        let mut values: Vec<_> = response.headers().get_all(name).iter().collect();
        values.sort();
        values.iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    })
}

async fn keep<C>(_: Identity<C>) -> Result<bool, ApiError> {
    Ok(false)
}

#[tokio::test]
async fn wrappers_hide_credentials_and_mark_responses() {
    let [a, b, _] = NAMES.map(|name| Scheme { name, later: false });
    for scheme in ["a", "b"] {
        for traces in [
            traces(any_of(a, b).optional(), scheme).await,
            traces(any_of(a, b).revoked(|_| false).optional(), scheme).await,
            traces(any_of(a, b).revoked_later(keep).optional(), scheme).await,
            traces(any_of(a, b).map_claims(|_| ()).optional(), scheme).await,
        ] {
            assert_eq!(traces, ["x-hide", "a, b", "a b"]);
        }
        let login = any_of(a, b).revoked(|_| false).login_redirect("/login").unwrap();
        assert_eq!(traces(login, scheme).await, ["x-hide", "", "a b"]);
    }
    for traces in [
        traces(a.revoked(|_| false), "a").await,
        traces(a.revoked_later(keep), "a").await,
        traces(a.map_claims(|_| ()), "a").await,
    ] {
        assert_eq!(traces, ["x-hide", "", "a"]);
    }
}

fn sent() -> impl Strategy<Value = [Sent; 3]> {
    let one = || prop::sample::select(ALL.as_slice());
    [one(), one(), one()]
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn handlers_of_several_schemes_extract_one_principal() {
    use axum::{Router, body::Body, routing::get};
    let [a, b, _] = NAMES.map(|name| Scheme { name, later: true });
    let either = any_of(a, b);
    let who = get(async |caller: Principal| format!("{} by {}", caller.subject(), caller.method()));
    let maybe = get(async |caller: Option<Principal>| caller.is_some().to_string());
    let app = Router::<()>::new()
        .route("/who", who.clone().layer(PolicyLayer::new(either)))
        .route("/maybe", maybe.layer(PolicyLayer::new(either.optional())))
        .route("/unguarded", who);
    let ask = async |path: &str, scheme: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(scheme) = scheme {
            request = request.header(scheme, "good");
        }
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask("/who", Some("a")).await, (200, "a by a".to_owned()));
    assert_eq!(ask("/who", Some("b")).await, (200, "b by b".to_owned()));
    assert_eq!(ask("/who", None).await.0, 401);
    assert_eq!(ask("/maybe", Some("b")).await, (200, "true".to_owned()));
    assert_eq!(ask("/maybe", None).await, (200, "false".to_owned()));
    let (status, body) = ask("/unguarded", Some("a")).await;
    assert!(status == 500 && !body.contains("with_auth"), "the remedy is for the log: {body}");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn login_page_returns_to_the_whole_path_of_nested_routers() {
    use axum::{Router, body::Body, routing::get};
    let pages = Scheme { name: "a", later: false }.login_redirect("/login").unwrap();
    let orders =
        Router::<()>::new().route("/orders", get(async || "in")).layer(PolicyLayer::new(pages));
    let app = Router::<()>::new().nest("/shop", Router::new().nest("/v1", orders));
    let page = Request::get("/shop/v1/orders?page=2").header(header::ACCEPT, "text/html");
    let response = app.oneshot(page.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        response.headers()[header::LOCATION],
        "/login?return_to=%2Fshop%2Fv1%2Forders%3Fpage%3D2"
    );
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn decision_of_a_rejected_branch_does_not_count() {
    use axum::{Router, body::Body, routing::get};
    use palisade_auth::{Decided, DenyUndecided};
    let [a, b, _] = NAMES.map(|name| Scheme { name, later: false });
    // the first branch decides and then refuses; the second one admits and decides nothing
    let undecided = any_of(a.then(Decided).then(RequireRole::any(["none"])), b);
    let app = Router::<()>::new()
        .route("/", get(async || "in"))
        .layer(PolicyLayer::new(undecided))
        .layer(DenyUndecided::new());
    let request = Request::get("/").header("a", "good").header("b", "good");
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}
