//! Requests with an `Idempotency-Key`, on claims in memory.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body as AxumBody, routing};
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use palisade::{
    Principal,
    idempotency::{Idempotency, InMemoryClaims},
};
use palisade_bench::{AnyBody, Comparison, Subject};
use ruts::{
    CookieOptions, Session, SessionLayer,
    store::{Ttl, moka::MokaStore},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_cookies::CookieManagerLayer;

use crate::{BARE, cache::KILOBYTE};

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(KILOBYTE)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn created<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(answer(StatusCode::CREATED))
}

async fn failed<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(answer(StatusCode::INTERNAL_SERVER_ERROR))
}

const PAYMENT: &[u8] = br#"{"amount":1000,"currency":"EUR","to":"DE02120300000000202051"}"#;

fn post() -> http::request::Builder {
    let request = Request::post("http://api.example/payments");
    request.header("content-type", "application/json").header("idempotency-key", "order-1")
}

/// The peer stores responses in a session, so its request has one.
fn peer() -> (Router, HeaderValue) {
    let options = IdempotentOptions::default()
        .use_idempotency_key_header(Some("idempotency-key"), true)
        .expire_after(3600);
    let login = async |session: Session<MokaStore>| {
        session.set("user", &"ada", Ttl::new(3600).unwrap(), None).await.unwrap();
    };
    let payments = routing::post(async || answer(StatusCode::CREATED).map(AxumBody::new));
    let app = Router::new()
        .route("/payments", payments)
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .route("/login", routing::post(login))
        .layer(
            SessionLayer::new(Arc::new(MokaStore::builder().build()))
                .with_cookie_options(CookieOptions::build().name("session").max_age(3600)),
        )
        .layer(CookieManagerLayer::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let request = Request::post("/login").body(AxumBody::empty()).unwrap();
    let response = runtime.block_on(app.clone().oneshot(request)).unwrap();
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap();
    (app, HeaderValue::from_str(cookie).unwrap())
}

/// A retry that gets the stored response, and an attempt that is processed.
pub fn compare() -> Comparison {
    let layer = || Idempotency::new(InMemoryClaims::new(1_000).unwrap()).build().unwrap();
    let caller = Principal::new("ada");
    let own = move || {
        let request = post().extension(caller.clone());
        request.body(Full::new(Bytes::from_static(PAYMENT))).unwrap()
    };
    let bare = || AnyBody::new(service_fn(created));
    let (app, cookie) = peer();
    let request_of_peer = move || {
        let request = post().header(header::COOKIE, cookie.clone());
        request.body(AxumBody::from(Bytes::from_static(PAYMENT))).unwrap()
    };
    Comparison::new("idempotency")
        .set(
            "retry of a stored response of 1 KB",
            [
                Subject::service(BARE, bare(), own.clone()),
                Subject::service("Palisade", layer().layer(bare()), own.clone()),
                Subject::service("axum-idempotent, in a session", app, request_of_peer),
            ],
        )
        .set(
            "attempt that fails with 500, and may be repeated",
            [
                Subject::service(BARE, AnyBody::new(service_fn(failed)), own.clone()),
                Subject::service("Palisade", layer().layer(AnyBody::new(service_fn(failed))), own),
            ],
        )
}
