//! Two instances of one service that share a limit in Redis, also during an outage of Redis:
//!
//! ```sh
//! redis-server --port 6379 --save '' &
//! cargo run --example rate_limit_redis
//! REDIS_URL=redis://127.0.0.1:6380 PALISADE_ADDR=127.0.0.1:8080 cargo run --example rate_limit_redis
//! ```
//!
//! The program starts itself twice, as two processes. They end with it.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, http::HeaderName, routing::get};
use palisade::{
    BoxError, ErrorLayer,
    observe::RequestIds,
    rate_limit::{ByHeader, Quota, RateLimit, SharedStore},
    rate_limit_redis::RedisStore,
    redis::Redis,
    stack,
};
use tokio::net::TcpListener;

/// The number of an instance, set for its process.
const INSTANCE: &str = "RATE_LIMIT_REDIS_INSTANCE";

fn main() -> Result<(), BoxError> {
    match env::var(INSTANCE) {
        Ok(number) => serve(&number),
        Err(_) => start_two_instances(),
    }
}

// ---- An instance. -------------------------------------------------------------------------------------------------

fn router(redis: &str) -> Result<Router, BoxError> {
    // One connection serves all limits.
    let store = Arc::new(RedisStore::new(Redis::builder(redis).build()?));

    // A request is charged to both quotas or to none. During an outage each instance allows half.
    let clients = RateLimit::per_address([
        Quota::per(10, Duration::from_secs(1)).named("burst"),
        Quota::per(20, Duration::from_secs(60)).named("steady"),
    ])
    .name("clients")
    .store(SharedStore::new(Arc::clone(&store)).fallback_local(0.5))
    .build()?;

    // Availability first: during an outage all requests are allowed.
    let news = RateLimit::per_address(Quota::per(5, Duration::from_secs(60)))
        .name("news")
        .store(SharedStore::new(Arc::clone(&store)).fail_open())
        .build()?;

    // Protection first: during an outage all requests are rejected.
    let codes = RateLimit::per_address(Quota::per(3, Duration::from_secs(60)).exact_log())
        .name("codes")
        .store(SharedStore::new(Arc::clone(&store)).fail_closed())
        .build()?;

    // High rates, by a header that a gateway has verified: an instance leases 100 permits at a time, so Redis sees a hundredth of
    // the traffic.
    let caller = ByHeader::new(HeaderName::from_static("x-verified-caller"));
    let bulk = RateLimit::per_key(caller, Quota::per(1000, Duration::from_secs(60)))
        .name("bulk")
        .store(SharedStore::new(store).leased(100))
        .build()?;

    let limited =
        |limit| stack().observe(RequestIds::new()).errors(ErrorLayer::new()).rate_limit(limit);
    let by_caller = stack().observe(RequestIds::new()).errors(ErrorLayer::new()).rate_limit(&bulk);
    Ok(Router::new()
        .route("/bulk", get(async || "bulk\n").layer(by_caller))
        .route("/", get(async || "hello\n").layer(limited(&clients)))
        .route("/news", get(async || "news\n").layer(limited(&news)))
        .route("/codes", get(async || "a code\n").layer(limited(&codes))))
}

fn serve(number: &str) -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    // The standard input ends when the parent process ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let redis = redis_url();
        let app = router(&redis)?;
        let address = if number == "1" { address() } else { "127.0.0.1:0".to_owned() };
        let listener = TcpListener::bind(address).await?;
        println!("{}", listener.local_addr()?);
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        Ok(axum::serve(listener, service).await?)
    })
}

fn redis_url() -> String {
    env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned())
}

fn address() -> String {
    env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned())
}

// ---- The program that starts two of them. -------------------------------------------------------------------------

fn start_two_instances() -> Result<(), BoxError> {
    let (mut one, first) = start(1)?;
    let (mut two, second) = start(2)?;
    print_what_to_try(&first, &second);
    // `Child::wait` would close the input and end the instance, so these handles stay open.
    let _inputs = (one.stdin.take(), two.stdin.take());
    one.wait()?;
    two.wait()?;
    Ok(())
}

/// Starts an instance, and returns the address that it prints.
fn start(number: u32) -> Result<(Child, String), BoxError> {
    let mut instance = Command::new(env::current_exe()?)
        .env(INSTANCE, number.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = instance.stdout.take().ok_or("an instance has an output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    if address.is_empty() {
        return Err(format!("instance {number} did not start").into());
    }
    Ok((instance, address.trim_end().to_owned()))
}

fn print_what_to_try(first: &str, second: &str) {
    println!(
        r"listening on http://{first}
second instance: {second}
redis: {}

Twenty a minute for each client, at both instances together: the 429s begin with the twenty-first
  for i in $(seq 12); do for at in {first} {second}; do
    curl -s -o /dev/null -w '%{{http_code}} ' http://$at/; sleep 0.1; done; done; echo

Where one stands: the fields of both quotas
  curl -i http://{second}/

A thousand a minute for each caller, of which Redis hears every hundredth
  for i in $(seq 20); do curl -s -o /dev/null -w '%{{http_code}} ' -H 'X-Verified-Caller: me' http://{first}/bulk; done; echo

Without Redis: counted here, open, closed. Stop it, and ask again; the log says what happens
  redis-cli -u {} shutdown nosave
  for path in / /news /codes; do curl -s -o /dev/null -w '%{{http_code}} ' http://{first}$path; done; echo
",
        redis_url(),
        redis_url()
    );
}
