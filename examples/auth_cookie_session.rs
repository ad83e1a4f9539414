//! A session in a cookie: log in, ask who one is, log out. Run it, and paste the commands that it prints:
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

/// This example speaks plain http on loopback, where not every client keeps `Secure` cookies. Behind TLS it is
/// `__Host-session`, set with `; Secure`: then no other host and no plain http can have set it.
const COOKIE: &str = "session";
const LIFETIME: Duration = Duration::from_secs(60 * 60);
const MAX_SESSIONS: usize = 10_000;

/// Who is logged in. `Identity<User>` is proof that a session was found.
#[derive(Clone, Serialize)]
struct User {
    name: String,
    /// To end this session and no other; never shown.
    #[serde(skip)]
    token: String,
}

/// Sessions in memory. Yours are in a database, by a hash of the token, so that who reads the table cannot use it.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, Session>>>);

struct Session {
    identity: Identity<User>,
    end: Duration,
}

impl Store {
    /// A session with a token of its own: who planted a token before the login gains nothing by it.
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

/// The password comes once, here, as HTTP Basic; everything after has the cookie.
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

/// The same where nobody has to be logged in.
async fn greeting(user: Option<Identity<User>>) -> impl IntoResponse {
    let name = user.as_ref().map_or("stranger", |user| &user.claims().name);
    ([(header::CACHE_CONTROL, "private, no-store")], format!("hello {name}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // One user, and a new password at each start. Yours are hashed with argon2 or the like, on a blocking thread.
    let password = Uuid::new_v4().simple().to_string();
    let secret = Secret::from(password.as_str());
    let passwords = Basic::builder(move |user: String, password: Password| {
        let good = password.matches(&secret) && user == "ada";
        async move { Ok::<_, BoxError>(good.then(|| Identity::new((), Principal::new(user)))) }
    })
    .build()?;

    let store = Store::default();
    // A cookie turns the CSRF check on.
    let sessions = Sessions::builder(store.clone()).cookie(COOKIE).build()?;
    let logins =
        RateLimit::per_address(Quota::per(10, Duration::from_secs(60))).name("logins").build()?;
    // A login has no cookie yet, so there the check is a policy of its own. It is the outermost, so that no page of
    // another site spends the attempts that a user has.
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
    // The line that tells the policies who is at the other end.
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
