//! Responses from a cache in memory.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use http_cache::{CacheManager, HttpResponse};
use http_cache_semantics::CachePolicy;
use http_cache_tower_server::ServerCacheLayer;
use palisade::cache::Cache;
use palisade_bench::{AnyBody, Comparison, Subject};
use tower::{Layer, Service, service_fn};

use crate::BARE;

type Body = Full<Bytes>;

pub(crate) const KILOBYTE: &[u8] = &[b'x'; 1024];

/// A response as a handler makes it: 1 KB with a type, a tag, and what caches may do with it.
fn answer(cache_control: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(KILOBYTE)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    response
}

async fn cacheable<B>(_: Request<B>) -> Result<Response<Body>, Infallible> {
    Ok(answer("max-age=3600"))
}

async fn uncacheable<B>(_: Request<B>) -> Result<Response<Body>, Infallible> {
    Ok(answer("no-store"))
}

/// Answers the first request, and never another one: a renewal in the background does not end.
#[derive(Clone, Default)]
struct Once(Arc<AtomicBool>);

impl<B> Service<Request<B>> for Once {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let is_first = !self.0.swap(true, Ordering::Relaxed);
        Box::pin(async move {
            if is_first {
                Ok(answer("max-age=0, stale-while-revalidate=3600"))
            } else {
                pending().await
            }
        })
    }
}

/// A store for the peer, whose own stores are a disk and moka.
#[derive(Clone, Default)]
struct Map(Arc<Mutex<HashMap<String, (HttpResponse, CachePolicy)>>>);

impl CacheManager for Map {
    async fn get(&self, key: &str) -> http_cache::Result<Option<(HttpResponse, CachePolicy)>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn put(
        &self,
        key: String,
        response: HttpResponse,
        policy: CachePolicy,
    ) -> http_cache::Result<HttpResponse> {
        self.0.lock().unwrap().insert(key, (response.clone(), policy));
        Ok(response)
    }

    async fn delete(&self, key: &str) -> http_cache::Result<()> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
}

/// What a request costs that the cache answers, and one that it does not.
pub fn compare() -> Comparison {
    let get = || Request::get("http://api.example/posts").header("accept", "*/*");
    let plain = move || get().body(Body::default()).unwrap();
    let conditional = move || get().header("if-none-match", "\"1\"").body(Body::default()).unwrap();
    let renewing = move || get().header("cache-control", "no-cache").body(Body::default()).unwrap();
    let cache = || Cache::honour().build().unwrap();
    let (bare, bare_uncacheable) = (service_fn(cacheable::<Body>), service_fn(uncacheable::<Body>));
    let cached = || cache().layer(AnyBody::new(service_fn(cacheable)));
    let uncached = cache().layer(AnyBody::new(service_fn(uncacheable)));
    let peer = || ServerCacheLayer::new(Map::default());

    // The first request stores the response, and those after it find it stale.
    let stale = cache().layer(AnyBody::new(Once::default()));
    Comparison::new("cache")
        .set(
            "hit of 1 KB",
            [
                Subject::service(BARE, bare, plain),
                Subject::service("Palisade", cached(), plain),
                Subject::service("http-cache-tower-server", peer().layer(bare), plain),
            ],
        )
        .set(
            "the client has the response: 304",
            [
                Subject::service(BARE, bare, conditional),
                Subject::service("Palisade", cached(), conditional),
                Subject::service(
                    "http-cache-tower-server, sends all of it",
                    peer().layer(bare),
                    conditional,
                ),
            ],
        )
        .set(
            "stale response, while it is renewed",
            [Subject::service(BARE, bare, plain), Subject::service("Palisade", stale, plain)],
        )
        .set(
            "miss of 1 KB, which is stored",
            [
                Subject::service(BARE, bare, renewing),
                Subject::service(
                    "Palisade, a client that asks for a new response",
                    cached(),
                    renewing,
                ),
            ],
        )
        .set(
            "response that is not stored",
            [
                Subject::service(BARE, bare_uncacheable, plain),
                Subject::service("Palisade", uncached, plain),
                Subject::service("http-cache-tower-server", peer().layer(bare_uncacheable), plain),
            ],
        )
}
