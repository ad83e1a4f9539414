use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};

/// Returns true if the response to this request invalidates what is stored for its URI
/// ([RFC 9111, section 4.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.4)): the method is not safe (methods that
/// RFC 9110, section 9.2.1, does not define are not), and the response is no error.
pub(crate) fn invalidates(method: &Method, status: StatusCode) -> bool {
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || method.as_str() == "QUERY"
        || *method == Method::CONNECT;
    !is_safe && (status.is_success() || status.is_redirection())
}

/// Returns the path and query of the URI in `Location` or `Content-Location`, if it has the origin of the request: no response
/// may invalidate what another origin stores.
pub(crate) fn same_origin_target(
    response: &HeaderMap,
    field: &HeaderName,
    host: &str,
    path_and_query: &str,
) -> Option<String> {
    let text = response.get(field)?.to_str().ok()?;
    if text.is_empty() {
        return Some(path_and_query.to_owned());
    }
    if let Some(absolute) = text.split_once("://").map(|_| text).or(text.strip_prefix("//")) {
        let absolute = if absolute.contains("://") {
            absolute.to_owned()
        } else {
            format!("http://{absolute}")
        };
        let uri: Uri = absolute.parse().ok()?;
        let is_own = uri.authority().is_some_and(|other| other.as_str().eq_ignore_ascii_case(host));
        return is_own.then(|| path_of(&uri));
    }
    let path = path_and_query.split('?').next().unwrap_or_default();
    let text = text.split('#').next().unwrap_or_default();
    let resolved = if text.starts_with('/') {
        text.to_owned()
    } else if text.starts_with('?') {
        format!("{path}{text}")
    } else {
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        format!("{folder}{text}")
    };
    Some(without_dots(&resolved))
}

fn path_of(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned()
}

/// Removes `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_with_folder = false;
    for segment in path.split('/').skip(1) {
        ends_with_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut resolved = format!("/{}", segments.join("/"));
    if ends_with_folder && !resolved.ends_with('/') {
        resolved.push('/');
    }
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    resolved
}

/// The fields that name further resources that a response changed.
pub(crate) const CHANGED: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];
