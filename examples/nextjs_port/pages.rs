//! Pages: redirects, a login with a session cookie, and a page for callers who are logged in.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use garde::Validate;
use palisade::{
    ApiError, ConfigError, Principal, WithAuth,
    auth::{Authenticate, CsrfCheck, Identity, InMemorySessions, SessionManager, return_to},
    validate::{JsonOrForm, Valid},
};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The data of a session.
#[derive(Deserialize, Serialize)]
struct User {
    name: String,
}

/// In memory, for one process. Use `RedisSessions` for several machines.
type Manager = SessionManager<User, InMemorySessions>;

#[derive(Clone)]
struct Pages {
    sessions: Manager,
    password: String,
}

#[derive(Deserialize, Validate)]
struct Login {
    #[garde(length(max = 200))]
    password: String,
    #[serde(default)]
    #[garde(skip)]
    return_to: String,
}

#[derive(Deserialize)]
struct LoginPage {
    #[serde(default)]
    return_to: String,
}

/// `LoginRedirect` sends browsers here, with the path that they requested.
async fn login_page(Query(page): Query<LoginPage>) -> Html<String> {
    // Paths of this origin only, and without characters that end an attribute.
    let back = return_to(&page.return_to).replace('&', "&amp;").replace('"', "&quot;");
    Html(format!(
        r#"<!doctype html><title>Log in</title><form method="post"><input type="hidden" name="return_to" value="{back}">
<input name="password" type="password"><button>Log in</button></form>"#
    ))
}

async fn log_in(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Valid(JsonOrForm(login)): Valid<JsonOrForm<Login>>,
) -> Result<Response, ApiError> {
    let (given, right) = (login.password.as_bytes(), pages.password.as_bytes());
    if verify_slices_are_equal(given, right).is_err() {
        return Err(ApiError::unauthenticated().with_message("the password is wrong"));
    }
    let user = User { name: "Ada".to_owned() };
    let set_cookie = pages.sessions.log_in(&headers, &Principal::new("ada"), user).await?;
    let back = Redirect::to(return_to(&login.return_to));
    Ok(([(header::SET_COOKIE, set_cookie)], back).into_response())
}

async fn account(user: Identity<User>) -> Html<String> {
    Html(format!("<!doctype html><title>Account</title><p>Hello {}", user.claims().name))
}

pub(crate) fn routes(config: &Config) -> Result<Router, ConfigError> {
    let sessions = Manager::builder(InMemorySessions::new(10_000)).build()?;
    // 303 to `/login?return_to=…` for browsers, and 401 for programs.
    let browser = sessions.sessions().build()?.login_redirect("/login")?;
    let pages = Pages { sessions, password: config.password.clone() };
    Ok(Router::new()
        .route("/account", get(account).with_auth(browser))
        .route("/login", get(login_page).merge(post(log_in).guarded_by(CsrfCheck::new())))
        // `permanentRedirect("/api/items")`
        .route("/items", get(|| async { Redirect::permanent("/api/items") }))
        // `redirect("/account")`
        .route("/me", get(|| async { Redirect::temporary("/account") }))
        .with_state(pages))
}
