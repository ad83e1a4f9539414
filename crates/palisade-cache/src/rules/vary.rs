use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

/// The fields of a request that its response depends on, by name, with their values; `None` if the request had none.
pub(crate) type Nominated = Vec<(HeaderName, Option<Bytes>)>;

/// Returns the fields of the request that `Vary` of the response nominates
/// ([RFC 9111, section 4.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.1)).
///
/// Returns `None` if no request can match: `Vary` contains `*`, or something that is not the name of a field.
pub(crate) fn nominated(request: &HeaderMap, response: &HeaderMap) -> Option<Nominated> {
    let mut nominated = Nominated::new();
    for line in response.get_all(header::VARY) {
        for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if name.is_empty() {
                continue;
            }
            if name == b"*" {
                return None;
            }
            let name = HeaderName::from_bytes(name).ok()?;
            if nominated.iter().all(|(known, _)| *known != name) {
                let value = normalized(request, &name);
                nominated.push((name, value));
            }
        }
    }
    Some(nominated)
}

/// Returns true if the request has the same values of the nominated fields as the request that the response was stored for.
pub(crate) fn matches(nominated: &Nominated, request: &HeaderMap) -> bool {
    nominated.iter().all(|(name, stored)| normalized(request, name) == *stored)
}

/// Returns the value of a field: its lines joined, without the spaces around commas. The fields of content negotiation do not
/// depend on case (RFC 9110, sections 12.5.2 to 12.5.4).
fn normalized(request: &HeaderMap, name: &HeaderName) -> Option<Bytes> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let mut value = Vec::new();
    for line in lines {
        for element in line.as_bytes().split(|byte| *byte == b',') {
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice(element.trim_ascii());
        }
    }
    let ignores_case = [header::ACCEPT_CHARSET, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
    if ignores_case.contains(name) {
        value.make_ascii_lowercase();
    }
    Some(value.into())
}
