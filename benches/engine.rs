//! The engine alone.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderName, Request, header, request, response};
use http_body_util::Full;
use palisade::{BoxError, Decision, ErrorLayer, Policy, PolicyLayer, Stage};
use palisade_bench::{Comparison, Subject};
use tower::{
    Layer, Service, ServiceBuilder, service_fn,
    util::{MapRequest, MapRequestLayer},
};

use crate::{BARE, growing, hello};

/// Reads one header field, as the cheapest real policy would.
#[derive(Clone)]
struct Reads(HeaderName);

impl Policy for Reads {
    type Grant = bool;

    fn decide(&self, request: &request::Parts) -> Decision<bool> {
        Decision::grant(request.headers.contains_key(&self.0))
    }

    fn finish(&self, present: bool, response: &mut response::Parts) {
        if present {
            response.headers.remove(&self.0);
        }
    }
}

fn reads(which: usize) -> Reads {
    const NAMES: [HeaderName; 8] = [
        header::COOKIE,
        header::RANGE,
        header::REFERER,
        header::TE,
        header::UPGRADE,
        header::VIA,
        header::WARNING,
        header::FROM,
    ];
    Reads(NAMES[which].clone())
}

type Body = Full<Bytes>;

fn get() -> Request<Body> {
    Request::get("/").header("accept", "*/*").body(Body::default()).unwrap()
}

fn eight() -> impl Stage {
    reads(0)
        .then(reads(1))
        .then(reads(2))
        .then(reads(3))
        .then(reads(4))
        .then(reads(5))
        .then(reads(6))
        .then(reads(7))
}

/// Policies that do next to nothing, and the conversion of errors.
pub fn compare() -> Comparison {
    let bare = service_fn(hello::<Body>);
    let nested = ServiceBuilder::new()
        .layer(PolicyLayer::new(reads(0)))
        .layer(PolicyLayer::new(reads(1)))
        .layer(PolicyLayer::new(reads(2)))
        .layer(PolicyLayer::new(reads(3)))
        .layer(PolicyLayer::new(reads(4)))
        .layer(PolicyLayer::new(reads(5)))
        .layer(PolicyLayer::new(reads(6)))
        .layer(PolicyLayer::new(reads(7)));
    let fails =
        service_fn(async |_: Request<Body>| Err::<http::Response<Body>, BoxError>("down".into()));
    let missing = service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(http::Response::builder().status(404).body(Body::default()).unwrap())
    });
    Comparison::new("engine")
        .set(
            "policies that read one header each",
            [
                Subject::service(BARE, bare, get),
                Subject::service(
                    "Palisade, one policy",
                    PolicyLayer::new(reads(0)).layer(bare),
                    get,
                ),
                Subject::service(
                    "Palisade, a chain of eight",
                    PolicyLayer::new(eight()).layer(bare),
                    get,
                ),
                Subject::service("Palisade, eight nested layers", nested.service(bare), get),
                Subject::service("Palisade, errors alone", ErrorLayer::new().layer(bare), get),
            ],
        )
        .set(
            "a response with 404 of the service",
            [
                Subject::service(BARE, missing, get),
                Subject::service("Palisade", ErrorLayer::new().layer(missing), get),
            ],
        )
        .set(
            "an error of the service",
            [Subject::service("Palisade", ErrorLayer::new().layer(fails), get)],
        )
}

/// A chain of ten, each of which may be a chain itself.
fn ten<S: Stage>(stage: fn() -> S) -> impl Stage + use<S> {
    ().then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
        .then(stage())
}

type Map = fn(Request<Body>) -> Request<Body>;

/// Ten layers that read one header each.
fn ten_maps<S: Service<Request<Body>> + Clone>(
    service: S,
) -> impl Service<Request<Body>, Response = S::Response, Error = S::Error, Future = S::Future> + Clone
{
    fn read(mut request: Request<Body>) -> Request<Body> {
        if request.headers().contains_key(header::VIA) {
            request.headers_mut().remove(header::VIA);
        }
        request
    }
    let map = MapRequestLayer::new(read as Map);
    ServiceBuilder::new()
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map.clone())
        .layer(map)
        .service(service)
}

/// 1, 10 and 100 policies.
pub fn growth() -> Comparison {
    let bare = service_fn(hello::<Body>);
    let one = || reads(5);
    let hundred = ten_maps(ten_maps(ten_maps(ten_maps(ten_maps(bare)))));
    let hundred = ten_maps(ten_maps(ten_maps(ten_maps(ten_maps(hundred)))));
    let map: Map = |request| request;
    growing(
        "policies",
        [
            (
                1,
                vec![
                    Subject::service(BARE, bare, get),
                    Subject::service("Palisade", PolicyLayer::new(one()).layer(bare), get),
                    Subject::service("tower", MapRequest::new(bare, map), get),
                ],
            ),
            (
                10,
                vec![
                    Subject::service(BARE, bare, get),
                    Subject::service("Palisade", PolicyLayer::new(ten(one)).layer(bare), get),
                    Subject::service("tower", ten_maps(bare), get),
                ],
            ),
            (
                100,
                vec![
                    Subject::service(BARE, bare, get),
                    Subject::service(
                        "Palisade",
                        PolicyLayer::new(ten(|| ten(|| reads(5)))).layer(bare),
                        get,
                    ),
                    Subject::service("tower", hundred, get),
                ],
            ),
        ],
    )
}
