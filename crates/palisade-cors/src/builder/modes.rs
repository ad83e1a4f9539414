//! Settings of preflights, credentials and modes.

use std::time::Duration;

use http::StatusCode;

use super::CorsBuilder;
use crate::Cors;

impl CorsBuilder {
    /// Allows pages of the listed origins to read responses to requests with cookies, client certificates or HTTP
    /// authentication ([Fetch, CORS protocol and credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)).
    /// Default: false.
    ///
    /// A token that a page's script puts into `Authorization` does not need it: list that header instead. With credentials, an
    /// origin must be https or on this machine (`localhost`, `127.0.0.1`, `[::1]`), because an attacker on the network can
    /// forge other http pages.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com", "http://localhost:3000"])
    ///     .allow_credentials(true)
    ///     .build()?;
    /// assert!(Cors::allow_origins(["http://app.example.com"]).allow_credentials(true).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Sets how long browsers may cache a preflight, in whole seconds up to 24 hours. Zero disables the cache. Default: none,
    /// which browsers treat as 5 s
    /// ([Fetch, `Access-Control-Max-Age`](https://fetch.spec.whatwg.org/#http-access-control-max-age)).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Accepts plain http origins with credentials. An attacker on the network can then read everything that the user can.
    pub fn insecure_allow_credentials_over_http(mut self) -> Self {
        self.forgeable_credentials = true;
        self
    }

    /// Answers `Access-Control-Allow-Private-Network: true` to a preflight that asks for it with
    /// `Access-Control-Request-Private-Network: true`. Off by default.
    ///
    /// Private Network Access is not part of Fetch and is discontinued: newer browsers ask the user ([Local Network
    /// Access](https://wicg.github.io/local-network-access/)) instead of the server. For older browsers, and only for origins
    /// that cannot be forged.
    pub fn allow_private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }

    /// The status of a granted preflight, an [ok status](https://fetch.spec.whatwg.org/#ok-status): 204 unless a proxy
    /// or an old browser wants 200.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).success_status(StatusCode::OK).build()?;
    /// assert!(Cors::allow_origins(["https://b.example"]).success_status(StatusCode::FOUND).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn success_status(mut self, status: StatusCode) -> Self {
        self.success_status = status;
        self
    }

    /// Sets the status of a rejected preflight: 403, or 204 if rejections must not count as errors. Browsers reject it because
    /// it has no CORS headers. Default: 403.
    pub fn refused_preflight_status(mut self, status: StatusCode) -> Self {
        self.refusal_status = status;
        self
    }

    /// Adds the request headers of preflights to their `Vary`, for a CDN that caches OPTIONS although it must not (RFC 9110,
    /// section 9.3.7). The preflight cache of browsers ignores `Vary`. Default: false.
    pub fn vary_preflights(mut self, vary: bool) -> Self {
        self.preflights_in_caches = vary;
        self
    }

    /// Rejects every request whose `Origin` is not listed with 403 and the code `ORIGIN_NOT_ALLOWED`, before the service runs.
    /// Default: false; the page cannot read the response, but the service runs.
    ///
    /// It protects WebSockets, whose handshake [is not covered by
    /// CORS](https://websockets.spec.whatwg.org/#websocket-opening-handshake): any page may open one with the user's cookies
    /// and read it. Requests without an `Origin` are allowed, because they do not come from pages of other origins. Browsers
    /// also send an `Origin` with POST requests and WebSockets of the service's own pages: list the own origin if there are
    /// any.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Logs rejections as warnings, and adds the reason in `X-Cors-Refused`, which the browser's network panel shows. A
    /// rejected preflight of a listed origin has the CORS headers of the allowed values, so that the console names the missing
    /// one.
    ///
    /// For development: it reveals the configuration to clients. The decisions do not change. Default: false.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).debug(cfg!(debug_assertions)).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Leaves the CORS headers of a response alone if the service has written `Access-Control-Allow-Origin` itself: a
    /// part of it that has its own configuration already. Off by default, and then they are taken off.
    ///
    /// Preflights do not get that far; the answer to them is this policy's.
    pub fn keep_service_headers(mut self, keep: bool) -> Self {
        self.keeps_service_headers = keep;
        self
    }

    /// Uses another configuration for a path and all paths below it. The longest path applies. Changes by [its
    /// handle](Cors::handle) take effect here too. Its own paths are ignored.
    ///
    /// Use it for a layer outside the router, as in a `stack()`, which also handles rejections; a router can have a layer for
    /// each route instead. Paths are compared as sent. A path that routers could interpret in two ways (`/%61dmin`, `//admin`,
    /// `/public/../admin`, `%2F`) has no configuration, and its responses have no CORS headers. Write the whole path, also
    /// inside axum's `Router::nest`: with the feature `axum` the path of the client's request is compared.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let public = Cors::builder().any_origin().build()?;
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_credentials(true)
    ///     .on_path("/public", &public)
    ///     .on_path("/internal", &Cors::same_origin_only())
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn on_path(mut self, path: impl Into<String>, cors: &Cors) -> Self {
        self.paths.push((path.into(), cors.clone()));
        self
    }
}
