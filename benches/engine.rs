//! The engine alone, and the full stack of the quickstart: `cargo bench --bench engine`.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, header, request, response};
use http_body_util::Full;
use palisade::{
    ClientIp, Decision, ErrorLayer, PeerAddr, Policy, PolicyLayer, TrustedProxies, WithAuth,
    auth::{Jwt, testing::sign_hs256},
    body::BodyLimit,
    cors::Cors,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use palisade_benches::{Counting, asking, compare, doing};
use serde::{Deserialize, Serialize};
use tower::{Layer, ServiceBuilder, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let names = [
        header::COOKIE,
        header::RANGE,
        header::REFERER,
        header::TE,
        header::UPGRADE,
        header::VIA,
        header::WARNING,
        header::FROM,
    ];
    Reads(names[which].clone())
}

async fn service<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

fn main() {
    engine();
    client_addresses();
    full_stack();
}

fn engine() {
    let get = || Request::get("/").header("accept", "*/*").body(Full::<Bytes>::default()).unwrap();
    let bare = service_fn(service::<Full<Bytes>>);
    let chain = reads(0)
        .then(reads(1))
        .then(reads(2))
        .then(reads(3))
        .then(reads(4))
        .then(reads(5))
        .then(reads(6))
        .then(reads(7));
    let nested = ServiceBuilder::new()
        .layer(PolicyLayer::new(reads(0)))
        .layer(PolicyLayer::new(reads(1)))
        .layer(PolicyLayer::new(reads(2)))
        .layer(PolicyLayer::new(reads(3)))
        .layer(PolicyLayer::new(reads(4)))
        .layer(PolicyLayer::new(reads(5)))
        .layer(PolicyLayer::new(reads(6)))
        .layer(PolicyLayer::new(reads(7)));
    compare(
        "Engine",
        &mut [
            asking("bare service", bare, get, is_ok),
            asking("one policy", PolicyLayer::new(reads(0)).layer(bare), get, is_ok),
            asking("a chain of eight", PolicyLayer::new(chain).layer(bare), get, is_ok),
            asking("eight nested layers", nested.service(bare), get, is_ok),
            asking("errors alone", ErrorLayer::new().layer(bare), get, is_ok),
        ],
    );
}

fn is_ok<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
}

fn client_addresses() {
    let from_proxy = || {
        let mut request = Request::get("/")
            .header("x-forwarded-for", "192.0.2.66, 203.0.113.7, 10.0.0.2")
            .header("forwarded", "for=192.0.2.66, for=\"[2001:db8::7]:4711\", for=10.0.0.2")
            .header("x-real-ip", "203.0.113.7")
            .body(Full::<Bytes>::default())
            .unwrap();
        request.extensions_mut().insert(PeerAddr(([10, 0, 0, 1], 4000).into()));
        request
    };
    let (head, _) = from_proxy().into_parts();
    let networks = TrustedProxies::private_networks().build().unwrap();
    let forwarded = TrustedProxies::private_networks().forwarded().build().unwrap();
    let hops = TrustedProxies::hops(2).build().unwrap();
    let header = TrustedProxies::header("x-real-ip").private_networks().build().unwrap();
    let bare = service_fn(service::<Full<Bytes>>);
    compare(
        "Client addresses, found",
        &mut [
            doing("the peer", || ClientIp::of(&head.extensions)),
            doing("by network", || networks.decide(&head)),
            doing("by network, Forwarded", || forwarded.decide(&head)),
            doing("by hop count", || hops.decide(&head)),
            doing("by one header", || header.decide(&head)),
        ],
    );
    compare(
        "Client addresses, left on the request",
        &mut [
            asking("bare service", bare, from_proxy, is_ok),
            asking("by network", networks.layer().layer(bare), from_proxy, is_ok),
        ],
    );
}

fn full_stack() {
    let secret = "a signing key of at least thirty-two bytes";
    let claims = Claims {
        sub: "ada".into(),
        aud: "quickstart".into(),
        exp: u64::MAX / 2,
        roles: vec!["user".into(), "admin".into()],
    };
    let bearer = format!("Bearer {}", sign_hs256(secret, &claims));
    let get = || {
        let mut request = Request::get("/items/7")
            .header("accept", "*/*")
            .header("origin", "https://app.example.com")
            .header("authorization", &bearer)
            .body(Full::<Bytes>::default())
            .unwrap();
        request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
        request
    };

    let auth = Jwt::<Claims>::hs256(secret).audience("quickstart").build().unwrap();
    let cors = Cors::builder()
        .allow_origin("https://app.example.com")
        .allow_headers(["authorization", "content-type"])
        .allow_credentials(true)
        .build()
        .unwrap();
    let limit =
        RateLimit::per_address(Quota::per(u32::MAX, Duration::from_secs(10))).build().unwrap();

    let without_auth = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .cors(&cors)
        .rate_limit(&limit)
        .body_limit(BodyLimit::new(1024 * 1024));
    let full = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .cors(&cors)
        .rate_limit(&limit)
        .auth(&auth)
        .role(["admin"])
        .body_limit(BodyLimit::new(1024 * 1024));
    let guarded = ServiceBuilder::new().with_role(&auth, ["admin"]);
    let refused = ServiceBuilder::new().with_role(&auth, ["nobody"]);
    let bare = service_fn(service::<Full<Bytes>>);
    let limited = service_fn(service::<palisade::body::LimitedBody<Full<Bytes>>>);
    compare(
        "Full stack",
        &mut [
            asking("bare service", bare, get, is_ok),
            asking("request id", RequestIds::new().layer().layer(bare), get, is_ok),
            asking("cors", cors.layer().layer(bare), get, is_ok),
            asking("rate limit", limit.layer().layer(bare), get, is_ok),
            asking("auth and role", guarded.service(bare), get, is_ok),
            asking("all but auth and role", without_auth.wrap(limited), get, is_ok),
            asking("all", full.wrap(limited), get, is_ok),
            asking("refused by role", refused.service(bare), get, |response| {
                response.status() == StatusCode::FORBIDDEN
            }),
        ],
    );
}
