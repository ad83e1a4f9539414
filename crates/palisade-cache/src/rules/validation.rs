use http::{HeaderMap, HeaderName, header};

use super::{directives::Directives, fields::remove_unstorable};
use crate::preconditions::EntityTag;

/// The conditions that a client may set on a request for itself.
const CONDITIONS: [HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
];

/// Replaces the client's conditions by those of the stored response
/// ([RFC 9111, section 4.3.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1)).
///
/// Returns false if the stored response has no validator: the request is then unconditional.
pub(crate) fn make_conditional(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    for name in &CONDITIONS {
        request.remove(name);
    }
    let mut is_conditional = false;
    for (name, validator) in
        [(header::IF_NONE_MATCH, header::ETAG), (header::IF_MODIFIED_SINCE, header::LAST_MODIFIED)]
    {
        if let Some(value) = stored.get(validator) {
            is_conditional |= request.try_insert(name, value.clone()).is_ok();
        }
    }
    is_conditional
}

/// Fields that describe the stored content. A 304 does not change them (section 3.2).
const OF_THE_CONTENT: [&str; 5] =
    ["content-encoding", "content-length", "content-md5", "content-range", "etag"];

/// Updates the fields of a stored response from a 304
/// ([section 4.3.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4)). `update` has the fields of the 304 without those
/// that are not stored.
///
/// Returns false, and changes nothing, if the 304 is about another representation.
pub(crate) fn freshen(
    stored: &mut HeaderMap,
    update: &HeaderMap,
    directives: &Directives,
    kept: &[HeaderName],
) -> bool {
    let tag = |headers: &HeaderMap| headers.get(header::ETAG).and_then(EntityTag::from_header);
    if let (Some(own), Some(other)) = (tag(stored), tag(update))
        && !own.matches_weakly(&other)
    {
        return false;
    }
    let mut update = update.clone();
    remove_unstorable(&mut update, directives, kept);
    // Its age is that of the validated response now.
    stored.remove(header::AGE);
    for name in update.keys().filter(|name| !OF_THE_CONTENT.contains(&name.as_str())) {
        stored.remove(name);
        for value in update.get_all(name) {
            let _ = stored.try_append(name.clone(), value.clone());
        }
    }
    true
}
