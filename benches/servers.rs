//! Both stacks behind real servers, under load.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use hyper::body::Incoming;
use palisade::PeerAddr;
use palisade_bench::{Error, Load, LoadReport, Protocol};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower::util::MapRequest;

use crate::{
    our_stack,
    stacks::{Checked, Governed, Hello, Ours, request, token},
    their_stack,
};

/// Both stacks behind hyper's server.
pub fn behind_hyper(ours: &Ours, protocol: Protocol) -> Result<LoadReport, Error> {
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
pub fn behind_tonic(ours: &Ours) -> Result<LoadReport, Error> {
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
