//! What each layer of a stack costs, beside the stack that people assemble from other crates: on plain tower, in an axum router,
//! behind hyper's server and behind tonic's services. Takes under a minute.
//!
//! ```sh
//! cargo run --release --example overhead
//! ```
//!
//! To measure your own service, copy `palisade_on_tower`, and give `Ladder::new` your service, your requests and your layers.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    middleware::{self, Next},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{Request, Uri};
use hyper::body::Incoming;
use palisade::{ErrorLayer, PeerAddr, body::BodyLimit, observe::RequestIds};
use palisade_bench::{CountingAllocator, Error, Ladder, Load, LoadReport, Protocol, Report};
use palisade_benches::{
    full_stack::{self, MIB, requests, router},
    our_stack,
    stacks::{
        Authenticate, Check, Checked, Governed, Hello, Ours, Role, cors, request, security_header,
        token,
    },
    their_stack,
};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower::{ServiceBuilder, layer::layer_fn, util::MapRequest};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_http::{
    catch_panic::CatchPanicLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[allow(dead_code, reason = "the report has these functions as a module")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    full_stack::compare().run()?.print();
    let ours = Ours::new()?;
    palisade_on_tower(&ours)?.print();
    others_on_tower()?.print();
    palisade_in_axum(&ours)?.print();
    others_in_axum()?.print();
    behind_hyper(&ours, Protocol::Http1)?.print();
    behind_tonic(&ours)?.print();
    Ok(())
}

/// Palisade, layer by layer.
pub(crate) fn palisade_on_tower(ours: &Ours) -> Result<Report, Error> {
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
pub(crate) fn others_on_tower() -> Result<Report, Error> {
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
pub(crate) fn palisade_in_axum(ours: &Ours) -> Result<Report, Error> {
    Ladder::new(router(), requests())
        .title("Palisade in an axum router")
        .step("stack()", layer_fn(|router: Router| router.layer(our_stack!(ours))))
        .run()
}

/// Each layer is added by `Router::layer`, which boxes the service: the cost of a layer contains that of the box.
pub(crate) fn others_in_axum() -> Result<Report, Error> {
    let mut governor = GovernorConfigBuilder::default();
    governor.per_nanosecond(1).burst_size(u32::MAX);
    let governor = GovernorLayer::new(governor.finish().expect("a burst and a period"));
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

fn checked(router: Router, check: impl Check) -> Router {
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

/// Both stacks behind hyper's server.
pub(crate) fn behind_hyper(ours: &Ours, protocol: Protocol) -> Result<LoadReport, Error> {
    let version = if protocol == Protocol::Http1 { "HTTP/1.1" } else { "HTTP/2" };
    Load::loopback(with_peer(Hello))
        .title(format!("hyper, {version}"))
        .beside("Palisade", with_peer(our_stack!(ours).wrap(Hello)))
        .beside(
            "other crates",
            with_peer(their_stack!(Checked(Governed::default())).service(Hello)),
        )
        .request(request(&token(&["user", "admin"]), Bytes::new()))
        .protocol(protocol)
        .rates([5_000])
        .turn(TURN)
        .run()
}

/// Both stacks around a service of tonic.
pub(crate) fn behind_tonic(ours: &Ours) -> Result<LoadReport, Error> {
    // An empty message.
    let mut call = request(&token(&["user", "admin"]), Bytes::new());
    *call.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    let health = || HealthServer::new(HealthService::from_health_reporter(HealthReporter::new()));
    Load::loopback(with_peer(health()))
        .title("tonic, gRPC")
        .beside("Palisade", with_peer(our_stack!(ours).wrap(health())))
        .beside(
            "other crates",
            with_peer(their_stack!(Checked(Governed::default())).service(health())),
        )
        .request(call)
        .protocol(Protocol::Grpc)
        .rates([5_000])
        .turn(TURN)
        .run()
}

const TURN: Duration = Duration::from_millis(250);

type AddPeer = fn(Request<Incoming>) -> Request<Incoming>;

/// Adds the address of the peer, as a server does.
fn with_peer<S>(service: S) -> MapRequest<S, AddPeer> {
    MapRequest::new(service, |mut request| {
        request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
        request
    })
}
