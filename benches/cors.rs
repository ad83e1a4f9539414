//! CORS, beside tower-http's `CorsLayer` with the same origins, methods, headers and credentials.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use palisade::cors::Cors;
use palisade_bench::{Comparison, Subject};
use tower::{Layer, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{BARE, growing, hello, powers_of_ten};

type Body = Full<Bytes>;

const MAX_AGE: Duration = Duration::from_secs(7200);

fn origin(number: usize) -> String {
    format!("https://tenant-{number:04}.example.com")
}

fn ours(origins: usize) -> Cors {
    Cors::allow_origins((0..origins).map(origin))
        .allow_methods([Method::PUT, Method::DELETE])
        .allow_headers(["authorization", "content-type"])
        .allow_credentials(true)
        .max_age(MAX_AGE)
        .build()
        .unwrap()
}

fn theirs(origins: usize) -> CorsLayer {
    let origins = (0..origins).map(|number| HeaderValue::try_from(origin(number)).unwrap());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .allow_credentials(true)
        .max_age(MAX_AGE)
}

fn get(origin: Option<&str>) -> Request<Body> {
    let mut request = Request::get("/").header("accept", "*/*");
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    request.body(Body::default()).unwrap()
}

fn preflight(origin: &str, headers: &str) -> Request<Body> {
    Request::options("/")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, headers)
        .body(Body::default())
        .unwrap()
}

/// One request to the bare service, and to both layers with this many origins.
fn contest(origins: usize, request: Request<Body>) -> Vec<Subject> {
    let bare = service_fn(hello);
    let request = move || request.clone();
    vec![
        Subject::service(BARE, bare, request.clone()),
        Subject::service("Palisade", ours(origins).layer().layer(bare), request.clone()),
        Subject::service("tower-http", theirs(origins).layer(bare), request),
    ]
}

/// Requests and preflights of listed and of other origins.
pub fn compare() -> Comparison {
    const OTHER: &str = "https://tenant-9999.example.com";
    const HEADERS: &str = "authorization,content-type";
    let listed = origin(2);
    Comparison::new("cors")
        .set("without an origin", contest(3, get(None)))
        .set("a listed origin", contest(3, get(Some(&listed))))
        .set("a rejected origin", contest(3, get(Some(OTHER))))
        .set("a preflight", contest(3, preflight(&listed, HEADERS)))
        .set("a rejected preflight", contest(3, preflight(OTHER, HEADERS)))
        .set("a subdomain, by a predicate", subdomain())
        .set(
            "a hostile preflight: 8,192 headers that are not listed",
            contest(3, preflight(&listed, &"x-other,".repeat(8192))),
        )
}

fn subdomain() -> [Subject; 3] {
    let bare = service_fn(hello);
    let request = || get(Some("https://b.a.tenant-0999.example.com"));
    let is_listed = |host: &str| host.ends_with(".tenant-0999.example.com");
    let ours = Cors::builder().allow_origin_if(move |origin| is_listed(origin.host()));
    let theirs = AllowOrigin::predicate(move |origin, _| {
        origin.to_str().is_ok_and(|origin| origin.strip_prefix("https://").is_some_and(is_listed))
    });
    [
        Subject::service(BARE, bare, request),
        Subject::service("Palisade", ours.build().unwrap().layer().layer(bare), request),
        Subject::service("tower-http", CorsLayer::new().allow_origin(theirs).layer(bare), request),
    ]
}

/// 1 to 10,000 origins.
pub fn growth() -> Comparison {
    let request = |count: usize| get(Some(&origin(count - 1)));
    growing(
        "origins",
        powers_of_ten(1, 10_000).map(|count| (count, contest(count, request(count)))),
    )
}
