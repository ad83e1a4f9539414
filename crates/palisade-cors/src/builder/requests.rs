//! Settings of methods and headers.

use http::Method;

use super::{AnyHeader, CorsBuilder, owned};

impl CorsBuilder {
    /// Sets the methods that pages may use. Replaces the list. Default: GET, HEAD and POST.
    ///
    /// GET, HEAD and POST need not be listed and cannot be rejected, because browsers always allow the [CORS-safelisted
    /// methods](https://fetch.spec.whatwg.org/#cors-safelisted-method). Methods are case-sensitive.
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// Allows all methods, with `Access-Control-Allow-Methods: *`. Cannot be combined with a list, nor with credentials, with
    /// which browsers treat `*` as the name of a method
    /// ([Fetch, `Access-Control-Allow-Methods`](https://fetch.spec.whatwg.org/#http-access-control-allow-methods)).
    pub fn any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    /// Sets the request headers that pages may set. Case-insensitive. Replaces the list. Default: `content-type`, which JSON
    /// needs.
    ///
    /// The [CORS-safelisted headers](https://fetch.spec.whatwg.org/#cors-safelisted-request-header) need not be listed.
    /// `Authorization` must be listed if pages send it; if it is missing and a response is a 401, a warning is logged.
    pub fn allow_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.request_headers = owned(names).collect();
        self
    }

    /// Allows all headers, with `Access-Control-Allow-Headers: *`.
    ///
    /// `*` does not cover `Authorization`
    /// ([Fetch, CORS non-wildcard request-header name](https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name)).
    /// List it too, or omit it on purpose with [`any_header_but_authorization`](Self::any_header_but_authorization). Cannot be
    /// combined with credentials, with which browsers treat `*` as the name of a header.
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

    /// Allows all headers except `Authorization`, which is the meaning of a bare `*`.
    pub fn any_header_but_authorization(mut self) -> Self {
        self.any_header = Some(AnyHeader::ButAuthorization);
        self
    }

    /// The response headers that pages may read, beyond the
    /// [CORS-safelisted ones](https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name). Replaces the list;
    /// the default is `Retry-After`, `RateLimit`, `RateLimit-Policy`, `WWW-Authenticate` and `X-Request-Id`, so that
    /// a page can make sense of a refusal.
    pub fn expose_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.exposed = owned(names).collect();
        self
    }

    /// Allows the headers of [gRPC-web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) in addition to the lists:
    /// pages may send `x-grpc-web`, `content-type`, `grpc-timeout` and `x-user-agent`, and read `grpc-status`, `grpc-message`
    /// and `grpc-status-details-bin`.
    pub fn grpc_web(mut self) -> Self {
        self.grpc_web = true;
        self
    }
}
