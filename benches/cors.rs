//! What CORS costs per request, beside tower-http's `CorsLayer`: `cargo bench --bench cors`.
//!
//! Both have the same origins, methods, headers and credentials. The origin that asks is the last of the list, which a
//! list that is searched finds last. "Cloned" is what hyper-util and axum do: a clone of the service for each request.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use palisade::cors::Cors;
use palisade_benches::{Counting, Subject, asking, compare};
use tower::{Layer, Service, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Body = Full<Bytes>;

async fn service(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// The cost of every response that depends on the origin, in any implementation.
async fn varying(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = service(request).await?;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    Ok(response)
}

fn origin(number: usize) -> String {
    format!("https://tenant-{number:04}.example.com")
}

fn ours(origins: usize) -> Cors {
    Cors::allow_origins((0..origins).map(origin))
        .allow_methods([Method::PUT, Method::DELETE])
        .allow_headers(["authorization", "content-type"])
        .allow_credentials(true)
        .max_age(std::time::Duration::from_secs(7200))
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
        .max_age(std::time::Duration::from_secs(7200))
}

/// A clone of the service answers each request.
fn cloned<S>(service: S) -> impl Service<Request<Body>, Response = S::Response, Error = S::Error>
where
    S: Service<Request<Body>> + Clone,
{
    service_fn(move |request| service.clone().call(request))
}

fn get() -> Request<Body> {
    Request::get("/").header("accept", "*/*").body(Body::default()).unwrap()
}

fn get_from(origin: &HeaderValue) -> Request<Body> {
    let mut request = get();
    request.headers_mut().insert(header::ORIGIN, origin.clone());
    request
}

fn preflight_from(origin: &HeaderValue) -> Request<Body> {
    Request::options("/")
        .header(header::ORIGIN, origin.clone())
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")
        .body(Body::default())
        .unwrap()
}

/// Who asks, where so many origins are listed.
type Asks = fn(usize) -> HeaderValue;

fn the_last(origins: usize) -> HeaderValue {
    HeaderValue::try_from(origin(origins - 1)).unwrap()
}

fn nobody(_: usize) -> HeaderValue {
    HeaderValue::from_static("https://tenant-9999.example.com")
}

/// Ours and theirs with each number of origins, and the bare service first.
fn contest<'a>(
    asks: Asks,
    request: fn(&HeaderValue) -> Request<Body>,
    is_right: fn(StatusCode) -> bool,
) -> Vec<Subject<'a>> {
    let bare = service_fn(service);
    let ask = move |number| {
        let origin = asks(number);
        move || request(&origin)
    };
    let mut subjects = vec![asking("bare service", bare, ask(3), |_| true)];
    for (number, name, cloned_name) in [
        (3, "palisade, 3 origins", "palisade, 3 origins, cloned"),
        (100, "palisade, 100 origins", "palisade, 100 origins, cloned"),
        (1000, "palisade, 1000 origins", "palisade, 1000 origins, cloned"),
    ] {
        let service = ours(number).layer().layer(bare);
        subjects.push(asking(name, service.clone(), ask(number), move |r| is_right(r.status())));
        subjects
            .push(asking(cloned_name, cloned(service), ask(number), move |r| is_right(r.status())));
    }
    for (number, name, cloned_name) in [
        (3, "tower-http, 3 origins", "tower-http, 3 origins, cloned"),
        (100, "tower-http, 100 origins", "tower-http, 100 origins, cloned"),
        (1000, "tower-http, 1000 origins", "tower-http, 1000 origins, cloned"),
    ] {
        // It answers 200 to every preflight.
        let service = theirs(number).layer(bare);
        subjects.push(asking(name, service.clone(), ask(number), |r| r.status().is_success()));
        subjects
            .push(asking(cloned_name, cloned(service), ask(number), |r| r.status().is_success()));
    }
    subjects
}

fn main() {
    let mut subjects = contest(nobody, |_| get(), |status| status == StatusCode::OK);
    let by_hand = asking("bare service that writes Vary", service_fn(varying), get, |_| true);
    subjects.insert(1, by_hand);
    compare("Without an origin", &mut subjects);

    let ok = |status| status == StatusCode::OK;
    compare("A listed origin", &mut contest(the_last, get_from, ok));
    compare("A refused origin", &mut contest(nobody, get_from, ok));

    let granted = |status| status == StatusCode::NO_CONTENT;
    compare("A preflight", &mut contest(the_last, preflight_from, granted));
    let refused = |status| status == StatusCode::FORBIDDEN;
    compare("A refused preflight", &mut contest(nobody, preflight_from, refused));

    patterns();
    hostile();
}

/// A malicious preflight costs no more than any rejected one.
fn hostile() {
    let bare = service_fn(service);
    let origin = the_last(3);
    let ask = |list: String| {
        let list = HeaderValue::try_from(list).unwrap();
        let origin = origin.clone();
        move || {
            let mut request = preflight_from(&origin);
            request.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_HEADERS, list.clone());
            request
        }
    };
    let long = HeaderValue::try_from("https://".to_owned() + &"a".repeat(65_536)).unwrap();
    let service = ours(3).layer().layer(bare);
    let mut lists = vec![asking("bare service", bare, ask("x-other".into()), |_| true)];
    for (name, list) in [
        ("one header that is not listed", "x-other".into()),
        ("8,192 that are not listed", "x-other,".repeat(8192)),
        ("8,192 that are listed", "content-type,".repeat(8192)),
        ("65,536 empty ones", ",".repeat(65_536)),
        ("one of 65,536 bytes", "x".repeat(65_536)),
    ] {
        let is_refused = |r: &Response<_>| r.status() == StatusCode::FORBIDDEN;
        lists.push(asking(name, service.clone(), ask(list), is_refused));
    }
    lists.push(asking(
        "an origin of 65,544 bytes",
        service,
        || preflight_from(&long),
        |r| r.status() == StatusCode::FORBIDDEN,
    ));
    compare("A hostile preflight", &mut lists);
}

/// Subdomains, listed and told by a predicate. tower-http has the latter only.
fn patterns() {
    let bare = service_fn(service);
    let origin = HeaderValue::from_static("https://b.a.tenant-0999.example.com");
    let ask = || get_from(&origin);
    let subdomains = |number| {
        let patterns = (0..number).map(|n| format!("https://*.tenant-{n:04}.example.com"));
        Cors::allow_origins(patterns).build().unwrap().layer().layer(bare)
    };
    let is_ours = |host: &str| host.ends_with(".tenant-0999.example.com");
    let predicate = Cors::builder().allow_origin_if(move |origin| is_ours(origin.host()));
    let theirs = AllowOrigin::predicate(move |origin, _| {
        origin.to_str().is_ok_and(|origin| origin.strip_prefix("https://").is_some_and(is_ours))
    });
    let allows = |headers: &http::HeaderMap| headers.contains_key("access-control-allow-origin");
    compare(
        "A subdomain",
        &mut [
            asking("bare service", bare, ask, |_| true),
            asking("palisade, 1000 patterns", subdomains(1000), ask, |r| allows(r.headers())),
            asking("palisade, 10000 patterns", subdomains(10_000), ask, |r| allows(r.headers())),
            asking(
                "palisade, predicate",
                predicate.build().unwrap().layer().layer(bare),
                ask,
                |r| allows(r.headers()),
            ),
            asking(
                "tower-http, predicate",
                CorsLayer::new().allow_origin(theirs).layer(bare),
                ask,
                |r| allows(r.headers()),
            ),
        ],
    );
}
