//! The routes and the layers around them: what `middleware.ts` and the wrappers of handlers did.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode},
    routing::get,
};
use palisade::{
    ApiError, ConfigError, Envelope, ErrorLayer, TrustedProxies,
    auth::Jwt,
    body::{BodyLimit, ByteSize, Deadline},
    cors::Cors,
    headers::SecurityHeaders,
    observe::{Observe, RequestSpan},
    rate_limit::{Quota, RateLimit},
    stack,
};

use crate::{
    config::Config,
    content, forms,
    items::{self, Items},
    pages,
    users::{self, Claims},
    webhooks,
};

async fn search() -> Envelope<[&'static str; 1]> {
    Envelope::new(["lamp"])
}

/// `Ratelimit.slidingWindow(10, "10 s")`, by address before the login is checked, and by user after it.
fn limited_routes(auth: &Jwt<Claims>) -> Result<Router, ConfigError> {
    let quota = Quota::per(10, Duration::from_secs(10));
    let by_address = RateLimit::per_address(quota.clone().named("address")).build()?;
    let by_user = RateLimit::per_principal(quota.named("user")).build()?;
    let limits = stack().rate_limit(&by_address).auth(auth).rate_limit(&by_user);
    Ok(Router::new().route("/api/search", get(search).layer(limits)))
}

/// Answers OPTIONS, as Next.js does, and rejects other methods. axum adds `Allow` in both cases.
async fn other_method(method: Method) -> StatusCode {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    }
}

/// Says whether the process can serve requests: asks the database, for example.
async fn ready() -> Result<&'static str, ApiError> {
    let database_is_up = true;
    if database_is_up { Ok("ready\n") } else { Err(ApiError::unavailable()) }
}

pub(crate) fn app(config: &Config) -> Result<Router, ConfigError> {
    let auth = users::auth(config)?;
    // The networks of your load balancer: `X-Forwarded-For` is believed from them only.
    let proxies = TrustedProxies::networks(["127.0.0.0/8"]).build()?;
    let cors = Cors::builder()
        .allow_origin(&config.app_origin)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(["authorization", "content-type"])
        .expose_headers(["deprecation", "sunset", "link"])
        .allow_credentials(true)
        .max_age(Duration::from_secs(600))
        .build()?;
    let security = SecurityHeaders::api().build()?;
    let size_limit = BodyLimit::new(ByteSize::parse("1mb")?).overridable();
    let deadline = Deadline::new(Duration::from_secs(10)).idle(Duration::from_secs(30));

    let routes = Router::new()
        .merge(items::routes(Items::new(), &auth)?)
        .merge(users::routes(&auth)?)
        .merge(forms::routes()?)
        .merge(content::routes(&auth, &proxies)?)
        .merge(pages::routes(config)?)
        .merge(webhooks::routes(config)?)
        .merge(limited_routes(&auth)?)
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(other_method)
        // `sizeLimit` replaces the 2 MB of axum's extractors.
        .layer(DefaultBodyLimit::disable())
        .layer(
            stack()
                .client_ip(&proxies)
                .observe(Observe::new())
                .layer(RequestSpan)
                .errors(ErrorLayer::new().framework_errors())
                .security_headers(&security)
                .cors(&cors)
                .timeout(deadline)
                .body_limit(size_limit),
        );
    // Outside of all layers: without limits, and not in the log.
    let probes =
        Router::new().route("/health", get(|| async { "ok\n" })).route("/ready", get(ready));
    Ok(probes.merge(routes))
}
