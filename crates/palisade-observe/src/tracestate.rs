//! The `tracestate` field ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/), section 3.3).

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The maximum length of a `tracestate` that is passed on: the minimum of the specification (section 3.3.1.5).
const MOST_STATE: usize = 512;
const MOST_MEMBERS: usize = 32;
/// Members over this length are removed first.
const LONG_MEMBER: usize = 128;

/// Joins the members of all `tracestate` fields. Returns `None` if a member is malformed.
pub(crate) fn parse(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<&str> = Vec::new();
    // More lines than members can only be empty ones.
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

/// Returns true for a valid key (Level 2, section 3.3.1.3.1).
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

/// Returns true for printable characters without `,` and `=` (section 3.3.1.3.2). The caller has trimmed spaces.
fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(TRACESTATE, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        parse(&headers).map(|state| state.to_str().unwrap().to_owned())
    }

    #[test]
    fn valid_tracestate_is_passed_on_and_malformed_dropped() {
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
        // Long members are removed first, and then the last ones.
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

    proptest! {
        #[test]
        fn parsed_tracestate_is_well_formed(text in "[a-c=, \t]{0,40}") {
            if let Some(state) = state(&[&text]) {
                for member in state.split(',') {
                    let (key, value) = member.split_once('=').unwrap();
                    prop_assert!(is_key(key) && is_value(value));
                }
            }
        }
    }
}
