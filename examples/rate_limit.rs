//! Rate limits: by address and by user, tiers, several quotas at once, failed logins, and a number of open streams. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example rate_limit
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example rate_limit
//! ```

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{Sse, sse::Event},
    routing::{get, post},
};
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{Identity, Jwt, testing},
    observe::RequestIds,
    rate_limit::{ByAddress, ByMethod, ConcurrencyLimit, Quota, QuotaHeaders, RateLimit},
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The claims of a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(Json(login): Json<Login>) -> Result<&'static str, ApiError> {
    // Compare hashes of passwords in your service.
    if login.user == "ada" && login.password == "correct horse battery staple" {
        Ok("welcome\n")
    } else {
        Err(ApiError::unauthenticated().with_message("wrong name or password"))
    }
}

async fn whoami(user: Identity<Claims>) -> String {
    format!("{}\n", user.claims().sub)
}

/// Five events a second, until the client disconnects.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = tokio_stream::iter(1..).throttle(SECOND / 5);
    Sse::new(numbers.map(|number: u32| Ok(Event::default().data(format!("tick {number}")))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // A new secret at each start: the tokens below are valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let auth = Jwt::<Claims>::hs256(secret.as_str()).audience("rate_limit").build()?;

    // By address, before everything else, so that it also protects authentication.
    let everything =
        RateLimit::per_address(Quota::per(100, 10 * SECOND).named("address")).build()?;

    // Several quotas: a request is charged to all of them or to none. An export costs as much as five searches.
    let search = RateLimit::per_address([
        Quota::per(5, 10 * SECOND).named("burst"),
        Quota::per(1000, HOUR).named("hourly"),
    ])
    .cost(|head| if head.uri.path() == "/export" { 5 } else { 1 })
    .build()?;

    // By user, after authentication, with a larger quota for a role.
    let free = Quota::per(3, MINUTE).named("free");
    let pro = Quota::per(6, MINUTE).named("pro");
    let tiers = RateLimit::per_principal(free.clone())
        .quota(move |user, _| match user {
            Some(user) if user.has_role("pro") => pro.clone(),
            _ => free.clone(),
        })
        .build()?;

    // Wrong passwords only, with an exact log: never more than three in any 15 minutes.
    let guesses = RateLimit::per_address(Quota::per(3, 15 * MINUTE).exact_log().named("login"))
        .only_failures()
        .build()?;

    // Two streams at a time; a slot is released when its stream ends.
    let streams = ConcurrencyLimit::per_key(ByAddress::default(), 2).build()?;

    // An even flow: one request every two seconds, and two at once after a pause. Reads do not count. The response headers are
    // those of Envoy and Kong.
    let notes = RateLimit::per_key(
        (ByAddress::default(), ByMethod),
        Quota::per(30, MINUTE).gcra_with_burst(2).named("notes"),
    )
    .headers(QuotaHeaders::XRateLimit)
    .build()?;

    let app = Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route("/search", get(|| async { "found nothing\n" }).layer(search.layer()))
        .route("/export", get(|| async { "a,b,c\n" }).layer(search.layer()))
        .route("/whoami", get(whoami).layer(tiers.layer()).with_auth(&auth))
        .route("/login", post(login).layer(guesses.layer()))
        .route("/events", get(events).layer(streams.layer()))
        .route(
            "/notes",
            get(|| async { "none yet\n" })
                .post(|| async { StatusCode::CREATED })
                .layer(notes.layer()),
        )
        .fallback(|| async { ApiError::not_found() })
        .layer(
            stack().observe(RequestIds::new()).errors(ErrorLayer::new()).rate_limit(&everything),
        );

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3006".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, |name, roles| {
        let exp = (SystemClock.unix() + HOUR).as_secs();
        let roles = roles.iter().map(ToString::to_string).collect();
        let aud = "rate_limit".to_owned();
        testing::sign_hs256(secret.as_str(), &Claims { sub: name.to_owned(), aud, exp, roles })
    });
    // Gives the policies the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, token: impl Fn(&str, &[&str]) -> String) {
    let (free, pro) = (token("ada", &[]), token("grace", &["pro"]));
    println!(
        r#"listening on http://{address}

free token: {free}
pro token:  {pro}

By address: what every answer says, and the hundred and first in ten seconds
  curl -i http://{address}/
  for i in $(seq 102); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/; done; echo

Several quotas at once: five in ten seconds, a thousand an hour, and an export costs five
  for i in $(seq 6); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/search; done; echo
  curl -i http://{address}/search
  curl -i http://{address}/export

Tiers: three a minute for ada, six for grace
  for i in $(seq 7); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/whoami -H 'Authorization: Bearer {free}'; done; echo
  for i in $(seq 7); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/whoami -H 'Authorization: Bearer {pro}'; done; echo

Logins: the right password is not counted, and the fourth wrong one is not looked at
  curl -i http://{address}/login -H 'Content-Type: application/json' -d '{{"user":"ada","password":"correct horse battery staple"}}'
  for i in $(seq 4); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/login -H 'Content-Type: application/json' -d '{{"user":"ada","password":"guess"}}'; done; echo

Streams: two at a time, as long as they last
  for i in 1 2; do curl -s -o /dev/null --max-time 5 http://{address}/events & done; sleep 1; curl -i --max-time 1 http://{address}/events; wait; curl -i --max-time 2 http://{address}/events

An even flow, where reading and writing are counted apart
  for i in 1 2 3; do curl -i http://{address}/notes; done
  curl -i -X POST http://{address}/notes
"#
    );
}
