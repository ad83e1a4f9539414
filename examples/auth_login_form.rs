//! A login form, with session cookies that neither scripts nor other sites can use. Run it, and open the page that it
//! prints in a browser:
//!
//! ```sh
//! cargo run --example auth_login_form
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_login_form
//! ```

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use palisade::{
    ApiError, ErrorLayer, Policy, Principal, WithAuth,
    auth::{Authenticate, CsrfCheck, Identity, InMemorySessions, SessionManager, return_to},
    headers::SecurityHeaders,
    rate_limit::{Quota, RateLimit},
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The data of a session, beside the `Principal`. Stored as JSON.
#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

/// In memory, for one process. Use `RedisSessions::new(redis)` for several machines.
type Manager = SessionManager<User, InMemorySessions>;

#[derive(Clone)]
struct App {
    sessions: Manager,
    /// The password of the only user. Hash yours with argon2 or similar, on a blocking thread.
    password: Arc<str>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    return_to: String,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
    #[serde(default)]
    return_to: String,
}

/// The page to which `LoginRedirect` sends browsers, with the path that they requested.
async fn form(Query(page): Query<Page>) -> Html<String> {
    // `return_to` returns paths of this origin only, which can contain characters that need escaping in HTML.
    let back = return_to(&page.return_to).replace('&', "&amp;").replace('"', "&quot;");
    let back = back.replace('<', "&lt;");
    Html(format!(
        r#"<!doctype html><title>Log in</title>
<form method="post" action="/login">
<input type="hidden" name="return_to" value="{back}">
<label>User <input name="user" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Log in</button>
</form>"#
    ))
}

async fn log_in(
    State(app): State<App>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Result<Response, ApiError> {
    let is_right = aws_lc_rs::constant_time::verify_slices_are_equal(
        login.password.as_bytes(),
        app.password.as_bytes(),
    )
    .is_ok();
    if !is_right || login.user != "ada" {
        let page = Html("<p>The user or the password is not right. <a href=\"/login\">Again</a>");
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let ada = Principal::new("ada").with_roles(["customer"]);
    let set_cookie = app.sessions.log_in(&headers, &ada, User { name: "Ada".into() }).await?;
    let back = Redirect::to(return_to(&login.return_to));
    Ok(([(header::SET_COOKIE, set_cookie)], back).into_response())
}

async fn account(user: Identity<User>) -> Html<String> {
    let name = &user.claims().name;
    Html(format!(
        r#"<!doctype html><title>Account</title>
<p>Hello {name}
<form method="post" action="/logout"><button>Log out</button></form>
<form method="post" action="/logout/everywhere"><button>Log out on all devices</button></form>"#
    ))
}

async fn log_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let set_cookie = app.sessions.log_out(&headers).await?;
    Ok(([(header::SET_COOKIE, set_cookie)], Redirect::to("/login")).into_response())
}

async fn log_out_everywhere(
    State(app): State<App>,
    caller: Principal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.sessions.log_out_everywhere(&caller).await?;
    log_out(State(app), headers).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let password = Uuid::new_v4().simple().to_string();
    let sessions = Manager::builder(InMemorySessions::new(10_000))
        .idle_timeout(Duration::from_secs(30 * 60))
        .lifetime(Duration::from_secs(12 * 60 * 60))
        .build()?;
    let auth = sessions.sessions().build()?;
    let pages = auth.clone().login_redirect("/login")?;

    // A login has no session yet, so it needs the CSRF check as a separate policy: a page of another site can neither log its
    // visitor in to another account nor use up the attempts.
    let logins =
        RateLimit::per_address(Quota::per(10, Duration::from_secs(60))).name("logins").build()?;
    let login = CsrfCheck::new().then(logins);

    let app = Router::new()
        .route("/", get(account).with_auth(&pages))
        .route("/account", get(account).with_auth(&pages))
        .route("/login", get(form).with_public())
        .route("/login", post(log_in).guarded_by(login.then(palisade::auth::public())))
        .route("/logout", post(log_out).with_auth(&auth))
        .route("/logout/everywhere", post(log_out_everywhere).with_auth(&auth))
        .fallback((|| async { ApiError::not_found() }).with_public())
        .with_state(App { sessions, password: password.as_str().into() })
        .layer(
            stack()
                .errors(ErrorLayer::new())
                .security_headers(&SecurityHeaders::pages().build()?)
                .deny_undecided(),
        );

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3005".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    // Browsers accept `Secure` cookies from `localhost` also over plain http.
    println!("\nOpen http://localhost:{}/account\n", address.port());
    println!("user:     ada\npassword: {password}");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
