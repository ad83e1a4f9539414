use http::{HeaderMap, HeaderName, header};

use super::ApiError;

/// The headers that describe a body, and do not apply to another one.
pub(crate) const OF_THE_BODY: [HeaderName; 14] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_DISPOSITION,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The headers among them that describe the requested resource if an error sets them: `Content-Range` of a 416, `ETag` of a 304
/// or 412.
const OF_WHAT_WAS_ASKED_FOR: [HeaderName; 5] = [
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// Returns true for a header that describes the body that `error` replaces.
pub(crate) fn is_of_the_body(name: &HeaderName, error: &ApiError) -> bool {
    let owed = OF_WHAT_WAS_ASKED_FOR.contains(name) && error.headers().contains_key(name);
    OF_THE_BODY.contains(name) && !owed
}

/// The header fields of an error's own: content type and length, those of a gRPC status, and `Vary`.
const OWN_FIELDS: usize = 16;

/// Makes room for the headers of an error. If the response has the maximum number of fields, all of them are removed, because
/// an error without its content type or gRPC status would be another response.
pub(crate) fn make_room(response: &mut HeaderMap, error: &ApiError) {
    if response.try_reserve(OWN_FIELDS + error.headers().len()).is_err() {
        response.clear();
    }
}
