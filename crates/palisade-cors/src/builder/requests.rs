//! What pages may send, and what they may read of a response.

use http::Method;

use super::{AnyHeader, CorsBuilder, owned};

impl CorsBuilder {
    /// The methods that pages may use. Replaces the list; the default is GET, HEAD and POST.
    ///
    /// GET, HEAD and POST need not be listed, nor can they be refused: browsers let pages use the
    /// [CORS-safelisted methods](https://fetch.spec.whatwg.org/#cors-safelisted-method) without being told. Methods
    /// are case-sensitive.
    ///
    /// ```
    /// use http::Method;
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_methods([Method::PUT, Method::PATCH, Method::DELETE])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// Lets pages use every method, with `Access-Control-Allow-Methods: *`. Cannot be combined with a list, nor with
    /// credentials, where browsers take `*` for a method's name
    /// ([Fetch, `Access-Control-Allow-Methods`](https://fetch.spec.whatwg.org/#http-access-control-allow-methods)).
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_method().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    /// The request headers that pages may set, in upper or lower case. Replaces the list; the default is
    /// `content-type`, which is what JSON takes.
    ///
    /// The few [CORS-safelisted headers](https://fetch.spec.whatwg.org/#cors-safelisted-request-header) need not be
    /// listed. `Authorization` must be, if pages send it; where a page is answered 401 with a challenge that it cannot
    /// meet, a warning in the log says so.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_headers(["Authorization", "Content-Type", "Idempotency-Key"])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn allow_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.request_headers = owned(names).collect();
        self
    }

    /// Lets pages set every header, with `Access-Control-Allow-Headers: *`.
    ///
    /// The one header that `*` does not cover is `Authorization`
    /// ([Fetch, CORS non-wildcard request-header name](https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name)).
    /// So it must be listed besides, or left out on purpose with
    /// [`any_header_but_authorization`](Self::any_header_but_authorization). Cannot be combined with credentials, where
    /// browsers take `*` for a header's name.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_header().allow_headers(["Authorization"]).build()?;
    /// assert!(Cors::builder().any_origin().any_header().build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_header(mut self) -> Self {
        self.any_header = Some(AnyHeader::Authorization);
        self
    }

    /// Lets pages set every header save `Authorization`: what a bare `*` means to browsers.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::builder().any_origin().any_header_but_authorization().build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn any_header_but_authorization(mut self) -> Self {
        self.any_header = Some(AnyHeader::ButAuthorization);
        self
    }

    /// The response headers that pages may read, beyond the
    /// [CORS-safelisted ones](https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name). Replaces the list;
    /// the default is `Retry-After`, `RateLimit`, `RateLimit-Policy`, `WWW-Authenticate` and `X-Request-Id`, so that
    /// a page can make sense of a refusal.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .expose_headers(["ETag", "Retry-After", "X-Request-Id"])
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn expose_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.exposed = owned(names).collect();
        self
    }

    /// What pages that call [gRPC-web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) services need, on
    /// top of what is listed: they may send `x-grpc-web`, `content-type`, `grpc-timeout` and `x-user-agent`, and read
    /// `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
    ///
    /// ```
    /// use palisade_cors::Cors;
    ///
    /// let cors = Cors::allow_origins(["https://app.example.com"])
    ///     .allow_headers(["Authorization"])
    ///     .grpc_web()
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn grpc_web(mut self) -> Self {
        self.grpc_web = true;
        self
    }
}
