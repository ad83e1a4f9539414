//! What each layer of a stack costs, beside the stack that people assemble from other crates: on plain tower, and in an axum router.
//!
//! To measure your own service, copy [`palisade_on_tower`], and give `Ladder::new` your service, your requests and your layers.

use axum::Router;
use palisade::{ErrorLayer, body::BodyLimit, observe::RequestIds};
use palisade_bench::{Error, Ladder, Report};
use tower::{ServiceBuilder, layer::layer_fn};
use tower_http::{
    catch_panic::CatchPanicLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};

use crate::{
    full_stack::{MIB, checked, governor, requests, router},
    our_stack,
    stacks::{Authenticate, Checked, Governed, Hello, Ours, Role, cors, security_header},
};

/// Palisade, layer by layer.
pub fn palisade_on_tower(ours: &Ours) -> Result<Report, Error> {
    Ladder::new(Hello, requests())
        .title("Palisade on tower")
        .step("request id", RequestIds::new())
        .step("errors and panics", ErrorLayer::new())
        .step("six security headers", &ours.headers)
        .step("CORS, 3 origins", &ours.cors)
        .step("rate limit", &ours.limit)
        .step("JWT, seen before", &ours.auth)
        .step("role", &ours.role)
        .step("body limit", BodyLimit::new(MIB))
        .run()
}

/// Other crates, layer by layer.
pub fn others_on_tower() -> Result<Report, Error> {
    let headers = ServiceBuilder::new()
        .layer(security_header(0))
        .layer(security_header(1))
        .layer(security_header(2))
        .layer(security_header(3))
        .layer(security_header(4))
        .layer(security_header(5));
    Ladder::new(Hello, requests())
        .title("Other crates on tower")
        .step("set request id", SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .step("propagate request id", PropagateRequestIdLayer::x_request_id())
        .step("catch panic", CatchPanicLayer::new())
        .step("six security headers", headers)
        .step("CORS, 3 origins", cors())
        .step("governor", Checked(Governed::default()))
        .step("jsonwebtoken", Checked(Authenticate::default()))
        .step("role", Checked(Role("admin")))
        .step("body limit", RequestBodyLimitLayer::new(MIB))
        .run()
}

/// The layers of a stack are one service: they are measured together.
pub fn palisade_in_axum(ours: &Ours) -> Result<Report, Error> {
    Ladder::new(router(), requests())
        .title("Palisade in an axum router")
        .step("stack()", layer_fn(|router: Router| router.layer(our_stack!(ours))))
        .run()
}

/// Each layer is added by `Router::layer`, which boxes the service: the cost of a layer contains that of the box.
pub fn others_in_axum() -> Result<Report, Error> {
    let governor = governor();
    let headers =
        |router: Router| (0..6).fold(router, |router, which| router.layer(security_header(which)));
    let set_id = || SetRequestIdLayer::x_request_id(MakeRequestUuid);
    let propagate_id = || PropagateRequestIdLayer::x_request_id();
    Ladder::new(router(), requests())
        .title("Other crates in an axum router")
        .step("set request id", layer_fn(|router: Router| router.layer(set_id())))
        .step("propagate request id", layer_fn(|router: Router| router.layer(propagate_id())))
        .step("catch panic", layer_fn(|router: Router| router.layer(CatchPanicLayer::new())))
        .step("six security headers", layer_fn(headers))
        .step("CORS, 3 origins", layer_fn(|router: Router| router.layer(cors())))
        .step("tower_governor", layer_fn(|router: Router| router.layer(governor.clone())))
        .step("jsonwebtoken", layer_fn(|router| checked(router, Authenticate::default())))
        .step("role", layer_fn(|router| checked(router, Role("admin"))))
        .step(
            "body limit",
            layer_fn(|router: Router| router.layer(RequestBodyLimitLayer::new(MIB))),
        )
        .run()
}
