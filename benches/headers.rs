//! Headers of responses, beside layers that set one each, and methods of routes.

use std::{convert::Infallible, time::Duration};

use axum::{Router, routing};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use palisade::{
    PeerAddr, Policy, PolicyLayer, TrustedProxies,
    headers::{CacheControl, Geo, HeadFromGet, Methods, SecurityHeaders},
};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::{BARE, growing, hello, powers_of_ten, stacks::SECURITY_HEADERS};

type Body = Full<Bytes>;

/// As a handler answers: with a type, a length and a tag of its own.
async fn typical(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    Ok(response)
}

fn get() -> Request<Body> {
    Request::get("/").header("accept", "*/*").body(Body::default()).unwrap()
}

/// Security headers on two responses, and the policies that have no peer.
pub fn compare() -> Comparison {
    // Both sides keep the headers of the service.
    let set = |which: usize| {
        let (name, value) = &SECURITY_HEADERS[which];
        SetResponseHeaderLayer::if_not_present(name.clone(), HeaderValue::from_static(value))
    };
    let six_layers = ServiceBuilder::new()
        .layer(set(0))
        .layer(set(1))
        .layer(set(2))
        .layer(set(3))
        .layer(set(4))
        .layer(set(5));
    let security = SecurityHeaders::api().always_https().build().unwrap();
    let (bare, typical) = (service_fn(hello), service_fn(typical));
    let minute = Duration::from_secs(60);
    let cache = CacheControl::public().max_age(minute).build().unwrap();
    let methods = Methods::at("/", [Method::GET])
        .at("/orders", [Method::GET, Method::POST])
        .at("/orders/{id}", [Method::GET, Method::DELETE])
        .build()
        .unwrap();
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    let geo = Geo::allow(["DE", "AT"]).by_header("cf-ipcountry", &proxies).build().unwrap();
    let german = || {
        let mut request = Request::get("/orders/7").header("cf-ipcountry", "DE");
        request = request.extension(PeerAddr(([10, 0, 0, 1], 4000).into()));
        request.body(Body::default()).unwrap()
    };
    let head = || Request::head("/orders/7").body(Body::default()).unwrap();
    let all = security.clone().then(cache.clone()).then(geo.clone()).then(methods.clone());
    Comparison::new("headers")
        .set(
            "six security headers, on a response without headers",
            [
                Subject::service(BARE, bare, get),
                Subject::service("Palisade", security.layer().layer(bare), get),
                Subject::service("tower-http, six layers", six_layers.clone().service(bare), get),
            ],
        )
        .set(
            "six security headers, on a response with three headers",
            [
                Subject::service(BARE, typical, get),
                Subject::service("Palisade", security.layer().layer(typical), get),
                Subject::service("tower-http, six layers", six_layers.service(typical), get),
            ],
        )
        .set(
            "other policies, on a response with three headers",
            [
                Subject::service(BARE, typical, german),
                Subject::service("Palisade, CacheControl", cache.layer().layer(typical), german),
                Subject::service(
                    "Palisade, Methods, third path",
                    methods.layer().layer(typical),
                    german,
                ),
                Subject::service("Palisade, Geo", geo.layer().layer(typical), german),
                Subject::service("Palisade, HeadFromGet, GET", HeadFromGet.layer(typical), german),
                Subject::service("Palisade, HeadFromGet, HEAD", HeadFromGet.layer(typical), head),
                Subject::service(
                    "Palisade, four in a chain",
                    PolicyLayer::new(all).layer(typical),
                    german,
                ),
            ],
        )
}

/// 1 to 1,000 routes.
pub fn growth() -> Comparison {
    let subjects = |count: usize| {
        let path = |route: usize| format!("/api/v1/things-{route}/{{id}}");
        let methods = (1..count)
            .fold(Methods::at(path(0), [Method::GET]), |methods, route| {
                methods.at(path(route), [Method::GET])
            })
            .build()
            .unwrap();
        let router = (0..count).fold(Router::new(), |router, route| {
            router.route(&path(route), routing::get(|| async { "hello" }))
        });
        let last = count - 1;
        let request = move || {
            let request = Request::get(format!("/api/v1/things-{last}/7"));
            request.body(Body::default()).unwrap()
        };
        let bare = service_fn(hello);
        vec![
            Subject::service(BARE, bare, request),
            Subject::service("Palisade", methods.layer().layer(bare), request),
            Subject::service("axum, the router itself", router, request),
        ]
    };
    growing("routes", powers_of_ten(1, 1000).map(|count| (count, subjects(count))))
}
