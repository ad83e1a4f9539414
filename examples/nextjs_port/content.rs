//! Caches, streams, limits of routes, and answers that are not JSON.

use std::{
    convert::Infallible,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Sse, sse::Event},
    routing::{get, post},
};
use palisade::{
    ApiError, ConfigError, Envelope, TrustedProxies, WithAuth,
    auth::Jwt,
    body::{ByteSize, Deadline, ResponseLimit},
    cache::{Cache, CacheTags, Purge},
    headers::{CacheControl, Country, Geo},
};
use tokio_stream::{Stream, StreamExt};

use crate::users::Claims;

/// How often the handler ran.
#[derive(Clone)]
pub(crate) struct Posts {
    reads: Arc<AtomicU32>,
    purge: Purge,
}

/// `export const revalidate = 60`, with `{ next: { tags: ["posts"] } }`
async fn posts(State(posts): State<Posts>) -> impl IntoResponse {
    let reads = posts.reads.fetch_add(1, Ordering::Relaxed) + 1;
    (Extension(CacheTags::new(["posts"])), Envelope::new(reads))
}

/// `revalidateTag(tag)`
async fn revalidate(
    State(posts): State<Posts>,
    Path(tag): Path<String>,
) -> Result<StatusCode, ApiError> {
    posts.purge.tag(&tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `new ReadableStream({ … })`
async fn stream() -> impl IntoResponse {
    let lines = (1..=3).map(|line| Ok::<_, Infallible>(format!("{{\"line\":{line}}}\n")));
    let body = Body::from_stream(tokio_stream::iter(lines));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body)
}

/// `Content-Type: text/event-stream`
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = tokio_stream::iter(1..=3);
    Sse::new(numbers.map(|number| Ok(Event::default().data(format!("tick {number}")))))
}

/// A handler that takes too long.
async fn slow() {
    std::future::pending::<()>().await;
}

/// A response that became larger than expected.
async fn export() -> String {
    "a row\n".repeat(1000)
}

async fn prices() -> Envelope<[u32; 2]> {
    Envelope::new([25, 80])
}

async fn offers(Extension(country): Extension<Country>) -> String {
    format!("offers for {country}\n")
}

async fn feed() -> impl IntoResponse {
    let mut items = String::new();
    for title in ["Lamps & chairs", "1 < 2"] {
        let _ = write!(items, "<item><title>{}</title></item>", escaped(title));
    }
    let feed = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>Shop</title>{items}</channel></rss>"#
    );
    ([(header::CONTENT_TYPE, "application/rss+xml; charset=utf-8")], feed)
}

/// Text between tags of XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(crate) fn routes(auth: &Jwt<Claims>, proxies: &TrustedProxies) -> Result<Router, ConfigError> {
    let minute = Duration::from_secs(60);
    let posts_cache = Cache::revalidate(minute).build()?;
    let purge = posts_cache.purge();
    // `Cache-Control: public, s-maxage=60, stale-while-revalidate=600`, for the CDN
    let shared =
        CacheControl::public().s_maxage(minute).stale_while_revalidate(10 * minute).build()?;
    // `request.headers.get("x-vercel-ip-country")`, believed from the proxies only
    let geo = Geo::allow(["DE", "AT", "CH"]).by_header("x-vercel-ip-country", proxies).build()?;
    Ok(Router::new()
        .route("/api/posts", get(posts).layer(posts_cache))
        .route("/api/revalidate/{tag}", post(revalidate).with_role(auth, ["admin"]))
        .route("/api/prices", get(prices).layer(shared.layer()))
        .route("/api/stream", get(stream))
        .route("/api/events", get(events))
        // `export const maxDuration = 1`
        .route("/api/slow", get(slow).layer(Deadline::new(Duration::from_secs(1))))
        // `responseLimit: "4kb"`
        .route("/api/export", get(export).layer(ResponseLimit::new(ByteSize::kb(4))))
        .route("/api/offers", get(offers).layer(geo.layer()))
        .route("/feed.xml", get(feed))
        .with_state(Posts { reads: Arc::default(), purge }))
}
