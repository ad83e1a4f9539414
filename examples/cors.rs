//! A page and an API on two ports: two origins for a browser. Run it, and open the address that it prints:
//!
//! ```sh
//! cargo run --example cors
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example cors
//! PALISADE_ORIGINS=http://127.0.0.1:5173 cargo run --example cors
//! ```

use std::{env, future::ready, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::Path,
    http::{Method, StatusCode, header},
    response::{Html, IntoResponse},
    routing::{get, post, put},
};
use palisade::{
    ApiError, BoxError, BoxFuture, ErrorLayer, Principal, WithAuth,
    auth::{CsrfCheck, Identity, SessionStore, Sessions},
    body::BodyLimit,
    cors::Cors,
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

// ---- The API. ------------------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Order {
    id: u64,
    item: String,
}

async fn orders() -> impl IntoResponse {
    let orders = [Order { id: 7, item: "tea".into() }];
    // Pages can read exposed headers only; this one is not exposed.
    ([("x-not-exposed", "for programs only")], Json(orders))
}

async fn change(Path(id): Path<u64>, Json(order): Json<Order>) -> Json<Order> {
    Json(Order { id, item: order.item })
}

async fn me(user: Identity<String>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "private, no-store")], format!("{}\n", user.claims()))
}

async fn fail() -> Result<(), ApiError> {
    Err(ApiError::internal().with_source("the database is down"))
}

/// Gives every client the same session. Other examples show a login.
#[derive(Clone)]
struct Visitor {
    token: String,
}

impl Visitor {
    /// Plain http on loopback has no `Secure` cookies. Behind TLS, and for pages of another site, use `__Host-session` with
    /// `; Secure; SameSite=None`.
    fn cookie(&self) -> String {
        format!("session={}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax", self.token)
    }
}

impl SessionStore for Visitor {
    type Claims = String;

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<String>>, BoxError>> {
        let visitor = (token == self.token)
            .then(|| Identity::new("visitor".to_owned(), Principal::new("visitor")));
        Box::pin(ready(Ok(visitor)))
    }
}

// ---- The CORS policy and the servers. -------------------------------------------------------------------------------

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3007".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let pages = TcpListener::bind("127.0.0.1:0").await?;
    let (api, page) = (listener.local_addr()?, pages.local_addr()?);

    // The page's origin, and further origins from the environment, separated by commas. A mistake in them ends the program
    // here, with the remedy.
    let others = env::var("PALISADE_ORIGINS").unwrap_or_default();
    let others: Vec<_> = others.split(',').filter(|origin| !origin.is_empty()).collect();
    let cors = Cors::allow_origins([format!("http://{page}")])
        .allow_origins(&others)
        .allow_methods([Method::PUT])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allow_credentials(true)
        .max_age(Duration::from_secs(600))
        // in development: the browser's console and network panel show what is not listed
        .debug(cfg!(debug_assertions))
        .build()?;

    let visitor = Visitor { token: Uuid::new_v4().simple().to_string() };
    let cookie = visitor.cookie();
    // Cookies enable the CSRF check, which trusts the same pages.
    let own = CsrfCheck::builder().trust_origin(format!("http://{page}"));
    let csrf = others.iter().fold(own, |csrf, origin| csrf.trust_origin(*origin)).build()?;
    let sessions = Sessions::builder(visitor).cookie("session").csrf(csrf.clone()).build()?;
    let limit = RateLimit::per_address(Quota::per(3, Duration::from_secs(60))).build()?;

    let app = Router::new()
        .route("/orders", get(orders).post(|order: Json<Order>| async move { order }))
        .route("/orders/{id}", put(change).delete(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/session",
            post(move || ready([(header::SET_COOKIE, cookie.clone())])).guarded_by(csrf),
        )
        .route("/me", get(me).with_auth(&sessions))
        .route("/limited", get(|| async { "one of three a minute\n" }).guarded_by(limit))
        .route("/fail", get(fail))
        .layer(
            stack()
                .observe(RequestIds::new())
                .errors(ErrorLayer::new())
                .cors(&cors)
                .body_limit(BodyLimit::new(1024)),
        );

    print_what_to_try(api, page);
    let document = PAGE.replace("{api}", &format!("http://{api}"));
    let site = Router::new().route("/", get(move || ready(Html(document.clone()))));
    // Gives the policies the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => ended?,
        ended = axum::serve(pages, site).into_future() => ended?,
    }
    Ok(())
}

const PAGE: &str = r##"<!doctype html>
<meta charset="utf-8">
<title>CORS</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  td { padding: .2rem 1rem .2rem 0; vertical-align: top } td:last-child { font-family: monospace }
</style>
<h1>This page is <code id="origin"></code>, and calls <code>{api}</code></h1>
<table></table>
<p>Open the network panel and reload: a call with a preflight is two requests. Open this page as
<a id="other"></a> instead: the same server under a name that is not listed. The console then says which call failed and
why, and each refused answer has the reason in <code>X-Cors-Refused</code>.</p>
<script>
  const json = { "content-type": "application/json" };
  const put = { method: "PUT", headers: json, body: JSON.stringify({ id: 7, item: "coffee" }) };
  const cookies = { credentials: "include" };
  const calls = [
    ["a simple request", "/orders"],
    ["a preflight, then the request", "/orders/7", put],
    ["the preflight is remembered", "/orders/7", put],
    ["a method that is not listed", "/orders/7", { method: "DELETE" }],
    ["a header that is not listed", "/orders", { headers: { "x-other": "1" } }],
    ["401: who am I?", "/me"],
    ["a cookie is set", "/session", { method: "POST", ...cookies }],
    ["the cookie comes along", "/me", cookies],
    ["413: too much", "/orders", { method: "POST", headers: json, body: "x".repeat(2000) }],
    ["429 after three", "/limited"], ["", "/limited"], ["", "/limited"], ["", "/limited"],
    ["500", "/fail"],
  ];
  const show = (...cells) => {
    const row = document.querySelector("table").insertRow();
    for (const cell of cells) row.insertCell().textContent = cell;
  };
  const other = location.origin.replace(/127\.0\.0\.1|localhost/, name => name === "localhost" ? "127.0.0.1" : "localhost");
  document.querySelector("#origin").textContent = location.origin;
  Object.assign(document.querySelector("#other"), { href: other, textContent: other });
  (async () => {
    for (const [what, path, options] of calls) {
      const call = `${options?.method ?? "GET"} ${path}`;
      try {
        const answer = await fetch("{api}" + path, options);
        const wait = answer.headers.get("retry-after");
        show(what, call, `${answer.status} ${(await answer.text()).slice(0, 120)}${wait ? ` retry after ${wait} s` : ""}`);
      } catch (error) {
        show(what, call, `${error}: the page may not know more`);
      }
    }
    document.body.dataset.done = "true";
  })();
</script>
"##;

fn print_what_to_try(api: SocketAddr, page: SocketAddr) {
    println!(
        r"listening on http://{api}
page: http://{page}

Open the page, which may read the API; and the same page under a name that may not
  http://{page}
  http://localhost:{port}

The same by hand: a request from the page's origin, and from another
  curl -i http://{api}/orders -H 'Origin: http://{page}'
  curl -i http://{api}/orders -H 'Origin: https://evil.example'

Preflights: what the page may, a method that is not listed, a header that is not, and an origin that is not
  curl -i -X OPTIONS http://{api}/orders/7 -H 'Origin: http://{page}' -H 'Access-Control-Request-Method: PUT' -H 'Access-Control-Request-Headers: content-type'
  curl -i -X OPTIONS http://{api}/orders/7 -H 'Origin: http://{page}' -H 'Access-Control-Request-Method: DELETE'
  curl -i -X OPTIONS http://{api}/orders/7 -H 'Origin: http://{page}' -H 'Access-Control-Request-Method: PUT' -H 'Access-Control-Request-Headers: x-other'
  curl -i -X OPTIONS http://{api}/orders/7 -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: PUT'

An OPTIONS that asks for no method is the router's to answer
  curl -i -X OPTIONS http://{api}/orders/7

Errors that the page can read
  curl -i http://{api}/me -H 'Origin: http://{page}'
  curl -i http://{api}/fail -H 'Origin: http://{page}'
  head -c 2000 /dev/zero | curl -i http://{api}/orders -H 'Origin: http://{page}' -H 'Content-Type: application/json' --data-binary @-
  for i in $(seq 4); do curl -s -o /dev/null -w '%{{http_code}} ' http://{api}/limited; done; echo
",
        port = page.port()
    );
}
