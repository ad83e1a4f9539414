//! Limits the size of bodies and heads and the duration of requests, and decompresses request bodies.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use palisade_body::{BodyLimit, LimitedBody};
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # fn main() -> Result<(), BoxError> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let echo = service_fn(|request: Request<LimitedBody<Full<Bytes>>>| async {
//!     let body = request.into_body().collect().await?.to_bytes();
//!     Ok::<_, BoxError>(Response::new(Full::new(body)))
//! });
//! let service = BodyLimit::new(5).layer(echo); // bytes
//!
//! let exact = Request::post("/").body(Full::from("12345"))?;
//! assert_eq!(service.clone().oneshot(exact).await?.status(), StatusCode::OK);
//!
//! let one_more = Request::post("/").body(Full::from("123456"))?;
//! assert_eq!(service.oneshot(one_more).await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! # Ok(()) })
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alarm;
mod break_off;
mod broken;
mod byte_size;
mod codes;
mod deadline;
#[cfg(any(feature = "brotli", feature = "deflate", feature = "gzip", feature = "zstd"))]
mod decompression;
mod fault;
mod grpc;
mod head_limits;
mod limit;
mod map_body;
mod responder;
mod response_limit;

pub use byte_size::ByteSize;
pub use codes::CODES;
pub use deadline::{Deadline, DeadlineFuture, DeadlineService, TimedBody};
#[cfg(any(feature = "brotli", feature = "deflate", feature = "gzip", feature = "zstd"))]
pub use decompression::{DecodedBody, Decompression, DecompressionFuture, DecompressionService};
pub use head_limits::HeadLimits;
pub use limit::{BodyLimit, BodyLimitFuture, BodyLimitService, LimitedBody};
pub use map_body::{BoxedBody, MapRequestBody, MapRequestBodyService};
pub use response_limit::{ResponseLimit, ResponseLimitFuture, ResponseLimitService};

palisade_core::impl_layer!(HeadLimits);
