use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, request};
use palisade_core::{
    TrustedProxies, remove_header, set_header,
    syntax::{LowerHex, decode_lower_hex},
};

use crate::{
    random::random,
    tracestate::{self, TRACESTATE},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller may have recorded the trace.
const SAMPLED: u8 = 0b01;
/// At least the last seven bytes of the trace id are random (Trace Context Level 2, section 3.2.2.5.2).
const RANDOM: u8 = 0b10;

/// The trace of a request ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)), in its extensions.
///
/// A valid `traceparent` is continued; otherwise a new trace starts. Send [`traceparent`](Self::traceparent) and
/// [`tracestate`](Self::tracestate) with outgoing requests. The fields of the request are replaced by them, so that a handler
/// can also forward its headers.
///
/// ```
/// use http::HeaderMap;
/// use palisade_observe::TraceContext;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?);
/// let trace = TraceContext::continued(&headers).expect("it is well-formed");
///
/// assert_eq!(trace.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// assert_eq!(trace.parent_id().unwrap().to_string(), "b7ad6b7169203331");
/// let outgoing = trace.traceparent();
/// assert!(outgoing.to_str()?.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    parent: Option<[u8; 8]>,
    span: [u8; 8],
    flags: u8,
    state: Option<HeaderValue>,
}

/// An id in a [`TraceContext`]: lower-case hexadecimal digits, as `traceparent` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HexId<const N: usize>([u8; N]);

impl<const N: usize> HexId<N> {
    /// Returns the bytes.
    pub fn bytes(self) -> [u8; N] {
        self.0
    }
}

impl<const N: usize> fmt::Display for HexId<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&LowerHex(&self.0), f)
    }
}

impl TraceContext {
    /// Starts a new trace with the flags "sampled", because the access log records it, and "random".
    ///
    /// ```
    /// use palisade_observe::TraceContext;
    ///
    /// assert_ne!(TraceContext::begun().trace_id(), TraceContext::begun().trace_id());
    /// ```
    pub fn begun() -> Self {
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&new_span());
        trace[8..].copy_from_slice(&random().to_be_bytes());
        Self { trace, parent: None, span: new_span(), flags: SAMPLED | RANDOM, state: None }
    }

    /// Continues the trace of these headers. Returns `None` unless there is exactly one valid `traceparent`. An invalid
    /// `tracestate` is dropped.
    pub fn continued(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let (trace, parent, flags) = parse(fields.next()?.as_bytes())?;
        if fields.next().is_some() {
            return None;
        }
        let state = tracestate::parse(headers);
        Some(Self { trace, parent: Some(parent), span: new_span(), flags, state })
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> HexId<16> {
        HexId(self.trace)
    }

    /// Returns the id of this request's span.
    pub fn span_id(&self) -> HexId<8> {
        HexId(self.span)
    }

    /// Returns the id of the caller's span. `None` if the trace starts here.
    pub fn parent_id(&self) -> Option<HexId<8>> {
        self.parent.map(HexId)
    }

    /// Returns true if the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the `traceparent` for outgoing requests.
    pub fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.flags);
        // Hexadecimal digits and hyphens are valid in a header.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Returns the `tracestate` for outgoing requests.
    pub fn tracestate(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// Inserts the trace into the request's extensions, and replaces the client's fields.
    pub(crate) fn insert_into(&self, request: &mut request::Parts) {
        let headers = &mut request.headers;
        if headers.contains_key(TRACEPARENT) {
            remove_header(headers, &TRACEPARENT);
            set_header(headers, TRACEPARENT, self.traceparent());
        }
        if headers.contains_key(TRACESTATE) {
            remove_header(headers, &TRACESTATE);
            if let Some(state) = &self.state {
                set_header(headers, TRACESTATE, state.clone());
            }
        }
        request.extensions.insert(self.clone());
    }
}

/// The clients whose traces are continued.
#[derive(Clone, Debug, Default)]
pub(crate) enum Continue {
    #[default]
    AllClients,
    Proxies(TrustedProxies),
    NoClient,
}

impl Continue {
    pub(crate) fn trace_of(&self, request: &request::Parts) -> TraceContext {
        let is_trusted = match self {
            Self::AllClients => true,
            Self::Proxies(proxies) => proxies.trust_peer_of(&request.extensions),
            Self::NoClient => false,
        };
        let continued = if is_trusted { TraceContext::continued(&request.headers) } else { None };
        continued.unwrap_or_else(TraceContext::begun)
    }
}

/// Returns a new id, which is never 0.
fn new_span() -> [u8; 8] {
    random().max(1).to_be_bytes()
}

/// Parses a `traceparent` strictly (section 3.2.2): `00-` trace id `-` parent id `-` flags. Later versions may continue after
/// another `-`.
fn parse(text: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let ([version], rest) = (hex::<1>(text.get(..2)?)?, text.get(55..)?);
    match version {
        0xff => return None,
        0x00 if !rest.is_empty() => return None,
        _ if rest.first().is_some_and(|next| *next != b'-') => return None,
        _ => {}
    }
    if [text[2], text[35], text[52]] != [b'-'; 3] {
        return None;
    }
    let trace = hex(&text[3..35])?;
    let parent = hex(&text[36..52])?;
    let [flags] = hex(&text[53..55])?;
    if trace == [0; 16] || parent == [0; 8] {
        return None;
    }
    Some((trace, parent, flags & (SAMPLED | RANDOM)))
}

/// Parses lower-case hexadecimal digits (section 3.2.2).
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    decode_lower_hex(text, &mut bytes).map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn valid_parent_is_continued_with_a_new_span() {
        let trace = TraceContext::continued(&headers(&[(TRACEPARENT, GOOD)])).unwrap();
        assert_eq!(trace.trace_id().to_string(), &GOOD[3..35]);
        assert_eq!(trace.parent_id().unwrap().to_string(), &GOOD[36..52]);
        assert!(trace.is_sampled());
        let out = trace.traceparent();
        assert_eq!(out.len(), 55);
        let next =
            TraceContext::continued(&headers(&[(TRACEPARENT, out.to_str().unwrap())])).unwrap();
        assert_eq!(next.trace_id(), trace.trace_id());
        assert_eq!(next.parent_id(), Some(trace.span_id()));
        assert_ne!(next.span_id(), trace.span_id());
    }

    #[test]
    fn malformed_parent_is_not_continued() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\u{e9}-01",
        ] {
            assert_eq!(TraceContext::continued(&headers(&[(TRACEPARENT, bad)])), None, "{bad:?}");
        }
        let twice = headers(&[(TRACEPARENT, GOOD), (TRACEPARENT, GOOD)]);
        assert_eq!(TraceContext::continued(&twice), None);
    }

    #[test]
    fn later_traceparent_version_is_parsed_like_version_0() {
        for later in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-then",
        ] {
            let trace = TraceContext::continued(&headers(&[(TRACEPARENT, later)])).unwrap();
            assert!(trace.traceparent().to_str().unwrap().starts_with("00-0af7651916cd43dd"));
        }
    }

    #[test]
    fn only_known_flags_are_passed_on() {
        for (flags, handed_on) in
            [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")]
        {
            let field = format!("{}{flags}", &GOOD[..53]);
            let trace = TraceContext::continued(&headers(&[(TRACEPARENT, &field)])).unwrap();
            assert_eq!(&trace.traceparent().to_str().unwrap()[53..], handed_on);
        }
    }

    #[test]
    fn a_new_trace_is_sampled_and_random() {
        let trace = TraceContext::begun();
        assert!(trace.traceparent().to_str().unwrap().ends_with("-03"));
        assert_eq!(trace.parent_id(), None);
    }

    #[test]
    fn state_in_many_lines_is_dropped_and_other_fields_stay() {
        let mut fields = headers(&[(TRACEPARENT, GOOD), (TRACESTATE, "a=1")]);
        for _ in 0..20_000 {
            fields.append(TRACESTATE, HeaderValue::from_static(""));
        }
        for value in ["1", "2"] {
            fields.append("x-other", HeaderValue::from_static(value));
        }
        let mut request = http::Request::get("/").body(()).unwrap();
        *request.headers_mut() = fields;
        let (mut head, ()) = request.into_parts();
        let trace = TraceContext::continued(&head.headers).unwrap();
        assert_eq!(trace.tracestate(), None);
        trace.insert_into(&mut head);
        assert!(!head.headers.contains_key(TRACESTATE));
        assert_eq!(head.headers[TRACEPARENT], trace.traceparent());
        let others: Vec<_> = head.headers.get_all("x-other").iter().collect();
        assert_eq!(others, ["1", "2"]);

        // Several lines are joined.
        head.headers = headers(&[(TRACEPARENT, GOOD), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
        TraceContext::continued(&head.headers).unwrap().insert_into(&mut head);
        let state: Vec<_> = head.headers.get_all(TRACESTATE).iter().collect();
        assert_eq!(state, ["a=1,b=2"]);
    }

    proptest! {
        #[test]
        fn continued_trace_keeps_the_trace_id(text in "[ -~]{0,60}") {
            if let Some(trace) = TraceContext::continued(&headers(&[(TRACEPARENT, &text)])) {
                prop_assert_eq!(trace.trace_id().to_string(), &text[3..35]);
            }
        }
    }
}
