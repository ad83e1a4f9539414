//! Cached responses: renewed in the background, purged by tag when they change, kept for one caller only, and changes that require
//! the current version.
//!
//! ```sh
//! cargo run --example cached_api
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example cached_api
//! ```

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use palisade::{
    ApiError, ErrorLayer, Principal, WithAuth,
    auth::{ApiKey, ApiKeys, InMemoryApiKeys},
    cache::{
        Cache, CacheStore, CacheTags, EntityTag, Preconditions, Purge, RequirePrecondition,
        Validators,
    },
    observe::RequestIds,
    stack,
};
use serde::Serialize;
use tokio::net::TcpListener;

#[derive(Clone)]
struct Blog {
    title: Arc<Mutex<String>>,
    /// How often a handler was asked for something: a cache keeps it low.
    reads: Arc<AtomicU32>,
    purge: Purge,
}

#[derive(Serialize)]
struct Post {
    title: String,
    reads: u32,
}

impl Blog {
    fn read(&self) -> Post {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        Post { title: self.title(), reads }
    }

    fn title(&self) -> String {
        self.title.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The tag says what the response is made of, for `Purge::tag`.
async fn posts(State(blog): State<Blog>) -> impl IntoResponse {
    (Extension(CacheTags::new(["posts"])), Json([blog.read()]))
}

async fn one_post(State(blog): State<Blog>) -> impl IntoResponse {
    let etag = EntityTag::of_bytes(blog.title().as_bytes());
    let fields = [
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=10")),
        (header::ETAG, etag.to_header()),
    ];
    (fields, Extension(CacheTags::new(["posts"])), Json(blog.read()))
}

/// `RequirePrecondition` has checked that there is a condition; this checks that it is true.
async fn change_post(
    State(blog): State<Blog>,
    conditions: Preconditions,
    title: String,
) -> Result<StatusCode, ApiError> {
    {
        let mut current = blog.title.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.check(&Validators::etag(EntityTag::of_bytes(current.as_bytes())))?;
        *current = title;
    }
    blog.purge.tag("posts").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The response of each caller, kept for that caller.
async fn me(State(blog): State<Blog>, caller: Principal) -> impl IntoResponse {
    let fields = [(header::CACHE_CONTROL, "private, max-age=60")];
    (fields, format!("{} was here, read {}\n", caller.subject(), blog.read().reads))
}

async fn purge_tag(
    State(blog): State<Blog>,
    Path(tag): Path<String>,
) -> Result<StatusCode, ApiError> {
    blog.purge.tag(&tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // New keys at each start. Use keys from a database, or tokens, in your service.
    let keys = InMemoryApiKeys::new();
    let auth = ApiKeys::builder("acme", keys.clone()).build()?;
    let ada = ApiKey::generate("acme", Principal::new("ada").with_roles(["editor"]))?;
    let grace = ApiKey::generate("acme", Principal::new("grace"))?;
    keys.insert(ada.record().clone());
    keys.insert(grace.record().clone());

    // One store of 16 MiB for all caches, so that one handle purges all of them.
    let store = CacheStore::memory(16 * 1024 * 1024)?;
    let hourly = Cache::revalidate(Duration::from_secs(3600)).store(&store).build()?;
    let honour = Cache::honour().store(&store).build()?;
    let conditional = stack().policy(RequirePrecondition::new()).cache(&honour);
    let private = Cache::honour().per_principal().store(&store).build()?;

    let blog = Blog {
        title: Arc::new(Mutex::new("Hello".to_owned())),
        reads: Arc::default(),
        purge: store.purge(),
    };
    let app = Router::new()
        .route("/posts", get(posts).layer(hourly))
        .route("/posts/1", get(one_post).put(change_post).layer(conditional))
        // Authentication is outside of the cache: a hit is served to an authenticated caller only.
        .route("/me", get(me).layer(private).with_auth(&auth))
        .route("/admin/purge/{tag}", post(purge_tag).with_role(&auth, ["editor"]))
        .with_state(blog)
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3023".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, ada.plaintext(), grace.plaintext());
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, ada: &str, grace: &str) {
    println!(
        r#"listening on http://{address}

ada key: {ada}
grace key: {grace}

The second response is a hit: see Cache-Status, Age, and the number of reads
  curl -i http://{address}/posts
  curl -i http://{address}/posts

A client that has the response gets 304
  curl -i http://{address}/posts/1
  curl -i http://{address}/posts/1 -H 'If-None-Match: "GF-NsyJx_iX1Yab8k4suJg"'

A change requires the version that it changes (428), and the current one (412); it purges the tag
  curl -i -X PUT http://{address}/posts/1 -d 'New'
  curl -i -X PUT http://{address}/posts/1 -d 'New' -H 'If-Match: "old"'

Each caller has an entry
  curl -i http://{address}/me -H 'X-Api-Key: {ada}'
  curl -i http://{address}/me -H 'X-Api-Key: {grace}'

An editor purges
  curl -i -X POST http://{address}/admin/purge/posts -H 'X-Api-Key: {ada}'
"#
    );
}
