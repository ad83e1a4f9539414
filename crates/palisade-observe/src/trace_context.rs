use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, request};
use palisade_core::{TrustedProxies, remove_header, set_header};

use crate::random::random;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The caller may have recorded the trace.
const SAMPLED: u8 = 0b01;
/// At least the last seven bytes of the trace id are random (Trace Context Level 2, section 3.2.2.5.2).
const RANDOM: u8 = 0b10;

/// What is handed on of a `tracestate`, at most: the least that the specification asks for (section 3.3.1.5).
const MOST_STATE: usize = 512;
const MOST_MEMBERS: usize = 32;
/// Members over this length go first where something has to go.
const LONG_MEMBER: usize = 128;

/// Which trace a request is part of ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)), in the request's
/// extensions.
///
/// A well-formed `traceparent` is continued, and a trace begins where there is none. What this request calls in turn
/// gets [`traceparent`](Self::traceparent) and [`tracestate`](Self::tracestate); where the request came with these
/// fields they are replaced by ours, so that a handler that hands on what it got hands on the right thing.
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
    /// The bytes.
    pub fn bytes(self) -> [u8; N] {
        self.0
    }
}

impl<const N: usize> fmt::Display for HexId<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Room for the longer of the two.
        let mut text = [0; 32];
        for (byte, pair) in self.0.iter().zip(text.chunks_exact_mut(2)) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text[..(2 * N).min(32)]).unwrap_or_default())
    }
}

impl TraceContext {
    /// Begins a trace: sampled, since the access log has it, and random.
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

    /// Continues the trace in these headers, if its `traceparent` is well-formed and the only one. A bad `tracestate`
    /// is dropped and does no harm to it.
    pub fn continued(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let (trace, parent, flags) = parse(fields.next()?.as_bytes())?;
        if fields.next().is_some() {
            return None;
        }
        let state = state_of(headers);
        Some(Self { trace, parent: Some(parent), span: new_span(), flags, state })
    }

    /// The trace.
    pub fn trace_id(&self) -> HexId<16> {
        HexId(self.trace)
    }

    /// This request's part of it.
    pub fn span_id(&self) -> HexId<8> {
        HexId(self.span)
    }

    /// The caller's part of it; none where the trace began here.
    pub fn parent_id(&self) -> Option<HexId<8>> {
        self.parent.map(HexId)
    }

    /// Whether the trace is recorded, as far as the caller knows.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `traceparent` of requests that this one causes.
    pub fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.flags);
        // Hexadecimal digits and hyphens are a field value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The `tracestate` of requests that this one causes.
    pub fn tracestate(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// Leaves the trace where handlers and inner layers look for it.
    pub(crate) fn leave(&self, request: &mut request::Parts) {
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

/// Whose traces are continued.
#[derive(Clone, Debug, Default)]
pub(crate) enum Continue {
    #[default]
    Everybodys,
    OfProxies(TrustedProxies),
    Nobodys,
}

impl Continue {
    pub(crate) fn trace_of(&self, request: &request::Parts) -> TraceContext {
        let believed = match self {
            Self::Everybodys => true,
            Self::OfProxies(proxies) => proxies.trust_peer_of(&request.extensions),
            Self::Nobodys => false,
        };
        let continued = if believed { TraceContext::continued(&request.headers) } else { None };
        continued.unwrap_or_else(TraceContext::begun)
    }
}

/// An id that is never all zeros.
fn new_span() -> [u8; 8] {
    random().max(1).to_be_bytes()
}

/// Section 3.2.2, to the letter: `00-` trace id `-` parent id `-` flags. A later version may go on after another `-`.
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

/// Lower-case only (section 3.2.2).
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The members of all `tracestate` fields, as one; none of them if one is malformed.
fn state_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<&str> = Vec::new();
    // More lines than members are mostly empty ones.
    if headers.get_all(TRACESTATE).iter().nth(MOST_MEMBERS).is_some() {
        return None;
    }
    for field in headers.get_all(TRACESTATE) {
        for member in field.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let twice = members.iter().any(|other| other.split('=').next() == Some(key));
            if twice || members.len() == MOST_MEMBERS || !is_key(key) || !is_value(value) {
                return None;
            }
            members.push(member);
        }
    }
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>();
    if length(&members) > MOST_STATE + 1 {
        members.retain(|member| member.len() <= LONG_MEMBER);
        while length(&members) > MOST_STATE + 1 {
            members.pop();
        }
    }
    if members.is_empty() {
        return None;
    }
    HeaderValue::try_from(members.join(",")).ok()
}

/// Section 3.3.1.3.1, of Level 2.
fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=256).contains(&key.len())
        && key.as_bytes().first().is_some_and(first)
        && key.bytes().all(allowed)
}

/// Section 3.3.1.3.2: printable, without `,` and `=`; spaces around it are gone.
fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed)
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

    fn state(fields: &[&str]) -> Option<String> {
        let mut all = vec![(TRACEPARENT, GOOD)];
        all.extend(fields.iter().map(|field| (TRACESTATE, *field)));
        let trace = TraceContext::continued(&headers(&all)).expect("traceparent is unharmed");
        trace.tracestate().map(|state| state.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_well_formed_parent_is_continued_with_a_span_of_our_own() {
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
    fn what_is_malformed_in_any_place_is_not_continued() {
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
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-then",
        ] {
            let trace = TraceContext::continued(&headers(&[(TRACEPARENT, later)])).unwrap();
            assert!(trace.traceparent().to_str().unwrap().starts_with("00-0af7651916cd43dd"));
        }
    }

    #[test]
    fn known_flags_are_handed_on_and_others_are_not() {
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
    fn tracestate_is_handed_on_within_its_limits_and_dropped_where_it_is_malformed() {
        assert_eq!(state(&[]), None);
        assert_eq!(
            state(&["congo=t61rcWkgMzE, rojo=00f067aa0ba902b7"]).unwrap(),
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
        );
        assert_eq!(state(&["a=1", "", " b@c=2 ,, "]).unwrap(), "a=1,b@c=2");
        for bad in ["a", "a=", "=1", "A=1", "a=1=2", "a=1,a=2", "a=\u{e9}", "-a=1", "a b=1"] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        let many =
            |count: usize| (0..count).map(|at| format!("k{at}=1")).collect::<Vec<_>>().join(",");
        assert!(state(&[&many(32)]).is_some());
        assert_eq!(state(&[&many(33)]), None);
        // what is too long loses its long members, and then its last
        let long = format!("a=1,long={},b=2", "x".repeat(200));
        assert_eq!(state(&[&long]).unwrap(), long, "it fits");
        let longer = format!(
            "a=1,long={},{},b=2",
            "x".repeat(200),
            format!("c={}", "y".repeat(250)) + ",d=" + &"z".repeat(90)
        );
        assert_eq!(state(&[&longer]).unwrap(), format!("a=1,d={},b=2", "z".repeat(90)));
        let list =
            (0..9).map(|at| format!("k{at}={}", "x".repeat(90))).collect::<Vec<_>>().join(",");
        assert!(state(&[&list]).unwrap().len() <= MOST_STATE);
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
        trace.leave(&mut head);
        assert!(!head.headers.contains_key(TRACESTATE));
        assert_eq!(head.headers[TRACEPARENT], trace.traceparent());
        let others: Vec<_> = head.headers.get_all("x-other").iter().collect();
        assert_eq!(others, ["1", "2"]);

        // a few lines are one list
        head.headers = headers(&[(TRACEPARENT, GOOD), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
        TraceContext::continued(&head.headers).unwrap().leave(&mut head);
        let state: Vec<_> = head.headers.get_all(TRACESTATE).iter().collect();
        assert_eq!(state, ["a=1,b=2"]);
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_panics_or_is_continued_changed(text in "[ -~]{0,60}") {
            if let Some(trace) = TraceContext::continued(&headers(&[(TRACEPARENT, &text)])) {
                prop_assert_eq!(trace.trace_id().to_string(), &text[3..35]);
            }
        }

        #[test]
        fn whatever_state_is_handed_on_is_well_formed(text in "[a-c=, \t]{0,40}") {
            if let Some(state) = state(&[&text]) {
                for member in state.split(',') {
                    let (key, value) = member.split_once('=').unwrap();
                    prop_assert!(is_key(key) && is_value(value));
                }
            }
        }
    }
}
