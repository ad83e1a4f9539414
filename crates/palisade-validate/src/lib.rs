//! Validates JSON bodies, queries, forms, files and gRPC messages before a handler sees them.
//!
//! A type describes the input: serde describes its form, and [garde](https://docs.rs/garde) its rules. All issues are
//! reported at once, each with a path, a code that never changes and a message that does not repeat the client's input.
//!
//! ```
//! use garde::Validate;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use palisade_validate::{ValidateLayer, Validated};
//! use serde::Deserialize;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! #[derive(Deserialize, Validate)]
//! struct Item {
//!     #[garde(length(chars, min = 1, max = 100))]
//!     name: String,
//!     #[garde(range(min = 1))]
//!     amount: u32,
//! }
//!
//! # fn main() -> Result<(), palisade_core::BoxError> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # use bytes::Bytes;
//! # type In = palisade_core::Body<Full<Bytes>>;
//! let service = ValidateLayer::<Item>::new().layer(service_fn(|request: Request<In>| async move {
//!     let item = Validated::<Item>::from_extensions(request.extensions()).expect("validated");
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(item.name.clone())))
//! }));
//!
//! let post = |json: &'static str| {
//!     Request::post("/items").header("content-type", "application/json").body(Full::<Bytes>::from(json))
//! };
//!
//! let passes = service.clone().oneshot(post(r#"{"name":"lamp","amount":2}"#)?).await?;
//! assert_eq!(passes.status(), StatusCode::OK);
//!
//! let refused = service.oneshot(post(r#"{"name":"","amount":0}"#)?).await?;
//! assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
//! let body: serde_json::Value = serde_json::from_slice(&refused.into_body().collect().await?.to_bytes())?;
//! assert_eq!(body["error"]["issues"][0]["path"], "name");
//! assert_eq!(body["error"]["issues"][1]["path"], "amount");
//! # Ok(()) })
//! # }
//! ```
//!
//! # Entry points
//!
//! | | for |
//! | --- | --- |
//! | [`ValidateLayer`] | JSON bodies, before any tower service |
//! | `Valid` | axum's extractors, one or several at once (feature `axum`) |
//! | `ValidateMessages`, `validate_message` | messages of gRPC (feature `tonic`) |
//! | `JsonSchema` | documents that are described by a schema instead of a type (feature `json-schema`) |
//! | `JsonOrForm` | one body that may be JSON or a form (feature `multipart`) |
//! | `Multipart`, `MultipartStream`, `Uploads` | forms with files (feature `multipart`) |
//! | [`Validation`] | the settings of all of them, and the same checks for bytes |
//! | [`debug_validate_response`] | responses, during development |
//!
//! # Where an issue is
//!
//! Paths have the names on the wire: `#[serde(rename_all = "camelCase")]` makes `userName` of `user_name`, in garde's issues
//! as well. Where the exact place is not known, the issue is at the nearest enclosing value that is, and the answer has
//! `truncated: true`: in unions and flattened structs, which serde buffers, and for rules of fields that are renamed one by
//! one if their values do not show which of them is meant. A type that derives `schemars::JsonSchema` has exact places
//! there too (feature `schemars`).
//!
//! # How many issues
//!
//! The codes of issues are listed at [`ISSUE_CODES`]. A list ends at 64 issues, with `truncated: true` beside it. `truncated` is also true if the form is wrong, because rules are
//! applied only to a value that was read, and if the body is larger than [`Validation::max_examined`].
//!
//! garde is stopped soon after 64 broken rules, at the next of its own rules that is broken. A rule of your own (`custom`)
//! offers no place to stop: it is applied to each value of a list, and its messages are kept until the end. Where that
//! matters, guard it by the list's length: `if(cond = self.codes.len() <= 100, inner(custom(is_listed)))`.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `aide` | OpenAPI: the extractors in `Valid` describe themselves to [aide](https://docs.rs/aide) 0.16 |
//! | `axum` | the extractors in `Valid` |
//! | `json-schema` | `JsonSchema` |
//! | `schemars` | `SchemaJson`, `schema_of`: types with a schema, and exact places in unions and flattened structs |
//! | `multipart` | `Valid<JsonOrForm<T>>`, `Valid<Multipart<T>>` and `Valid<MultipartStream<T>>`, for axum |
//! | `tonic` | `ValidateMessages`, `validate_message` |
//! | `gzip`, `deflate`, `zstd` | `ValidateMessages` reads messages in these codings |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod context;
#[cfg(feature = "schemars")]
mod described;
mod entry;
mod examine;
mod issue_codes;
mod json;
#[cfg_attr(not(feature = "json-schema"), path = "not_judged.rs")]
mod judged;
mod layer;
pub mod maps;
#[cfg(feature = "tonic")]
mod message_coding;
mod messages;
mod names;
mod place;
mod read;
mod response;
mod rules;
mod scan;
#[cfg(feature = "json-schema")]
mod schema;
mod settings;
mod texts;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(all(feature = "axum", feature = "schemars"))]
pub use axum::SchemaJson;
#[cfg(feature = "axum")]
pub use axum::{Cookies, Extractor, FromBody, FromHead, HasRules, Headers, OfTexts, Valid};
#[cfg(feature = "multipart")]
pub use axum::{
    JsonOrForm, Multipart, MultipartStream, Upload, UploadStream, Uploads, UploadsBuilder,
    UploadsLayer, UploadsService,
};
pub use context::RuleContext;
#[cfg(feature = "schemars")]
pub use described::schema_of;
pub use issue_codes::ISSUE_CODES;
pub use layer::{ValidateLayer, Validated};
pub use messages::Messages;
pub use response::{ValidateResponse, ValidateResponseLayer, debug_validate_response};
#[cfg(feature = "json-schema")]
pub use schema::{JsonSchema, JsonSchemaBuilder};
pub use settings::Validation;
#[cfg(feature = "tonic")]
pub use tonic::{ValidateMessages, validate_message, validate_message_with};

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS). Those of single issues are
/// in [`ISSUE_CODES`].
///
/// ```
/// assert_eq!(palisade_validate::CODES[0].code, "INVALID_RESPONSE");
/// ```
pub const CODES: &[palisade_core::ErrorCode] = &[response::INVALID_RESPONSE];

palisade_core::impl_layer!(RuleContext<C>, Validation);
