//! Recognises errors of axum, and distinguishes them from responses of handlers.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Extensions, StatusCode, header, response};

use crate::{AnsweredByPolicy, ApiError, GrpcCode, error::METHOD_NOT_ALLOWED};

/// The most bytes of text that are taken for the reason of a rejection.
pub(super) const MAX_TEXT: u64 = 16 * 1024;

/// The most bytes of a reason that a client gets to see.
const MAX_REASON: usize = 1024;

/// Whether clients see the reason of a rejection by axum. It is logged in both cases.
///
/// See [`ErrorLayer::framework_errors_by`](super::ErrorLayer::framework_errors_by).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameworkReason {
    /// The reason is the message of the error.
    Show,
    /// The message is that of the error's kind, such as "the request is malformed".
    Hide,
}

/// The framework errors that are rendered.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "axum"), allow(dead_code))] // the setters are axum's
pub(super) enum FrameworkErrors {
    #[default]
    None,
    /// The default selection for axum.
    OfAxum,
    Chosen(Arc<dyn Fn(StatusCode) -> Option<FrameworkReason> + Send + Sync>),
}

impl fmt::Debug for FrameworkErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::OfAxum => "OfAxum",
            Self::Chosen(_) => "Chosen",
        })
    }
}

impl FrameworkErrors {
    pub(super) fn are_rendered(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns true if a 404 or 405 without a body is rendered.
    fn without_text(&self, status: StatusCode) -> bool {
        match self {
            Self::None => false,
            Self::OfAxum => true,
            Self::Chosen(choose) => choose(status).is_some(),
        }
    }

    /// Returns how a text response is rendered. `None` if it is not.
    fn with_text(&self, status: StatusCode) -> Option<FrameworkReason> {
        match self {
            Self::None => None,
            Self::OfAxum => match status {
                StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::UNPROCESSABLE_ENTITY => Some(FrameworkReason::Show),
                // A mistake in the service, whose text shows the names of its types.
                StatusCode::INTERNAL_SERVER_ERROR => Some(FrameworkReason::Hide),
                _ => None,
            },
            Self::Chosen(choose) => choose(status),
        }
    }

    /// Looks at the head of a response that carries no [`ApiError`]. `length` is that of its body, if it is known.
    pub(super) fn judge(
        &self,
        head: &response::Parts,
        length: Option<u64>,
        routed: bool,
    ) -> Option<Verdict> {
        let made_on_purpose = head.extensions.get::<AnsweredByPolicy>().is_some()
            || head.headers.contains_key(header::CONTENT_ENCODING);
        if made_on_purpose {
            return None;
        }
        let content_type = head.headers.get(header::CONTENT_TYPE);
        match (head.status, content_type, length?) {
            (status @ StatusCode::NOT_FOUND, None, 0) if !routed && self.without_text(status) => {
                // An unknown gRPC method is UNIMPLEMENTED; methods use NOT_FOUND for missing resources.
                let error = ApiError::not_found().with_grpc_code(GrpcCode::Unimplemented);
                Some(Verdict::Error(error))
            }
            // axum writes `Allow` outside of the layers of a route; layers further out see it on the response.
            (status @ StatusCode::METHOD_NOT_ALLOWED, None, 0)
                if (routed || head.headers.contains_key(header::ALLOW))
                    && self.without_text(status) =>
            {
                Some(Verdict::Error(METHOD_NOT_ALLOWED.into()))
            }
            (status, Some(content_type), 1..=MAX_TEXT)
                if (status.is_client_error() || status.is_server_error())
                    && content_type == "text/plain; charset=utf-8" =>
            {
                let error = ApiError::of_status(status)?;
                self.with_text(status).map(|reason| Verdict::Text(error, reason))
            }
            _ => None,
        }
    }
}

/// The classification of a response by its head.
pub(super) enum Verdict {
    Error(ApiError),
    /// An error whose reason is the text of the body.
    Text(ApiError, FrameworkReason),
}

/// Returns true if axum has found a route before this layer, which layers of a `Router` can see.
pub(super) fn is_routed(request: &Extensions) -> bool {
    #[cfg(feature = "axum")]
    let routed = request.get::<axum::extract::MatchedPath>().is_some();
    #[cfg(not(feature = "axum"))]
    let (routed, _) = (false, request);
    routed
}

/// Adds the reason to an error: for the log, and for the client where it may see it.
pub(super) fn with_reason(error: ApiError, text: &Bytes, reason: FrameworkReason) -> ApiError {
    let text = String::from_utf8_lossy(text);
    let error = match reason {
        FrameworkReason::Show => error.with_message(short(&text).to_owned()),
        FrameworkReason::Hide => error,
    };
    error.with_source(text.into_owned())
}

/// Returns as much of a text as a message has room for.
pub(crate) fn short(text: &str) -> &str {
    let text = text.trim();
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
