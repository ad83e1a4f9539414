use axum::{Form, Json, RequestExt, extract::Request};
use garde::Validate;
use http::Method;
use palisade_core::ApiError;
use serde::de::DeserializeOwned;

use super::{
    Extractor, FromBody, HasRules, Multipart, Uploads, body::is_form, multipart::is_form_data,
};
use crate::{Validation, json, place::Findings};

/// A body of one type that the client may send as JSON, as an urlencoded form or as a multipart form, by its `Content-Type`.
///
/// Use it in [`Valid`](crate::Valid). Each body is read as by `Json`, `Form` and [`Multipart`], with the same issues: the
/// values of a form are texts, which become numbers and other types as in a query string, and JSON is never converted. All three
/// have the limit of axum's `DefaultBodyLimit`. A multipart form consists of fields: a file in it is an issue,
/// `too_many_files`. Use `Multipart` for routes that take files.
///
/// A body of another type is a 415, with the three types in `Accept`. A GET or HEAD request is read as a form in the query.
///
/// Pages of any origin can send a form without a preflight. Protect routes that authenticate by cookie with CSRF protection.
///
/// ```
/// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::post};
/// use garde::Validate;
/// use palisade_validate::{JsonOrForm, Valid};
/// use serde::Deserialize;
/// # use tower::ServiceExt;
///
/// #[derive(Deserialize, Validate)]
/// struct Message {
///     #[garde(length(chars, min = 1))]
///     text: String,
///     #[garde(range(min = 1, max = 5))]
///     stars: u8,
/// }
///
/// async fn send(Valid(JsonOrForm(message)): Valid<JsonOrForm<Message>>) -> String {
///     format!("{} {}", message.text, message.stars)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app: Router = Router::new().route("/messages", post(send));
/// for (content_type, body) in [
///     ("application/json", r#"{"text": "good", "stars": 5}"#),
///     ("application/x-www-form-urlencoded", "text=good&stars=5"),
/// ] {
///     let request = Request::post("/messages").header("content-type", content_type).body(Body::from(body))?;
///     let response = app.clone().oneshot(request).await?;
///     assert_eq!(to_bytes(response.into_body(), 100).await?, "good 5");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JsonOrForm<T>(
    /// The value.
    pub T,
);

const ACCEPTED: &str = "application/json, application/x-www-form-urlencoded, multipart/form-data";

impl<T: DeserializeOwned + HasRules> Extractor for JsonOrForm<T> {}

impl<T> FromBody for JsonOrForm<T>
where
    T: DeserializeOwned + Validate + Send,
    T::Context: Send + Sync + 'static,
{
    async fn read(
        mut request: Request,
        settings: &Validation,
        findings: &mut Findings,
    ) -> Result<Option<Self>, ApiError> {
        let is_in_query = matches!(*request.method(), Method::GET | Method::HEAD);
        let content_type = json::content_type(request.headers()).unwrap_or_default();
        let value = if is_in_query || is_form(content_type) {
            Form::read(request, settings, findings).await?.map(|Form(value)| value)
        } else if json::is_json(content_type) {
            Json::read(request, settings, findings).await?.map(|Json(value)| value)
        } else if is_form_data(content_type) {
            Uploads::forbid_files(request.extensions_mut());
            let form = Multipart::read(request.with_limited_body(), settings, findings).await?;
            form.map(|form| form.fields)
        } else {
            return Err(json::unsupported(ACCEPTED));
        };
        Ok(value.map(Self))
    }
}
