//! The pages of the guide. The tests compile and run their examples.
//!
//! [Getting started](getting_started) and [Adopt it into your service](adopt) come first; [Troubleshooting](troubleshooting) goes by
//! symptoms.
// browsers print URLs in quotes, and the guide quotes them
#![allow(rustdoc::bare_urls)]

/// Makes a module of each page. The examples of a page are tests if the features that they need are enabled.
macro_rules! pages {
    ($($name:ident: $file:literal, $($feature:literal)*;)*) => {$(
        #[cfg(any(not(doctest), all($(feature = $feature),*)))]
        #[doc = include_str!(concat!("../docs/guide/", $file))]
        #[doc = include_str!("../docs/links.html")]
        pub mod $name {}
    )*};
}

pages! {
    adopt: "adopt.md", "auth" "axum" "body" "cors" "observe" "rate-limit" "validate";
    any_of: "any-of.md", "auth" "axum";
    api_keys: "api-keys.md", "auth" "axum" "tower";
    authentication: "authentication.md", "aws-lc" "axum" "introspection" "issuer" "jwks";
    basic: "basic.md", "auth" "axum";
    bodies: "bodies.md", "axum" "body" "gzip" "tonic";
    caching: "caching.md", "auth" "axum" "cache-redis";
    client_address: "client-address.md", "axum" "rate-limit";
    cors: "cors.md", "auth" "axum" "cors";
    deny_undecided: "deny-undecided.md", "auth" "axum";
    deploying: "deploying.md", "axum" "body" "observe" "rate-limit";
    errors: "errors.md", "axum" "observe" "tonic";
    getting_started: "getting-started.md", "auth" "axum" "body" "cors" "observe" "rate-limit" "testing" "tonic" "validate";
    grpc: "grpc.md", "auth" "body" "observe" "rate-limit" "tonic" "validate";
    headers: "headers.md", "axum" "cors" "headers" "rate-limit";
    idempotency: "idempotency.md", "auth" "axum" "idempotency-redis";
    jwks: "jwks.md", "axum" "jwks";
    observability: "observability.md", "auth" "axum" "observe" "rate-limit";
    openapi: "openapi.md", "aide" "auth" "axum" "openapi";
    rate_limits: "rate-limits.md", "axum" "calendar" "rate-limit-redis";
    redis: "redis.md", "axum" "idempotency-redis" "rate-limit-redis" "sessions-redis" "webhook-redis";
    rules: "rules.md", "auth" "axum";
    sessions: "sessions.md", "auth" "axum" "sessions-redis";
    tenants: "tenants.md", "auth" "axum" "testing";
    troubleshooting: "troubleshooting.md", "axum";
    validation: "validation.md", "axum" "multipart" "schemars";
    webhooks: "webhooks.md", "axum" "webhook-redis";
    writing_a_policy: "writing-a-policy.md", "axum" "testing" "tower";
}

// Its blocks are parts of the example `nextjs_port`, whose tests compare them.
#[cfg(not(doctest))]
#[doc = include_str!("../docs/guide/nextjs.md")]
#[doc = include_str!("../docs/links.html")]
pub mod nextjs {}
