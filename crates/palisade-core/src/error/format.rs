use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request};

use super::ApiError;

/// The format of errors. gRPC requests always get gRPC errors.
///
/// | format | body |
/// | --- | --- |
/// | envelope | `{"error":{"code":"…","message":"…","field":"…","issues":[…],"request_id":"…"}}` |
/// | flat | `{"error":"…","code":"…","field":"…","issues":[…],"request_id":"…"}` |
/// | problem | RFC 9457, `application/problem+json`, with `code`, `field` and `issues` as extension members, `violated-policies` of a used-up quota, and the request id in `instance` |
/// | text | the message, the issues, the code, the field and the request id, a line each |
/// | HTML | a page with the same content, for people |
/// | custom | your function |
///
/// [`ErrorLayer::negotiated`](crate::ErrorLayer::negotiated) lets each client choose.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ErrorFormat {
    /// Everything inside one `error` object.
    #[default]
    Envelope,
    /// Message and code side by side.
    Flat,
    /// Problem details for HTTP APIs, RFC 9457.
    Problem,
    /// Plain text, for `curl` and for people.
    Text,
    /// A page without style, script or anything to load.
    Html,
    /// Your function; see [`ErrorFormat::custom`].
    Custom(Custom),
}

/// A format of the user's own.
#[derive(Clone)]
pub struct Custom(Arc<Render>);

type Render = dyn Fn(&ApiError, &request::Parts) -> Response<Bytes> + Send + Sync;

impl Custom {
    pub(crate) fn render(&self, error: &ApiError, request: &request::Parts) -> Response<Bytes> {
        (self.0)(error, request)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl ErrorFormat {
    /// Calls `render` for each error. The function sets the status, the body and the headers that describe the body.
    ///
    /// Headers of the error (a challenge, `Retry-After`, `Cache-Control: no-store`) and of policies (CORS, security) are always
    /// added. If the function sets a field of the same name, fields that may be repeated (`Vary`, `Set-Cookie`,
    /// `WWW-Authenticate`, `Link`, `Content-Security-Policy`, `Server-Timing`) are appended, and others replace it.
    ///
    /// The head of each request is copied for the function, which takes about as long as a small policy.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use palisade_core::{ErrorFormat, ErrorLayer};
    ///
    /// let plain = ErrorFormat::custom(|error, request| {
    ///     let text = format!("{} {}: {}", request.method, request.uri.path(), error.message());
    ///     Response::builder().status(error.status()).body(Bytes::from(text)).unwrap_or_default()
    /// });
    /// let layer = ErrorLayer::new().format(plain);
    /// ```
    pub fn custom<F>(render: F) -> Self
    where
        F: Fn(&ApiError, &request::Parts) -> Response<Bytes> + Send + Sync + 'static,
    {
        Self::Custom(Custom(Arc::new(render)))
    }

    /// Returns the media type of the body. Empty for a custom format.
    pub(crate) fn media_type(&self) -> &'static str {
        match self {
            Self::Envelope | Self::Flat => "application/json",
            Self::Problem => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Custom(_) => "",
        }
    }
}

impl fmt::Debug for ErrorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "Envelope",
            Self::Flat => "Flat",
            Self::Problem => "Problem",
            Self::Text => "Text",
            Self::Html => "Html",
            Self::Custom(_) => "Custom",
        })
    }
}
