//! A session in a cookie: log in, read the current user, log out. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example auth_cookie_session
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_cookie_session
//! ```

use std::{
    collections::HashMap,
    env,
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use palisade::{
    ApiError, BoxError, BoxFuture, Clock, ErrorLayer, Policy, Principal, Secret, SystemClock,
    WithAuth,
    auth::{Authenticate, Basic, CsrfCheck, Identity, Password, SessionStore, Sessions},
    observe::RequestIds,
    rate_limit::{Quota, RateLimit},
    stack,
};
use serde::Serialize;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Plain http on loopback, where not every client stores `Secure` cookies. Behind TLS use `__Host-session` with `; Secure`, so
/// that no other host and no plain http can set the cookie.
const COOKIE: &str = "session";
const LIFETIME: Duration = Duration::from_secs(60 * 60);
const MAX_SESSIONS: usize = 10_000;

/// The user of a session. `Identity<User>` exists only if a session was found.
#[derive(Clone, Serialize)]
struct User {
    name: String,
    /// Identifies this session for logout. Never shown.
    #[serde(skip)]
    token: String,
}

/// Sessions in memory. Store yours in a database by a hash of the token, so that a reader of the table cannot use them.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, Session>>>);

struct Session {
    identity: Identity<User>,
    end: Duration,
}

impl Store {
    /// Creates a session with a new token, so that a token planted before the login is worthless (session fixation).
    fn begin(&self, name: &str) -> Result<String, ApiError> {
        let now = SystemClock.unix();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| now < session.end);
        if sessions.len() >= MAX_SESSIONS {
            return Err(ApiError::unavailable().with_retry_after(Duration::from_secs(60)));
        }
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let user = User { name: name.to_owned(), token: token.clone() };
        let identity = Identity::new(user, Principal::new(name).with_roles(["user"]));
        sessions.insert(token.clone(), Session { identity, end: now + LIFETIME });
        Ok(token)
    }

    fn end(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

impl SessionStore for Store {
    type Claims = User;

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<User>>, BoxError>> {
        let now = SystemClock.unix();
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(token).filter(|session| now < session.end);
        Box::pin(ready(Ok(session.map(|session| session.identity.clone()))))
    }
}

/// Takes the password once, as HTTP Basic. Later requests carry the cookie.
async fn log_in(
    State(store): State<Store>,
    identity: Identity<()>,
) -> Result<impl IntoResponse, ApiError> {
    let token = store.begin(identity.principal().subject())?;
    let seconds = LIFETIME.as_secs();
    let cookie = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

async fn log_out(State(store): State<Store>, identity: Identity<User>) -> impl IntoResponse {
    store.end(&identity.claims().token);
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)])
}

/// `getCurrentUser()`: the user is an argument, and the handler does not run without one.
async fn me(user: Identity<User>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "private, no-store")], Json(user.claims().clone()))
}

/// The same for a route that also accepts anonymous callers.
async fn greeting(user: Option<Identity<User>>) -> impl IntoResponse {
    let name = user.as_ref().map_or("stranger", |user| &user.claims().name);
    ([(header::CACHE_CONTROL, "private, no-store")], format!("hello {name}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // One user with a new password at each start. Hash yours with argon2 or similar, on a blocking thread.
    let password = Uuid::new_v4().simple().to_string();
    let secret = Secret::from(password.as_str());
    let passwords = Basic::builder(move |user: String, password: Password| {
        let good = password.matches(&secret) && user == "ada";
        async move { Ok::<_, BoxError>(good.then(|| Identity::new((), Principal::new(user)))) }
    })
    .build()?;

    let store = Store::default();
    // Cookies enable the CSRF check.
    let sessions = Sessions::builder(store.clone()).cookie(COOKIE).build()?;
    let logins =
        RateLimit::per_address(Quota::per(10, Duration::from_secs(60))).name("logins").build()?;
    // A login has no cookie yet, so it needs the check as a separate policy. It is outermost, so that a page of another site
    // cannot use up the attempts of a user.
    let login = CsrfCheck::new().then(logins.then(passwords));

    let app = Router::new()
        .route("/", get(greeting).with_auth(&sessions.clone().optional()))
        .route("/me", get(me).with_auth(&sessions))
        .route("/login", post(log_in).guarded_by(login))
        .route("/logout", post(log_out).with_auth(&sessions))
        .fallback(|| async { ApiError::not_found() })
        .with_state(store)
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3005".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, &password);
    // Gives the policies the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, password: &str) {
    println!(
        r##"listening on http://{address}

user:     ada
password: {password}

Nobody is logged in
  curl -i http://{address}/
  curl -i http://{address}/me

Log in, as a page of ours would; a wrong password; and as a page of somebody else
  curl -i -X POST http://{address}/login -u 'ada:{password}' -H 'Origin: http://{address}' -c cookies.txt
  curl -i -X POST http://{address}/login -u 'ada:wrong' -H 'Origin: http://{address}'
  curl -i -X POST http://{address}/login -u 'ada:{password}' -H 'Origin: https://evil.example'

Who am I? With the cookie, and with one that nobody gave out
  curl -i http://{address}/me -b cookies.txt
  curl -i http://{address}/ -b cookies.txt
  curl -i http://{address}/me -b 'session=made-up'

CSRF: the browser sends the cookie, but the page is another's, or not known
  curl -i -X POST http://{address}/logout -b cookies.txt -H 'Origin: https://evil.example'
  curl -i -X POST http://{address}/logout -b cookies.txt -H 'Sec-Fetch-Site: cross-site'
  curl -i -X POST http://{address}/logout -b cookies.txt

Log out, and the cookie is worth nothing
  curl -i -X POST http://{address}/logout -b cookies.txt -H 'Sec-Fetch-Site: same-origin'
  curl -i http://{address}/me -b cookies.txt
"##
    );
}
