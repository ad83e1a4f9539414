//! The patterns of Next.js route handlers, in one axum service: see `docs/guide/nextjs.md`, which shows both sides. Run it, and
//! paste the commands that it prints:
//!
//! ```sh
//! cargo run --example nextjs_port
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example nextjs_port
//! APP_ENV=production cargo run --example nextjs_port   # lists the variables that are missing
//! cargo test -p palisade-examples --example nextjs_port
//! ```

mod app;
mod config;
mod content;
mod errors;
mod forms;
mod items;
mod pages;
#[cfg(test)]
mod tests;
mod users;
mod webhooks;

use std::{env, net::SocketAddr, time::Duration};

use palisade::{Clock, SystemClock, auth::testing};
use tokio::net::TcpListener;

use crate::{app::app, config::Config, users::Claims};

/// Returns a token as your login would issue it: `roles` and `orgs` are what `withRole` and the organizations check.
fn token(config: &Config, user: &str, roles: &[&str], orgs: &[&str]) -> String {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let aud = "nextjs_port".to_owned();
    let claims = Claims { sub: user.to_owned(), aud, exp, roles: list(roles), orgs: list(orgs) };
    testing::sign_hs256(config.token_secret.clone(), &claims)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();

    let config = match env::var("APP_ENV").as_deref() {
        Ok("production") => Config::from_vars(|name| env::var(name).ok())?,
        _ => Config::development(),
    };
    let app = app(&config)?;

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &config);
    // Gives the policies the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, config: &Config) {
    let user = token(config, "ada", &["user"], &["acme"]);
    let admin = token(config, "grace", &["user", "admin"], &["acme"]);
    let (origin, password) = (&config.app_origin, &config.password);
    println!(
        r##"listening on http://{address}

user token:  {user}
admin token: {admin}
password:    {password}

Lists and single items in the envelope, and errors in theirs
  curl -i 'http://{address}/api/items?limit=1&sort=price&tag=new'
  curl -i 'http://{address}/api/items?limit=1000&page=x'
  curl -i http://{address}/api/items/1
  curl -i http://{address}/api/items/77
  curl -i http://{address}/api/docs/guides/start

Create and delete: validation, a conflict, roles
  curl -i http://{address}/api/items -H 'Authorization: Bearer {user}' -H 'Content-Type: application/json' -d '{{"name":"table","unitPrice":90}}'
  curl -i http://{address}/api/items -H 'Authorization: Bearer {user}' -H 'Content-Type: application/json' -d '{{"name":"","unitPrice":-1}}'
  curl -i http://{address}/api/items -H 'Authorization: Bearer {user}' -H 'Content-Type: application/json' -d '{{"name":"lamp","unitPrice":1}}'
  curl -i -X DELETE http://{address}/api/items/2 -H 'Authorization: Bearer {user}'
  curl -i -X DELETE http://{address}/api/items/2 -H 'Authorization: Bearer {admin}'
  curl -i -X PATCH http://{address}/api/items
  curl -i -X OPTIONS http://{address}/api/items

One body that may be JSON or a form, a file, and cookies
  curl -i http://{address}/api/contact -H 'Content-Type: application/json' -d '{{"email":"ada@example.com","text":"hello","stars":4}}'
  curl -i http://{address}/api/contact -d 'email=ada@example.com&text=hello&stars=4'
  curl -i http://{address}/api/contact -F email=ada -F text= -F stars=9
  printf '\211PNG\r\n\032\n' | curl -i http://{address}/api/avatar -F caption=me -F 'avatar=@-;filename=a.png'
  curl -i -X PUT http://{address}/api/preferences -d 'theme=dark'
  curl -i http://{address}/api/preferences -H 'Cookie: theme=dark'

The current user, members of an organization, and the owner of a project
  curl -i http://{address}/api/me -H 'Authorization: Bearer {user}'
  curl -i http://{address}/api/me
  curl -i http://{address}/api/orgs/acme/projects -H 'Authorization: Bearer {user}'
  curl -i http://{address}/api/orgs/globex/projects -H 'Authorization: Bearer {user}'
  curl -i -X DELETE http://{address}/api/orgs/acme/projects/2 -H 'Authorization: Bearer {user}'

Rate limits: 10 requests in 10 seconds
  for i in $(seq 12); do curl -s -o /dev/null -w '%{{http_code}} ' http://{address}/api/search -H 'Authorization: Bearer {user}'; done; echo

CORS: a preflight of the page's origin, and of another
  curl -i -X OPTIONS http://{address}/api/items -H 'Origin: {origin}' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type'
  curl -i -X OPTIONS http://{address}/api/items -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST'

Caches, streams, and limits of time and size
  curl -i http://{address}/api/posts
  curl -i -X POST http://{address}/api/revalidate/posts -H 'Authorization: Bearer {admin}'
  curl -i http://{address}/api/prices
  curl -N http://{address}/api/events
  curl -i http://{address}/api/slow
  curl -i http://{address}/api/export

Countries, RSS, a deprecated version, redirects, the login, and probes
  curl -i http://{address}/api/offers -H 'X-Vercel-Ip-Country: DE'
  curl -i http://{address}/feed.xml
  curl -i http://{address}/api/v1/items
  curl -i http://{address}/account -H 'Accept: text/html'
  curl -i http://{address}/login -H 'Origin: http://{address}' -d 'password={password}&return_to=/account'
  curl -i http://{address}/health
"##
    );
}
