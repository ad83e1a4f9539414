use foldhash::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{allowlist::sole_value, refusal::Refusal};

/// Browsers send none; a proxy that joins or edits lists may leave a few.
const MAX_EMPTY_ELEMENTS: usize = 16;

/// Browsers send none; a proxy that joins lines writes one. On each side of a name.
const MAX_PADDING: usize = 2;

/// The maximum length of a list if all headers are allowed, more than browsers send.
const MAX_BYTES_OF_ANY: usize = 8 * 1024;

/// The headers that a page may send, and the reader of `Access-Control-Request-Headers`.
#[derive(Debug)]
pub(crate) enum RequestHeaders {
    Listed(ListedHeaders),
    /// Every header. `Authorization` is not one of them and must be allowed by its name
    /// ([Fetch, CORS non-wildcard request-header name](https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name)).
    Any {
        authorization: bool,
    },
}

impl RequestHeaders {
    /// The `Access-Control-Allow-Headers` that answers this preflight; none if it asks for none.
    pub(crate) fn answer_to(&self, request: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        match self {
            Self::Listed(listed) => listed.answer_to(request),
            Self::Any { authorization } => answer_with_any(*authorization, request),
        }
    }

    pub(crate) fn include_authorization(&self) -> bool {
        match self {
            Self::Listed(listed) => listed.names.contains(&b"authorization"[..]),
            Self::Any { authorization } => *authorization,
        }
    }
}

/// Answers with `*`. The requested headers are searched only for `Authorization`, which `*` does not cover: a rejection is
/// clearer than a `*` that the browser does not accept.
fn answer_with_any(
    authorization: bool,
    request: &HeaderMap,
) -> Result<Option<HeaderValue>, Refusal> {
    let mut asks = false;
    let mut bytes_left = MAX_BYTES_OF_ANY;
    for line in request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        asks = true;
        spend(&mut bytes_left, line.len() + 1).ok_or(Refusal::TooManyHeaders)?;
        let mut names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if !authorization && names.any(|name| name.eq_ignore_ascii_case(b"authorization")) {
            return Err(Refusal::Authorization);
        }
    }
    let answer = if authorization { "*,authorization" } else { "*" };
    Ok(asks.then(|| HeaderValue::from_static(answer)))
}

/// These headers, and no others.
///
/// A browser names each header once ([Fetch, CORS-unsafe request-header
/// names](https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names)), so the longest valid list contains all listed
/// names. Longer lists are rejected unread.
#[derive(Debug)]
pub(crate) struct ListedHeaders {
    /// In lower case.
    names: HashSet<Box<[u8]>>,
    max_bytes: usize,
}

impl ListedHeaders {
    pub(crate) fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: HashSet<Box<[u8]>> =
            names.into_iter().map(|name| name.as_str().as_bytes().into()).collect();
        let elements = names.len() + MAX_EMPTY_ELEMENTS;
        let separated = 1 + 2 * MAX_PADDING;
        let max_bytes = names.iter().map(|name| name.len()).sum::<usize>() + elements * separated;
        Self { names, max_bytes }
    }

    fn answer_to(&self, request: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        match self.echo(request) {
            Some(answer) => Ok(Some(answer)),
            None => self.rewritten(request),
        }
    }

    /// Returns the request's value if it has the form that browsers send: one line of listed names in lower case without
    /// spaces.
    fn echo(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let line = sole_value(request, header::ACCESS_CONTROL_REQUEST_HEADERS)?;
        if line.len() > self.max_bytes {
            return None;
        }
        let mut names_left = self.names.len();
        for name in line.as_bytes().split(|byte| *byte == b',') {
            spend(&mut names_left, 1)?;
            self.names.get(name)?;
        }
        Some(line.clone())
    }

    fn rewritten(&self, request: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut bytes_left = self.max_bytes;
        let mut names_left = self.names.len();
        let mut empty_left = MAX_EMPTY_ELEMENTS;
        let mut answer = Vec::new();
        for line in request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            // Each line costs a byte more than it has, as each comma does, so that empty lines are not free.
            spend(&mut bytes_left, line.len() + 1).ok_or(Refusal::TooManyHeaders)?;
            for element in line.as_bytes().split(|byte| *byte == b',') {
                let name = without_padding(element).ok_or(Refusal::Padding)?;
                if name.is_empty() {
                    spend(&mut empty_left, 1).ok_or(Refusal::TooManyEmptyElements)?;
                    continue;
                }
                if !answer.is_empty() {
                    answer.push(b',');
                }
                let start = answer.len();
                answer.extend(name.iter().map(u8::to_ascii_lowercase));
                if !self.names.contains(&answer[start..]) {
                    return Err(Refusal::Header);
                }
                spend(&mut names_left, 1).ok_or(Refusal::TooManyHeaders)?;
            }
        }
        if answer.is_empty() {
            return Ok(None);
        }
        HeaderValue::try_from(answer).map(Some).map_err(|_| Refusal::Header)
    }
}

fn spend(left: &mut usize, cost: usize) -> Option<()> {
    *left = left.checked_sub(cost)?;
    Some(())
}

fn without_padding(element: &[u8]) -> Option<&[u8]> {
    let from_name = element.trim_ascii_start();
    let name = from_name.trim_ascii_end();
    let leading = element.len() - from_name.len();
    let trailing = from_name.len() - name.len();
    (leading <= MAX_PADDING && trailing <= MAX_PADDING).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str]) -> Result<Option<String>, Refusal> {
        let listed = ["authorization", "content-type", "x-trace"];
        answer_of(&ListedHeaders::new(listed.map(HeaderName::from_static)).into(), lines)
    }

    impl From<ListedHeaders> for RequestHeaders {
        fn from(listed: ListedHeaders) -> Self {
            Self::Listed(listed)
        }
    }

    fn answer_of(headers: &RequestHeaders, lines: &[&str]) -> Result<Option<String>, Refusal> {
        let line = |line: &&str| {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            (header::ACCESS_CONTROL_REQUEST_HEADERS, value)
        };
        let answer = headers.answer_to(&lines.iter().map(line).collect())?;
        Ok(answer.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn requested_headers_are_echoed_in_lower_case_without_padding() {
        let all = "authorization,content-type,x-trace";
        let table: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&[""], None),
            (&["content-type"], Some("content-type")),
            (&[all], Some(all)),
            (&["x-trace,authorization"], Some("x-trace,authorization")),
            (&["Content-Type, X-TRACE"], Some("content-type,x-trace")),
            (&["authorization", "content-type,x-trace"], Some(all)),
            (&["authorization  ,  content-type\t\t,\t\tx-trace"], Some(all)),
            (&["  x-trace  "], Some("x-trace")),
            (&[",,,x-trace,,"], Some("x-trace")),
            (&["", "x-trace", ""], Some("x-trace")),
            (&[",,,,,,,,,,,,,,,,x-trace"], Some("x-trace")),
        ];
        for (lines, expected) in table {
            assert_eq!(answer(lines).as_ref().map(Option::as_deref), Ok(*expected), "{lines:?}");
        }
    }

    #[test]
    fn rejects_unlisted_or_malformed_requested_headers() {
        let table: &[(&[&str], Refusal)] = &[
            (&["x-other"], Refusal::Header),
            (&["content-type,x-other"], Refusal::Header),
            (&["content-type", "x-other"], Refusal::Header),
            (&["content-typ"], Refusal::Header),
            (&["content-type2"], Refusal::Header),
            (&["content-type;x-trace"], Refusal::Header),
            (&["content-type x-trace"], Refusal::Header),
            (&["*"], Refusal::Header),
            (&["x-tracé"], Refusal::Header),
            (&["   x-trace"], Refusal::Padding),
            (&["x-trace   "], Refusal::Padding),
            (&["x-trace,\t\t\tcontent-type"], Refusal::Padding),
            (&[",,,,,,,,,,,,,,,,,x-trace"], Refusal::TooManyEmptyElements),
            (&["x-trace,x-trace,x-trace,x-trace"], Refusal::TooManyHeaders),
        ];
        for (lines, expected) in table {
            assert_eq!(answer(lines), Err(*expected), "{lines:?}");
        }
    }

    #[test]
    fn oversized_header_list_is_rejected_before_parsing() {
        let long = "x-trace,".repeat(8192);
        assert_eq!(answer(&[&long]), Err(Refusal::TooManyHeaders));
        assert_eq!(answer(&[&",".repeat(65536)]), Err(Refusal::TooManyHeaders));
        assert_eq!(answer(&[&"x".repeat(65536)]), Err(Refusal::TooManyHeaders));
        assert_eq!(answer(&[""; 4096]), Err(Refusal::TooManyEmptyElements));
        let nothing = ListedHeaders::new([]);
        let request = [(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x"))];
        assert_eq!(nothing.answer_to(&HeaderMap::from_iter(request)), Err(Refusal::Header));
    }

    #[test]
    fn any_header_is_star_plus_authorization() {
        let any = |authorization, lines: &[&str]| {
            answer_of(&RequestHeaders::Any { authorization }, lines)
        };
        let some = |answer: &str| Ok(Some(answer.to_owned()));
        for authorization in [true, false] {
            assert_eq!(any(authorization, &[]), Ok(None));
        }
        assert_eq!(any(false, &["x-trace,x-other"]), some("*"));
        assert_eq!(any(false, &["x-authorization", "authorization2"]), some("*"));
        assert_eq!(any(true, &["authorization,x-trace"]), some("*,authorization"));
        for lines in [&["authorization"] as &[_], &["x-trace", "a, Authorization ,b"]] {
            assert_eq!(any(false, lines), Err(Refusal::Authorization), "{lines:?}");
        }
        let long = "x-trace,".repeat(8192);
        for authorization in [true, false] {
            assert_eq!(any(authorization, &[&long]), Err(Refusal::TooManyHeaders));
            assert_eq!(any(authorization, &[""; 8193]), Err(Refusal::TooManyHeaders));
        }
    }
}
