//! What each layer of a stack costs, beside the stack that people assemble from other crates: on plain tower, in an axum router,
//! behind hyper's server and behind tonic's services. Takes under a minute.
//!
//! ```sh
//! cargo run --release --example overhead
//! ```
//!
//! To measure your own service, copy `on_tower`, and give `Ladder::new` your service, your requests and your layers.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    middleware::{self, Next},
    response::IntoResponse,
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use palisade::{ErrorLayer, PeerAddr, body::BodyLimit, observe::RequestIds, stack};
use palisade_bench::{CountingAllocator, Error, Ladder, Load, Protocol};
use palisade_benches::stacks::{
    Authenticate, Check, Checked, Governed, Hello, Ours, Role, cors, request, security_header,
    token,
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

/// The whole stack. A macro, because its type differs with the service around which it is put.
macro_rules! our_stack {
    ($ours:expr) => {
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .security_headers(&$ours.headers)
            .cors(&$ours.cors)
            .rate_limit(&$ours.limit)
            .auth(&$ours.auth)
            .role(["admin"])
            .body_limit(BodyLimit::new(MIB))
    };
}

/// The same of other crates.
macro_rules! their_stack {
    ($limit:expr) => {
        ServiceBuilder::new()
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
            .layer($limit)
            .layer(Checked(Authenticate::default()))
            .layer(Checked(Role("admin")))
            .layer(RequestBodyLimitLayer::new(MIB))
    };
}

const MIB: usize = 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ours = Ours::new()?;
    on_tower(&ours)?;
    on_axum(&ours)?;
    on_servers(&ours)?;
    Ok(())
}

/// A request that the stack allows, and one that it rejects for its role.
fn requests() -> [Request<Full<Bytes>>; 2] {
    [&["user", "admin"][..], &["user"]].map(|roles| request(&token(roles), Full::default()))
}

fn on_tower(ours: &Ours) -> Result<(), Error> {
    Ladder::new(Hello, requests())
        .title("Palisade on tower, layer by layer")
        .step("request id", RequestIds::new())
        .step("errors and panics", ErrorLayer::new())
        .step("six security headers", &ours.headers)
        .step("CORS, 3 origins", &ours.cors)
        .step("rate limit", &ours.limit)
        .step("JWT, seen before", &ours.auth)
        .step("role", &ours.role)
        .step("body limit", BodyLimit::new(MIB))
        .run()?
        .print();

    Ladder::new(Hello, requests())
        .title("Palisade on tower, as one stack")
        .step("stack()", our_stack!(ours))
        .run()?
        .print();

    let headers = ServiceBuilder::new()
        .layer(security_header(0))
        .layer(security_header(1))
        .layer(security_header(2))
        .layer(security_header(3))
        .layer(security_header(4))
        .layer(security_header(5));
    Ladder::new(Hello, requests())
        .title("Other crates on tower, layer by layer")
        .step("set request id", SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .step("propagate request id", PropagateRequestIdLayer::x_request_id())
        .step("catch panic", CatchPanicLayer::new())
        .step("six security headers", headers)
        .step("CORS, 3 origins", cors())
        .step("governor", Checked(Governed::default()))
        .step("jsonwebtoken", Checked(Authenticate::default()))
        .step("role", Checked(Role("admin")))
        .step("body limit", RequestBodyLimitLayer::new(MIB))
        .run()?
        .print();
    Ok(())
}

/// Each layer is added by `Router::layer`, which boxes the service: the cost of a layer contains that of the box.
fn on_axum(ours: &Ours) -> Result<(), Box<dyn std::error::Error>> {
    let router = || Router::new().route("/items/{id}", get(|| async { "hello" }));
    Ladder::new(router(), requests())
        .title("Palisade in an axum router")
        .step("stack()", layer_fn(|router: Router| router.layer(our_stack!(ours))))
        .run()?
        .print();

    let governor = GovernorConfigBuilder::default().per_nanosecond(1).burst_size(u32::MAX).finish();
    let governor = GovernorLayer::new(governor.ok_or("no configuration of governor")?);
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
        .run()?
        .print();
    Ok(())
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

/// Both stacks behind real servers: hyper's, and one of tonic's services.
fn on_servers(ours: &Ours) -> Result<(), Error> {
    let token = token(&["user", "admin"]);
    Load::loopback(with_peer(Hello))
        .title("hyper, HTTP/1.1")
        .beside("Palisade", with_peer(our_stack!(ours).wrap(Hello)))
        .beside(
            "other crates",
            with_peer(their_stack!(Checked(Governed::default())).service(Hello)),
        )
        .request(request(&token, Bytes::new()))
        .rates([5_000])
        .turn(TURN)
        .run()?
        .print();

    // A unary call with an empty message: a flag that says "not compressed", and a length of 0.
    let mut call = request(&token, Bytes::from_static(&[0; 5]));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    call.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    call.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    call.headers_mut().remove(header::HOST);
    let health = || HealthServer::new(HealthService::from_health_reporter(HealthReporter::new()));
    Load::loopback(with_peer(health()))
        .title("tonic, gRPC over HTTP/2")
        .beside("Palisade", with_peer(our_stack!(ours).wrap(health())))
        .beside(
            "other crates",
            with_peer(their_stack!(Checked(Governed::default())).service(health())),
        )
        .request(call)
        .protocol(Protocol::Http2)
        .rates([5_000])
        .turn(TURN)
        .run()?
        .print();
    Ok(())
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
