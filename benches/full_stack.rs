//! The whole stack of [`stacks`](crate::stacks): by Palisade, and by other crates.

use std::convert::Infallible;

use axum::{
    Json, Router,
    body::Body,
    middleware::{self, Next},
    response::IntoResponse,
    routing::{MethodRouter, get, post},
};
use axum_valid::Garde;
use bytes::Bytes;
use garde::Validate;
use governor::{clock::QuantaInstant, middleware::NoOpMiddleware};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full};
use palisade::validate::{Valid, ValidateLayer, Validated};
use palisade_bench::{Comparison, Subject};
use serde::Deserialize;
use tower::{ServiceBuilder, service_fn};
use tower_governor::{
    GovernorLayer, governor::GovernorConfigBuilder, key_extractor::PeerIpKeyExtractor,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};

use crate::{
    BARE,
    by_hand::ByHand,
    stacks::{
        Authenticate, Check, Checked, Governed, Hello, Ours, Role, cors, request, security_header,
        token,
    },
};

/// The limit of a request's body, in bytes.
pub const MIB: usize = 1024 * 1024;

/// The whole stack of Palisade. A macro, because its type differs with the service around which it is put.
#[macro_export]
macro_rules! our_stack {
    ($ours:expr) => {
        palisade::stack()
            .observe(palisade::observe::RequestIds::new())
            .errors(palisade::ErrorLayer::new())
            .security_headers(&$ours.headers)
            .cors(&$ours.cors)
            .rate_limit(&$ours.limit)
            .auth(&$ours.auth)
            .role(["admin"])
            .body_limit(palisade::body::BodyLimit::new($crate::full_stack::MIB))
    };
}

/// The same of other crates.
#[macro_export]
macro_rules! their_stack {
    ($limit:expr) => {
        tower::ServiceBuilder::new()
            .layer(tower_http::request_id::SetRequestIdLayer::x_request_id(
                tower_http::request_id::MakeRequestUuid,
            ))
            .layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())
            .layer(tower_http::catch_panic::CatchPanicLayer::new())
            .layer($crate::stacks::security_header(0))
            .layer($crate::stacks::security_header(1))
            .layer($crate::stacks::security_header(2))
            .layer($crate::stacks::security_header(3))
            .layer($crate::stacks::security_header(4))
            .layer($crate::stacks::security_header(5))
            .layer($crate::stacks::cors())
            .layer($limit)
            .layer($crate::stacks::Checked($crate::stacks::Authenticate::default()))
            .layer($crate::stacks::Checked($crate::stacks::Role("admin")))
            .layer(tower_http::limit::RequestBodyLimitLayer::new($crate::full_stack::MIB))
    };
}

/// Returns a request that the stack allows, and one that it rejects for its role.
pub fn requests() -> [Request<Full<Bytes>>; 2] {
    [&["user", "admin"][..], &["user"]].map(|roles| request(&token(roles), Full::default()))
}

/// Returns a router with the route of [`requests`].
pub fn router() -> Router {
    Router::new().route("/items/{id}", get(|| async { "hello" }))
}

/// The limit of [`Ours`] by tower_governor.
pub(crate) fn governor() -> GovernorLayer<PeerIpKeyExtractor, NoOpMiddleware<QuantaInstant>, Body> {
    let mut config = GovernorConfigBuilder::default();
    config.per_nanosecond(1).burst_size(u32::MAX);
    GovernorLayer::new(config.finish().expect("a burst and a period"))
}

/// A [`Check`] as the middleware that people write for axum.
pub(crate) fn checked(router: Router, check: impl Check) -> Router {
    router.layer(middleware::from_fn(move |mut request: Request<Body>, next: Next| {
        let checked = check.check(&mut request);
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(status) => status.into_response(),
            }
        }
    }))
}

/// The stack of other crates as people assemble it for axum: tower_governor, and `from_fn` for the token and the role.
fn with_from_fn(router: Router) -> Router {
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CatchPanicLayer::new())
        .layer(security_header(0))
        .layer(security_header(1))
        .layer(security_header(2))
        .layer(security_header(3))
        .layer(security_header(4))
        .layer(security_header(5))
        .layer(cors())
        .layer(governor());
    // The innermost layer comes first.
    let router = router.layer(RequestBodyLimitLayer::new(MIB));
    checked(checked(router, Role("admin")), Authenticate::default()).layer(layers)
}

#[derive(Deserialize, Validate)]
#[allow(dead_code, reason = "only read and validated")]
struct Item {
    #[garde(length(min = 1, max = 100))]
    name: String,
    #[garde(range(min = 1, max = 1000))]
    amount: u32,
}

/// Returns a router with one route for new items.
fn items(create: MethodRouter) -> Router {
    Router::new().route("/items/{id}", create)
}

/// Returns a request with an item as JSON.
fn create() -> Request<Full<Bytes>> {
    let json = Full::new(Bytes::from_static(br#"{"name":"a lamp","amount":3}"#));
    let mut request = request(&token(&["user", "admin"]), json);
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("28"));
    request
}

/// Reads an item, and applies its rules if `HAS_RULES`: a handler as people write it without axum.
async fn create_item<B, const HAS_RULES: bool>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body,
{
    let mut response = Response::new(Full::new(Bytes::from_static(b"created")));
    let body = request.into_body().collect().await.ok().map(Collected::to_bytes);
    let item = body.and_then(|body| serde_json::from_slice::<Item>(&body).ok());
    if !item.is_some_and(|item| !HAS_RULES || item.validate().is_ok()) {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// The handler inside of [`ValidateLayer`].
async fn create_valid_item<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"created")));
    if request.extensions().get::<Validated<Item>>().is_none() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// On plain tower and in an axum router, allowed and rejected; with every token verified; and JSON with rules.
pub fn compare() -> Comparison {
    let ours = Ours::new().unwrap();
    let verifying = Ours { auth: Ours::jwt().cache_bytes(0).build().unwrap(), ..ours.clone() };
    let theirs = || their_stack!(Checked(Governed::default()));
    let on_tower = |ours: &Ours, request: Request<Full<Bytes>>| {
        let request = move || request.clone();
        vec![
            Subject::service(BARE, Hello, request.clone()),
            Subject::service("Palisade", our_stack!(ours).wrap(Hello), request.clone()),
            Subject::service("other crates", theirs().service(Hello), request),
        ]
    };
    let mut allowed_on_tower = on_tower(&ours, requests()[0].clone());
    let allowed = requests()[0].clone();
    allowed_on_tower.push(Subject::service(BY_HAND, ByHand::default(), move || allowed.clone()));
    let in_axum = |request: Request<Full<Bytes>>| {
        let request = move || request.clone();
        vec![
            Subject::service(BARE, router(), request.clone()),
            Subject::service("Palisade", router().layer(our_stack!(ours)), request.clone()),
            Subject::service("other crates", router().layer(theirs()), request.clone()),
            Subject::service(WITH_FROM_FN, with_from_fn(router()), request),
        ]
    };
    let validating = our_stack!(ours).validate(ValidateLayer::<Item>::new());
    let json_on_tower = [
        Subject::service(BARE, service_fn(create_item::<_, false>), create),
        Subject::service("Palisade", validating.wrap(service_fn(create_valid_item)), create),
        Subject::service(
            "other crates",
            theirs().service(service_fn(create_item::<_, true>)),
            create,
        ),
    ];
    let json_in_axum = [
        Subject::service(BARE, items(post(async |_: Json<Item>| "created")), create),
        Subject::service(
            "Palisade",
            items(post(async |_: Valid<Json<Item>>| "created")).layer(our_stack!(ours)),
            create,
        ),
        Subject::service(
            "other crates",
            items(post(async |_: Garde<Json<Item>>| "created")).layer(theirs()),
            create,
        ),
    ];
    let [allowed, rejected] = requests();
    Comparison::new("stack")
        .set("tower, allowed", allowed_on_tower)
        .set("tower, every token verified", on_tower(&verifying, allowed.clone()))
        .set("tower, rejected by its role", on_tower(&ours, rejected.clone()))
        .set("tower, JSON with rules", json_on_tower)
        .set("axum, allowed", in_axum(allowed))
        .set("axum, rejected by its role", in_axum(rejected))
        .set("axum, JSON with rules", json_in_axum)
}

/// The name of [`ByHand`].
pub const BY_HAND: &str = "by hand, in one function";

/// The name of the other crates' stack with `from_fn`.
pub const WITH_FROM_FN: &str = "other crates, `from_fn`";
