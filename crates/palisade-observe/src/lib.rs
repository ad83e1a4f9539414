//! What happened: a name for every request, on its response, in its errors and in the log.
//!
//! ```
//! use http::{Request, Response};
//! use palisade_core::RequestId;
//! use palisade_observe::RequestIds;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let service = RequestIds::new().layer().layer(service_fn(|request: Request<String>| async move {
//!     let id: &RequestId = request.extensions().get().expect("every request has a name");
//!     Ok::<_, std::convert::Infallible>(Response::new(id.to_string()))
//! }));
//!
//! // a well-formed id is kept
//! let request = Request::get("/").header("x-request-id", "req-42").body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.headers()["x-request-id"], "req-42");
//!
//! // all others get a new one
//! let request = Request::get("/").header("x-request-id", "{\"forged\":1}").body(String::new())?;
//! assert_eq!(service.oneshot(request).await?.headers()["x-request-id"].len(), 36);
//! # Ok(()) })
//! # }
//! ```

mod request_ids;

pub use request_ids::RequestIds;
