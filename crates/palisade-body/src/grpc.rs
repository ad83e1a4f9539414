//! What gRPC says in header fields.

use http::{HeaderMap, header};

/// True for `application/grpc` followed by the end, `+` or `;`. gRPC-web is another protocol.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().split_at_checked(b"application/grpc".len()))
        .is_some_and(|(media_type, rest)| {
            media_type.eq_ignore_ascii_case(b"application/grpc")
                && matches!(rest.first(), None | Some(b'+' | b';'))
        })
}
