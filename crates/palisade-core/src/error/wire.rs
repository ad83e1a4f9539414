use http::{HeaderMap, HeaderValue, header};

/// The protocol of a gRPC request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/2: trailers only, which are one HEADERS frame.
    Native,
    /// gRPC-web: trailers are the last frame of the body.
    Web,
    /// gRPC-web for clients that cannot read bytes: the same in base64.
    WebText,
}

impl Wire {
    /// Returns the protocol of a request. gRPC is `application/grpc`, followed by the end, `+` or `;`. For gRPC-web `Accept`,
    /// if present, selects the encoding of the response.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let sent = Self::of_media_type(headers.get(header::CONTENT_TYPE)?)?;
        let accepted = || headers.get(header::ACCEPT).and_then(Self::of_media_type);
        match sent {
            Self::Native => Some(Self::Native),
            web => Some(accepted().filter(|wire| *wire != Self::Native).unwrap_or(web)),
        }
    }

    pub(crate) fn of_media_type(value: &HeaderValue) -> Option<Self> {
        // The longer names first: each begins with the next.
        let known = [
            ("application/grpc-web-text", Self::WebText),
            ("application/grpc-web", Self::Web),
            ("application/grpc", Self::Native),
        ];
        known.into_iter().find_map(|(name, wire)| {
            let (start, rest) = value.as_bytes().split_at_checked(name.len())?;
            let fits = start.eq_ignore_ascii_case(name.as_bytes())
                && matches!(rest.first(), None | Some(b'+' | b';' | b',' | b' '));
            fits.then_some(wire)
        })
    }

    pub(super) fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        })
    }
}

/// Returns true for the headers of a gRPC message: `application/grpc`, followed by the end, `+` or `;`. For gRPC-web see
/// [`is_grpc_web`].
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use palisade_core::{is_grpc, is_grpc_web};
///
/// let of = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
/// assert!(is_grpc(&of("application/grpc+proto")) && !is_grpc(&of("application/grpc-web")));
/// assert!(is_grpc_web(&of("application/grpc-web-text")) && !is_grpc_web(&of("application/grpc")));
/// ```
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(Wire::of_media_type) == Some(Wire::Native)
}

/// True if a message with these headers is one of gRPC-web, in bytes or in base64.
pub fn is_grpc_web(headers: &HeaderMap) -> bool {
    let wire = headers.get(header::CONTENT_TYPE).and_then(Wire::of_media_type);
    matches!(wire, Some(Wire::Web | Wire::WebText))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(content_type: &'static str, accept: Option<&'static str>) -> Option<Wire> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        Wire::from_headers(&headers)
    }

    #[test]
    fn detects_grpc_media_types() {
        for (content_type, is) in [
            ("application/grpc", Some(Wire::Native)),
            ("application/grpc+proto", Some(Wire::Native)),
            ("application/grpc;x=y", Some(Wire::Native)),
            ("Application/gRPC", Some(Wire::Native)),
            ("application/grpc-web", Some(Wire::Web)),
            ("application/grpc-web+proto", Some(Wire::Web)),
            ("application/grpc-web-text", Some(Wire::WebText)),
            ("application/grpc-web-text+proto", Some(Wire::WebText)),
            ("application/grpcs", None),
            ("application/grpc-websocket", None),
            ("application/grpc-web-textual", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(wire(content_type, None), is, "{content_type}");
        }
        assert_eq!(Wire::from_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn accept_selects_the_grpc_web_encoding() {
        let text = Some("application/grpc-web-text");
        assert_eq!(wire("application/grpc-web", text), Some(Wire::WebText));
        let binary = Some("application/grpc-web+proto");
        assert_eq!(wire("application/grpc-web-text", binary), Some(Wire::Web));
        for other in [None, Some("*/*"), Some("application/grpc")] {
            assert_eq!(wire("application/grpc-web-text", other), Some(Wire::WebText), "{other:?}");
        }
        assert_eq!(wire("application/grpc", text), Some(Wire::Native));
        assert_eq!(wire("application/json", text), None);
    }
}
