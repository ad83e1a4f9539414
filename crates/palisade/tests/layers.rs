//! Every policy is a tower layer, and every step of a stack takes its part by value or by reference.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use palisade::{
    AllowNetworks, BoxedService, ConfigError, DenyNetworks, DiscardUnread, ErrorLayer, PeerAddr,
    TrustedProxies, any_of,
    auth::{ApiKeys, Authenticate, CsrfCheck, InMemoryApiKeys, Jwt, RequireRole, rules::Rule},
    body::{BodyLimit, Deadline, HeadLimits},
    cors::Cors,
    headers::{CacheControl, Methods, SecurityHeaders},
    observe::{Observe, RequestIds},
    rate_limit::{ConcurrencyLimit, Quota, RateLimit},
    shadow, stack, unless, when,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

type Body = Full<Bytes>;

#[derive(serde::Deserialize)]
struct Claims {}

async fn hello<B>(_: Request<B>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

fn jwt() -> Jwt<Claims> {
    Jwt::hs256("a signing key of at least thirty-two bytes").audience("orders").build().unwrap()
}

fn limit() -> RateLimit {
    RateLimit::per_address(Quota::per(1, Duration::from_secs(60))).build().unwrap()
}

fn cors() -> Cors {
    Cors::allow_origins(["https://app.example.com"]).build().unwrap()
}

/// A request from 192.0.2.1.
fn request() -> Request<Body> {
    let mut request = Request::new(Full::default());
    request.extensions_mut().insert(PeerAddr(SocketAddr::from(([192, 0, 2, 1], 4000))));
    request
}

async fn status<S, ResB>(service: S) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<ResB>>,
    S::Error: std::fmt::Debug,
{
    service.oneshot(request()).await.unwrap().status()
}

#[tokio::test]
async fn policies_are_layers_by_value_and_by_reference() {
    let limit = limit();
    let by_reference = ServiceBuilder::new().layer(&limit).service(service_fn(hello));
    let by_value = ServiceBuilder::new().layer(limit).service(service_fn(hello));

    assert_eq!(status(by_reference).await, StatusCode::OK);
    assert_eq!(status(by_value).await, StatusCode::TOO_MANY_REQUESTS, "they share the counts");
}

#[tokio::test]
async fn policies_are_layers_of_axum_routers() {
    use axum::{Router, routing::get};

    let app: Router = Router::new().route("/", get(|| async { "hello" }).layer(jwt()));
    let response = app.layer(cors()).oneshot(Request::new(axum::body::Body::empty())).await;
    assert_eq!(response.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_policy_is_a_layer() -> Result<(), ConfigError> {
    macro_rules! layers {
        ($($policy:expr),+ $(,)?) => {$({
            let policy = $policy;
            let _ = Layer::layer(&&policy, service_fn(hello::<Body>));
            let _ = Layer::layer(&policy, service_fn(hello::<Body>));
        })+};
    }
    let keys = || ApiKeys::builder("acme", InMemoryApiKeys::from_iter([])).build();
    layers!(
        AllowNetworks::new(["192.0.2.0/24"])?,
        DenyNetworks::new(["192.0.2.0/24"])?,
        DiscardUnread::none(),
        PeerAddr(SocketAddr::from(([192, 0, 2, 1], 4000))),
        TrustedProxies::networks(["10.0.0.0/8"]).build()?,
        any_of(jwt(), keys()?),
        when(|_| true, jwt()),
        unless(|_| true, jwt()),
        shadow(jwt()),
        jwt().optional(),
        jwt().login_redirect("/login")?,
        jwt().revoked(|_| false),
        jwt().map_claims(|_| 7),
        keys()?,
        CsrfCheck::builder().build()?,
        RequireRole::from(["admin"]),
        palisade::auth::rules::role("admin").authorize(),
        HeadLimits::new(),
        cors(),
        CacheControl::no_store().build()?,
        Methods::allow([http::Method::GET]).build()?,
        SecurityHeaders::api().build()?,
        RequestIds::new(),
        Observe::new(),
        limit(),
        ConcurrencyLimit::overall(7).build()?,
    );
    Ok(())
}

#[tokio::test]
#[allow(clippy::needless_borrows_for_generic_args)] // references are what it tests
async fn steps_take_values_and_references() -> Result<(), ConfigError> {
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
    let (ids, errors, cors, limit, auth) =
        (RequestIds::new(), ErrorLayer::new(), cors(), limit(), jwt());
    let headers = SecurityHeaders::api().build()?;
    let (deadline, body_limit) = (Deadline::new(Duration::from_secs(10)), BodyLimit::new(1024));

    let by_reference = stack()
        .client_ip(&proxies)
        .observe(&ids)
        .errors(&errors)
        .security_headers(&headers)
        .cors(&cors)
        .rate_limit(&limit)
        .auth(&auth)
        .role(&RequireRole::any(["admin"]))
        .policy(&HeadLimits::new())
        .timeout(&deadline)
        .body_limit(&body_limit)
        .wrap(service_fn(hello));
    let by_value = stack()
        .client_ip(proxies)
        .observe(ids)
        .errors(errors)
        .security_headers(headers)
        .cors(cors)
        .rate_limit(limit)
        .auth(auth)
        .role(RequireRole::any(["admin"]))
        .policy(HeadLimits::new())
        .timeout(deadline)
        .body_limit(body_limit)
        .wrap(service_fn(hello));

    assert_eq!(status(by_reference).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(by_value).await, StatusCode::TOO_MANY_REQUESTS, "they share the counts");
    Ok(())
}

#[tokio::test]
async fn boxed_stacks_give_one_type() {
    let mut services: Vec<BoxedService<Body>> = vec![
        stack().errors(ErrorLayer::new()).cors(cors()).boxed().wrap(service_fn(hello)),
        stack().errors(ErrorLayer::new()).auth(jwt()).boxed().wrap(service_fn(hello)),
    ];
    assert_eq!(status(services.pop().unwrap()).await, StatusCode::UNAUTHORIZED);

    let response = services.pop().unwrap().oneshot(request()).await.unwrap();
    assert!(response.headers().contains_key(header::VARY), "cors has seen it");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "hello");
}
