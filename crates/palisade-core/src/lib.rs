//! The mechanism of [Palisade](https://docs.rs/palisade): a rule about a request is a [`Policy`], and
//! [`PolicyLayer`] makes a tower layer of any of them.
//!
//! A policy is written without futures, pinning or bodies. There is one `Service`, one `Future`, one response
//! [`Body`] and one [`ApiError`] for all of them, so any hyper 1, axum or tonic service can be wrapped without
//! changing its types.
//!
//! ```
//! use http::{Request, Response, StatusCode, request};
//! use palisade_core::{ApiError, Decision, Policy, PolicyLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! /// Refuses what does not say which tenant it is for.
//! struct TenantHeader;
//!
//! impl Policy for TenantHeader {
//!     type Grant = ();
//!
//!     fn decide(&self, request: &request::Parts) -> Decision<()> {
//!         if request.headers.contains_key("x-tenant") {
//!             Decision::grant(())
//!         } else {
//!             Decision::refuse(ApiError::bad_request().with_message("X-Tenant is missing"))
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! let service = PolicyLayer::new(TenantHeader).layer(service_fn(|_: Request<Full<Bytes>>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! }));
//!
//! let request = Request::get("/").body(Full::default()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::BAD_REQUEST);
//! # });
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `tower` (default) | [`ErrorLayer`] recognises tower's timeout and load-shed errors |
//! | `axum` | [`ApiError`], [`Envelope`] and [`Body`] as axum responses; axum's own errors in our format, by option, or by their types with [`OrApiError`]; peer addresses from `ConnectInfo` |
//! | `multipart` | errors of axum's `Multipart` as [`ApiError`] |
//! | `hyper` | [`ErrorLayer`] recognises hyper's errors |
//! | `tonic` | [`ApiError`] as `tonic::Status` and back; peer addresses from `TcpConnectInfo` |
//! | `testing` | the contract tests, for your own policies and layers |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accepts_body;
mod around;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod body_policy;
mod bytes_body;
mod cache_signals;
mod client;
mod clock;
mod collecting;
mod combinators;
mod config;
mod connection;
mod cookies;
mod engine;
mod envelope;
mod error;
mod error_layer;
mod gathered;
mod grpc_web;
mod hold;
mod http_response;
mod impl_layer;
mod inserted;
mod into_stage;
mod log_backoff;
mod log_sampler;
mod measured;
mod origin;
mod panics;
mod personal;
mod policy;
mod preflight;
mod principal;
mod public_url;
#[cfg(feature = "axum")]
mod rejection;
mod request_id;
mod requested_uri;
mod secret;
mod set_header;
mod shared_body;
mod slab;
#[doc(hidden)]
pub mod syntax;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tonic")]
mod tonic;
mod trail;
mod unread;
mod vary;

pub use accepts_body::AcceptsBody;
#[doc(hidden)]
pub use around::{EndEarly, PolledFrame};
#[cfg(feature = "axum")]
pub use axum::TrackedListener;
pub use body::Body;
pub use body_policy::{BodyPolicy, BodyPolicyFuture, BodyPolicyLayer, BodyPolicyService};
pub use bytes_body::BytesBody;
#[doc(hidden)]
pub use cache_signals::{DecisionFlag, OneTimeUse};
pub use client::{
    AllowNetworks, ClientIp, DenyNetworks, NetworksHandle, PeerAddr, TrustedProxies,
    TrustedProxiesBuilder, UnixPeer,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use combinators::{
    AnyOf, ChainGrant, ChainPolicy, Either, IntoPolicy, OnTrial, Shadow, When, any_of,
    on_admission, shadow, unless, when,
};
pub use config::ConfigError;
#[cfg(feature = "axum")]
pub use connection::TrackedPeer;
pub use connection::{
    Connection, TrackUpgrades, TrackUpgradesFuture, TrackUpgradesService, TrackedIo,
};
pub use cookies::cookies;
#[doc(hidden)]
pub use engine::NoPolicies;
pub use engine::{AnsweredByPolicy, PolicyFuture, PolicyLayer, PolicyService, Stage};
pub use envelope::{Envelope, Pagination};
pub use error::{
    ApiError, ErrorCode, ErrorContext, ErrorFormat, GrpcCode, GrpcDetail, GrpcStream, Issue,
    IssueCode, IssueSource, IssueView, LeaveAsIs, QuotaViolation, ToApiError, is_grpc, is_grpc_web,
};
pub use error_layer::{
    ErrorFuture, ErrorLayer, ErrorPolicyFuture, ErrorPolicyLayer, ErrorPolicyService, ErrorService,
    FrameworkReason,
};
#[doc(hidden)]
pub use gathered::Gathered;
pub use hold::{BodyEnd, WatchBody, hold_until_end, watch_until_end};
pub use http_response::{BytesResponse, HttpResponse, ReturnsBoxError, ReturnsSend};
pub use into_stage::{ByReference, ByValue, IntoStage};
pub use log_backoff::LogBackoff;
pub use log_sampler::LogSampler;
pub use measured::{Measured, Measurement, Metric};
pub use origin::{Origin, OriginError};
pub use personal::Personal;
pub use policy::{Allowed, BoxFuture, Chain, Decision, Description, Halt, Outcome, Policy};
pub use preflight::is_preflight;
pub use principal::Principal;
pub use public_url::PublicUrl;
#[cfg(feature = "axum")]
pub use rejection::OrApiError;
pub use request_id::RequestId;
pub use requested_uri::requested_uri;
pub use secret::Secret;
pub use set_header::{remove_header, set_header};
#[doc(hidden)]
pub use shared_body::ShareBody;
#[doc(hidden)]
pub use slab::{short_bytes, short_bytes_of};
pub use trail::{Step, Trail};
pub use unread::DiscardUnread;
#[doc(hidden)]
pub use unread::{DiscardOnDrop, discard_unread};
pub use vary::vary_by;

/// tower's trait: every policy and every layer of Palisade implements it.
pub use tower_layer::Layer;

/// Any error, as tower passes them around.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
