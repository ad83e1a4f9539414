//! The whole stack of [`stacks`](crate::stacks): by Palisade, and by other crates.

use axum::{
    Json, Router,
    routing::{MethodRouter, get, post},
};
use axum_valid::Garde;
use bytes::Bytes;
use garde::Validate;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use palisade::validate::Valid;
use palisade_bench::{Comparison, Subject};
use serde::Deserialize;

use crate::{
    BARE,
    stacks::{Checked, Governed, Hello, Ours, request, token},
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

/// On plain tower and in an axum router, allowed and rejected; and JSON that handlers validate.
pub fn compare() -> Comparison {
    let ours = Ours::new().unwrap();
    let on_tower = |request: Request<Full<Bytes>>| {
        let request = move || request.clone();
        let theirs = their_stack!(Checked(Governed::default())).service(Hello);
        [
            Subject::service(BARE, Hello, request.clone()),
            Subject::service("Palisade", our_stack!(ours).wrap(Hello), request.clone()),
            Subject::service("other crates", theirs, request),
        ]
    };
    let in_axum = |request: Request<Full<Bytes>>| {
        let request = move || request.clone();
        let theirs = router().layer(their_stack!(Checked(Governed::default())));
        [
            Subject::service(BARE, router(), request.clone()),
            Subject::service("Palisade", router().layer(our_stack!(ours)), request.clone()),
            Subject::service("other crates", theirs, request),
        ]
    };
    let validating = [
        Subject::service(BARE, items(post(async |_: Json<Item>| "created")), create),
        Subject::service(
            "Palisade",
            items(post(async |_: Valid<Json<Item>>| "created")).layer(our_stack!(ours)),
            create,
        ),
        Subject::service(
            "other crates",
            items(post(async |_: Garde<Json<Item>>| "created"))
                .layer(their_stack!(Checked(Governed::default()))),
            create,
        ),
    ];
    let [allowed, rejected] = requests();
    Comparison::new("stack")
        .set("tower, allowed", on_tower(allowed.clone()))
        .set("tower, rejected by its role", on_tower(rejected.clone()))
        .set("axum, allowed", in_axum(allowed))
        .set("axum, rejected by its role", in_axum(rejected))
        .set("axum, JSON with rules", validating)
}
