//! Headers of responses, beside layers that set one each: `cargo bench --bench headers`.

use std::{cell::Cell, convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use palisade::{
    PeerAddr, Policy, PolicyLayer, TrustedProxies,
    headers::{CacheControl, Geo, HeadFromGet, Methods, SecurityHeaders},
};
use palisade_benches::{Counting, asking, compare};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_http::set_header::SetResponseHeaderLayer;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

async fn empty(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// As a handler answers: with a type, a length and a tag of its own.
async fn typical(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    Ok(response)
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/").header("accept", "*/*").body(Full::default()).unwrap()
}

/// Looked up once; afterwards they are counted, because six lookups would be measured too.
fn has_six<B>() -> impl Fn(&Response<B>) -> bool {
    let is_looked_up = Cell::new(false);
    move |response| {
        let headers = response.headers();
        if is_looked_up.replace(true) {
            return headers.len() >= SIX.len();
        }
        SIX.iter().all(|(name, value)| headers.get(*name).is_some_and(|own| own == value))
    }
}

/// What `SecurityHeaders::api` writes over https.
const SIX: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
];

fn main() {
    // Both sides leave what the service wrote.
    let set = |which: usize| {
        let (name, value) = SIX[which];
        let name = HeaderName::from_static(name);
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let six_layers = ServiceBuilder::new()
        .layer(set(0))
        .layer(set(1))
        .layer(set(2))
        .layer(set(3))
        .layer(set(4))
        .layer(set(5));
    let security = SecurityHeaders::api().always_https().build().unwrap();
    let (bare, answering) = (service_fn(empty), service_fn(typical));
    compare(
        "Six security headers, on a response without any",
        &mut [
            asking("bare service", bare, get, is_ok),
            asking("six layers of tower-http", six_layers.clone().service(bare), get, has_six()),
            asking("SecurityHeaders", security.layer().layer(bare), get, has_six()),
        ],
    );
    compare(
        "Six security headers, on a response with three",
        &mut [
            asking("bare service", answering, get, is_ok),
            asking("six layers of tower-http", six_layers.service(answering), get, has_six()),
            asking("SecurityHeaders", security.layer().layer(answering), get, has_six()),
        ],
    );
    others();
}

fn others() {
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
        request.body(Full::default()).unwrap()
    };
    let head = || Request::head("/orders/7").body(Full::default()).unwrap();
    let service = service_fn(typical);
    let all = SecurityHeaders::api().always_https().build().unwrap();
    let all = all.then(cache.clone()).then(geo.clone()).then(methods.clone());
    compare(
        "The other policies, on a response with three headers",
        &mut [
            asking("bare service", service, german, is_ok),
            asking("CacheControl", cache.layer().layer(service), german, is_ok),
            asking("Methods, the third path", methods.layer().layer(service), german, is_ok),
            asking("Geo", geo.layer().layer(service), german, is_ok),
            asking("HeadFromGet, of GET", HeadFromGet.layer(service), german, is_ok),
            asking("HeadFromGet, of HEAD", HeadFromGet.layer(service), head, is_ok),
            asking("all four policies", PolicyLayer::new(all).layer(service), german, has_six()),
        ],
    );
}

fn is_ok<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
}
