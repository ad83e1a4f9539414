//! Authenticates and authorizes requests.
//!
//! [`Jwt`] verifies bearer tokens and inserts an [`Identity`] with your claims into the request's extensions. [`RequireRole`]
//! requires a role of that identity. Both are policies, alone or in a chain. The other credentials are [`Introspection`],
//! [`ApiKeys`], [`Sessions`] (opaque tokens in a cookie or a header, managed by [`SessionManager`]) and [`Basic`].
//! [`any_of`](palisade_core::any_of) accepts either of two. [`rules`] check scopes, tenants, owners and combinations of them.
//! [`DenyUndecided`] withholds the responses of routes without a rule.
//!
//! ```
//! use http::{Request, Response, StatusCode, header};
//! use palisade_auth::{Identity, Jwt, RequireRole, testing};
//! use palisade_core::{Policy, PolicyLayer};
//! use serde::{Deserialize, Serialize};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Claims { sub: String, exp: u64, aud: String, roles: Vec<String> }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let secret = "a signing key of at least thirty-two bytes";
//! let auth = Jwt::<Claims>::hs256(secret).audience("orders").build()?;
//!
//! let service = PolicyLayer::new(auth.then(RequireRole::any(["admin"]))).layer(service_fn(
//!     |request: Request<String>| async move {
//!         let identity: &Identity<Claims> = request.extensions().get().expect("auth ran");
//!         Ok::<_, std::convert::Infallible>(Response::new(format!("hello {}", identity.claims().sub)))
//!     },
//! ));
//!
//! // Without a token: 401 with a challenge.
//! let request = Request::get("/").body(String::new())?;
//! let refused = service.clone().oneshot(request).await?;
//! assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"api\"");
//!
//! // The token of an admin is accepted.
//! let ada = Claims { sub: "ada".into(), exp: u64::MAX / 2, aud: "orders".into(), roles: vec!["admin".into()] };
//! let token = testing::sign_hs256(secret, &ada);
//! let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(String::new())?;
//! assert_eq!(service.oneshot(request).await?.status(), StatusCode::OK);
//! # Ok(()) })
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `aws-lc` | RSA, ECDSA and EdDSA, verified by AWS-LC: the fastest backend, which needs a C compiler |
//! | `rust-crypto` | RSA, ECDSA and EdDSA, verified by the RustCrypto crates through jsonwebtoken. With both backends AWS-LC verifies. It lacks ES512 and RSA keys over 4096 bits |
//! | `axum` | [`Identity`] as an extractor: `async fn handler(identity: Identity<Claims>)` |
//! | `introspection` | [`Introspection`]: opaque tokens, verified by the issuer |
//! | `issuer` | [`TokenIssuer`]: issues tokens, rotates its keys and publishes them. RSA, ECDSA and EdDSA need a backend |
//! | `jwks` | [`Jwks`]: keys that an issuer publishes, fetched by your HTTP client. Needs a backend |
//! | `jwks-http` | [`HttpFetch`]: an HTTP client for it, whose TLS needs a C compiler |
//! | `redis` | [`RedisSessions`] and `RedisDpopReplays`: sessions and DPoP replays on several machines |
//! | `testing` | [`testing::sign_hs256`]: signs tokens for your tests |
//!
//! No feature is on by default: HMAC tokens, API keys, sessions, Basic and roles need neither a backend nor a C compiler.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod log;

mod access_token;
mod any_of;
mod api_key;
mod authenticate;
mod authorization;
#[cfg(feature = "axum")]
mod axum;
mod basic;
mod challenge;
mod cookies;
mod csrf;
mod decided;
#[cfg(any(feature = "introspection", feature = "jwks"))]
mod fetch;
mod identity;
#[cfg(feature = "introspection")]
mod introspection;
#[cfg(feature = "issuer")]
mod issuer;
#[cfg(feature = "jwks")]
mod jwks;
mod jwt;
mod login_redirect;
mod map_claims;
mod measured;
mod optional;
mod protected_resource;
mod revoked;
mod role;
pub mod rules;
mod scheme;
mod scheme_name;
mod sender;
mod session;
mod session_manager;
mod step_up;
#[cfg(feature = "testing")]
pub mod testing;

pub use api_key::{
    ApiKey, ApiKeyLookup, ApiKeyRecord, ApiKeyStore, ApiKeys, ApiKeysBuilder, InMemoryApiKeys,
    NewApiKey,
};
pub use authenticate::{Attempt, Authenticate, Pending};
pub use basic::{Basic, BasicBuilder, Password};
pub use csrf::{CsrfCheck, CsrfCheckBuilder};
pub use decided::{
    Decided, DenyUndecided, DenyUndecidedFuture, DenyUndecidedService, Public, RequireDecision,
    public, require_decision,
};
#[cfg(any(feature = "introspection", feature = "jwks"))]
pub use fetch::{Fetch, Fetched, UnexpectedStatus};
#[cfg(feature = "jwks-http")]
pub use fetch::{HttpFetch, HttpFetchBuilder};
pub use identity::Identity;
#[cfg(feature = "introspection")]
pub use introspection::{Introspection, IntrospectionBuilder};
#[cfg(feature = "issuer")]
pub use issuer::{
    IssueError, IssuedToken, KeySetService, NewToken, SigningKey, TokenIssuer, TokenIssuerBuilder,
};
#[cfg(feature = "jwks")]
pub use jwks::{Jwks, JwksBuilder, JwksError, JwksStatus, StartUp};
pub use jwt::{Algorithm, Issuer, Jwt, JwtBuilder, Keys};
pub use login_redirect::{LoginRedirect, return_to};
pub use map_claims::MapClaims;
pub use measured::METRICS;
pub use optional::Optional;
pub use protected_resource::{ProtectedResource, ProtectedResourceBuilder};
pub use revoked::{Revoked, RevokedLater};
pub use role::RequireRole;
#[cfg(all(feature = "redis", feature = "_public-keys"))]
pub use sender::RedisDpopReplays;
pub use sender::{ClientCertificates, PeerCertificate};
#[cfg(feature = "_public-keys")]
pub use sender::{Dpop, DpopReplays, InMemoryDpopReplays};
pub use session::{SessionStore, Sessions, SessionsBuilder};
#[cfg(feature = "redis")]
pub use session_manager::RedisSessions;
pub use session_manager::{
    InMemorySessions, NewSession, SameSite, SessionId, SessionManager, SessionManagerBuilder,
    SessionStorage,
};
pub use step_up::{LoginContext, StepUp, StepUpBuilder};

/// The error codes of this crate, beside [`ApiError::KINDS`](palisade_core::ApiError::KINDS).
///
/// ```
/// assert_eq!(palisade_auth::CODES[0].code, "CSRF");
/// ```
pub const CODES: &[palisade_core::ErrorCode] = &[csrf::CSRF];

use rules::Authorize;

palisade_core::impl_layer!(ApiKeys<S>, Authorize<R>, Basic<F>, CsrfCheck, Decided, Jwt<C>, LoginRedirect<A>, MapClaims<A, F>, Optional<A>, ProtectedResource, Public, RequireDecision, RequireRole, Revoked<A, F>, RevokedLater<A, F>, Sessions<S>, StepUp<C>);

#[cfg(feature = "introspection")]
palisade_core::impl_layer!(Introspection<C>);
