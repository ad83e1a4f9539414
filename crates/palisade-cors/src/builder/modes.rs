//! How preflights are answered, and what else a configuration allows.

use std::time::Duration;

use http::StatusCode;

use super::CorsBuilder;
use crate::Cors;

impl CorsBuilder {
    /// Lets pages of the listed origins read responses to requests with cookies, client certificates or HTTP
    /// authentication ([Fetch, CORS protocol and credentials](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)).
    /// Off by default.
    ///
    /// A token that a page puts into `Authorization` itself does not need it: list that header instead. With
    /// credentials, an origin must be https, or on the machine itself (`localhost`, `127.0.0.1`, `[::1]`): any other
    /// http page can be forged by an attacker on the network.
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

    /// How long browsers may remember the answer to a preflight, in whole seconds and 24 hours at most. Zero: not at
    /// all. Without it, browsers take 5 seconds
    /// ([Fetch, `Access-Control-Max-Age`](https://fetch.spec.whatwg.org/#http-access-control-max-age)).
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .max_age(Duration::from_secs(7200))
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Accepts plain http origins with credentials. Whoever sits on the network between can then read, as the user,
    /// whatever the user can.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["http://intranet.example.com"])
    ///     .allow_credentials(true)
    ///     .insecure_allow_credentials_over_http()
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn insecure_allow_credentials_over_http(mut self) -> Self {
        self.forgeable_credentials = true;
        self
    }

    /// Answers `Access-Control-Allow-Private-Network: true` to a preflight that asks for it with
    /// `Access-Control-Request-Private-Network: true`. Off by default.
    ///
    /// Private Network Access was never a part of Fetch and is given up: newer browsers ask the user
    /// ([Local Network Access](https://wicg.github.io/local-network-access/)) and not the server. Only for browsers
    /// that still ask, and only for origins that nobody can forge.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).allow_private_network(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
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

    /// The status of a refused preflight: 403, or 204 where refusals must not count as errors. It has no CORS headers
    /// either way, and that is what refuses.
    ///
    /// ```
    /// use http::StatusCode;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .refused_preflight_status(StatusCode::NO_CONTENT)
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn refused_preflight_status(mut self, status: StatusCode) -> Self {
        self.refusal_status = status;
        self
    }

    /// Adds to the `Vary` of preflights what their answers depend on besides the origin, for a CDN that caches OPTIONS
    /// although it must not (RFC 9110, section 9.3.7). Browsers keep preflights in a cache of their own, for which
    /// `Vary` means nothing.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).vary_preflights(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn vary_preflights(mut self, vary: bool) -> Self {
        self.preflights_in_caches = vary;
        self
    }

    /// Answers 403 with code `ORIGIN_NOT_ALLOWED` to every request whose `Origin` is not listed, before the service
    /// runs. Off by default: a refused page cannot read the response, but the service has run.
    ///
    /// It is what keeps foreign pages from WebSockets, whose handshake
    /// [is not under CORS](https://websockets.spec.whatwg.org/#websocket-opening-handshake): any page may open one, with
    /// the user's cookies, and read. Requests without an `Origin` pass, for they come from no page of another origin.
    /// Browsers send an `Origin` from pages of the service's own origin too, with a POST or a WebSocket: list the own
    /// origin if there are such pages.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com", "https://api.example.com"]).strict(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Says why: refusals are logged as warnings, and carry the reason in `X-Cors-Refused`, which the browser's network
    /// panel shows. A preflight from a listed origin that asks for too much keeps the CORS headers it got so far, so that
    /// the console names what was not listed.
    ///
    /// For development. Whoever asks learns what is listed; who may read stays the same.
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
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"]).keep_service_headers(true).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn keep_service_headers(mut self, keep: bool) -> Self {
        self.keeps_service_headers = keep;
        self
    }

    /// Gives a path, and every path below it, a configuration of its own, which replaces this one there. The longest
    /// path counts. It stays live: what [its handle](Cors::handle) changes, changes here. Paths that it has itself do not
    /// count.
    ///
    /// A router can also have a layer for each route instead; this is for one that stands outside of it, as in a
    /// `stack()`, where refusals of all kinds pass through. Paths are compared as they were sent. One that a router could
    /// read in two ways (`/%61dmin`, `//admin`, `/public/../admin`, `%2F` in it) belongs to no configuration: its
    /// responses have no CORS headers. Write the whole path, also for a policy inside of axum's `Router::nest`: it compares
    /// the path that the client requested (with the feature `axum`).
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
