//! Bodies of other kinds: JSON or a form, files; and headers and cookies.

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use cookie::{Cookie, SameSite};
use garde::Validate;
use palisade::{
    ApiError, ConfigError, Envelope, IssueView,
    body::{BodyLimit, ByteSize},
    stack,
    validate::{Cookies, Headers, JsonOrForm, Multipart, Uploads, Valid, Validation},
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Validate)]
struct Message {
    #[garde(email)]
    email: String,
    #[garde(length(chars, min = 1, max = 500))]
    text: String,
    #[serde(default = "five")]
    #[garde(range(min = 1, max = 5))]
    stars: u8,
}

fn five() -> u8 {
    5
}

/// `fetch(url, { body: JSON.stringify(message) })` and `<form method="post">` alike.
async fn contact(Valid(JsonOrForm(message)): Valid<JsonOrForm<Message>>) -> Envelope<Message> {
    Envelope::new(message)
}

#[derive(Deserialize, Validate)]
struct About {
    #[garde(length(chars, max = 80))]
    caption: String,
}

#[derive(Serialize)]
struct Stored {
    caption: String,
    content_type: String,
    bytes: u64,
}

async fn avatar(Valid(mut form): Valid<Multipart<About>>) -> Result<Envelope<Stored>, ApiError> {
    let file = form.files.pop().ok_or_else(ApiError::bad_request)?;
    let content_type = file.content_type().to_owned();
    let bytes = file.size();
    // `file.into_bytes().await?`, and to the storage.
    Ok(Envelope::new(Stored { caption: form.fields.caption, content_type, bytes }))
}

/// `Accept-Language` and `X-Client-Version`.
#[derive(Deserialize, Serialize, Validate)]
struct Client {
    #[garde(length(max = 100))]
    accept_language: Option<String>,
    #[garde(range(min = 1))]
    x_client_version: u32,
}

async fn client(Valid(Headers(client)): Valid<Headers<Client>>) -> impl IntoResponse {
    ([("x-api-version", "2")], Envelope::new(client))
}

#[derive(Deserialize, Serialize, Validate)]
struct Preferences {
    #[serde(default = "light")]
    #[garde(length(chars, max = 20))]
    theme: String,
}

fn light() -> String {
    "light".to_owned()
}

/// `(await cookies()).get("theme")`
async fn preferences(
    Valid(Cookies(preferences)): Valid<Cookies<Preferences>>,
) -> Envelope<Preferences> {
    Envelope::new(preferences)
}

/// `(await cookies()).set("theme", theme, { … })`
async fn set_preferences(
    Valid(JsonOrForm(preferences)): Valid<JsonOrForm<Preferences>>,
) -> impl IntoResponse {
    let theme = Cookie::build(("theme", preferences.theme))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(cookie::time::Duration::days(365));
    // Encoded, so that no value adds an attribute.
    let set_cookie = theme.build().encoded().to_string();
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie)])
}

/// `(await cookies()).delete("theme")`
async fn forget_preferences() -> impl IntoResponse {
    let mut theme = Cookie::build("theme").path("/").build();
    theme.make_removal();
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, theme.to_string())])
}

pub(crate) fn routes() -> Result<Router, ConfigError> {
    // `error.flatten()`
    let flat = Validation::new().view(IssueView::Flat).layer();
    let images = Uploads::builder()
        .max_files(1)
        .max_file_bytes(4 * 1024 * 1024)
        .allow_types(["image/png", "image/jpeg"])
        .require_file("avatar")
        .build()?;
    // `sizeLimit: "5mb"`, in place of the limit of the whole service
    let limits = stack().body_limit(BodyLimit::new(ByteSize::mb(5))).layer(images.layer());
    Ok(Router::new()
        .route("/api/contact", post(contact).layer(flat))
        .route("/api/avatar", post(avatar).layer(limits))
        .route("/api/client", get(client))
        .route(
            "/api/preferences",
            get(preferences).put(set_preferences).delete(forget_preferences),
        ))
}
