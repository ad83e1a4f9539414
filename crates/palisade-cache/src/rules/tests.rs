//! The table of the rules: a row is a response, or a request to a stored one, with the section that decides about it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};

use super::{
    directives::Directives,
    reuse::{Reuse, decide},
    storing::{Asked, Mode, NotStored, Rules, Scope, terms_of},
    *,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
pub(super) const NOW: Duration = Duration::from_secs(784_111_777);
const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT";

pub(super) const TIMES: Times = Times { request: NOW, response: NOW };

pub(super) fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a line is a name and a value");
        let name = HeaderName::try_from(name).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
    }
    headers
}

pub(super) fn response(status: u16, lines: &[&str]) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status).unwrap();
    parts.headers = headers(lines);
    parts
}

pub(super) fn honour() -> Rules {
    Rules {
        mode: Mode::Honour { heuristics: false },
        scope: Scope::Everyone,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        share_authenticated: false,
        ignore_cookies: false,
        kept_fields: Vec::new(),
    }
}

pub(super) fn asked(lines: &[&str]) -> Asked {
    Asked { headers: headers(lines), scoped: false, signals: Signals::default() }
}

fn terms(rules: &Rules, request: &[&str], status: u16, lines: &[&str]) -> Result<Terms, NotStored> {
    terms_of(rules, &asked(request), &response(status, lines), TIMES).map(|(terms, ..)| terms)
}

/// How long a response stays fresh after it was received; `Err` if it is not stored.
fn fresh_for(terms: Result<Terms, NotStored>) -> Result<u64, NotStored> {
    let terms = terms?;
    if terms.always_validate {
        return Ok(0);
    }
    Ok(terms.lifetime.saturating_sub(terms.initial_age).as_secs())
}

#[test]
fn storability_and_freshness_follow_each_rfc_section() {
    use NotStored::{NoLifetime, NoStore, Private, SetCookie, Stale, Status, Vary};

    const TAG: &str = "etag: \"a\"";
    const CC: &str = "cache-control: max-age=60";
    type Row = (&'static str, u16, &'static [&'static str], Result<u64, NotStored>);
    let table: &[Row] = &[
        ("RFC 9111, 3", 200, &[], Err(NoLifetime)),
        ("RFC 9111, 3", 200, &[TAG], Err(NoLifetime)),
        ("RFC 9111, 3", 200, &[CC], Ok(60)),
        ("RFC 9111, 3", 404, &[CC], Ok(60)),
        ("RFC 9111, 3", 503, &[CC], Ok(60)),
        ("RFC 9111, 3", 599, &[CC], Ok(60)),
        ("RFC 9111, 3", 304, &[CC], Err(Status)),
        ("RFC 9111, 3.3", 206, &[CC], Err(Status)),
        ("RFC 9111, 4.1", 200, &[CC, "vary: *"], Err(Vary)),
        ("RFC 9111, 4.1", 200, &[CC, "vary: accept, *"], Err(Vary)),
        ("RFC 9111, 4.1", 200, &[CC, "vary: accept", "vary: *"], Err(Vary)),
        ("RFC 9111, 4.1", 200, &[CC, "vary: a b"], Err(Vary)),
        ("RFC 9111, 4.1", 200, &[CC, "vary: accept"], Ok(60)),
        ("RFC 9111, 7.3", 200, &[CC, "set-cookie: a=b"], Err(SetCookie)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: s-maxage=9, max-age=60"], Ok(9)),
        (
            "RFC 9111, 4.2.1",
            200,
            &["cache-control: max-age=60", "cache-control: s-maxage=9"],
            Ok(9),
        ),
        ("RFC 9111, 4.2.1", 200, &[CC, "expires: Thu, 01 Jan 1970 00:00:00 GMT"], Ok(60)),
        ("RFC 9111, 4.2.1", 200, &["expires: Sun, 06 Nov 1994 08:50:37 GMT"], Ok(60)),
        (
            "RFC 9111, 4.2.1",
            200,
            &["expires: Sun, 06 Nov 1994 08:50:37 GMT", "date: Sun, 06 Nov 1994 08:49:57 GMT"],
            Ok(40),
        ),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age=60, max-age=30"], Ok(30)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age=30, max-age=60", TAG], Ok(30)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age=-60"], Err(Stale)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age=60.0"], Err(Stale)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age= 60"], Err(Stale)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age"], Err(Stale)),
        ("RFC 9111, 4.2.1", 200, &["cache-control: max-age =60"], Err(NoLifetime)),
        ("RFC 9111, 4.2.3", 200, &[CC, DATE, "age: 20"], Ok(40)),
        ("RFC 9111, 4.2.3", 200, &[CC, "date: Sun, 06 Nov 1994 08:49:27 GMT"], Ok(50)),
        ("RFC 9111, 4.2.3", 200, &[CC, "date: Sun, 06 Nov 1994 08:49:27 GMT", "age: 20"], Ok(40)),
        ("RFC 9111, 4.2.3", 200, &[CC, "date: Sun, 06 Nov 1994 09:49:37 GMT"], Ok(60)),
        ("RFC 9111, 4.2.3", 200, &[CC, "age: 60"], Err(Stale)),
        ("RFC 9111, 5.1", 200, &[CC, "age: 20, 60"], Ok(40)),
        ("RFC 9111, 5.1", 200, &[CC, "age: 20", "age: 60"], Ok(40)),
        ("RFC 9111, 5.1", 200, &[CC, "age: abc"], Ok(60)),
        ("RFC 9111, 5.1", 200, &[CC, "age: -60"], Ok(60)),
        ("RFC 9111, 5.1", 200, &[CC, "age: 2147483649"], Err(Stale)),
        ("RFC 9111, 1.2.2", 200, &["cache-control: max-age=99999999999"], Ok(1 << 31)),
        ("RFC 9111, 1.2.2", 200, &["cache-control: max-age=0060"], Ok(60)),
        ("RFC 9111, 5.2", 200, &["cache-control: MaX-aGe=60"], Ok(60)),
        ("RFC 9111, 5.2", 200, &["cache-control: max-age=\"60\""], Ok(60)),
        ("RFC 9111, 5.2.3", 200, &["cache-control: foo, max-age=60, bar=\"1, 2\""], Ok(60)),
        ("RFC 9111, 5.2.3", 200, &["cache-control: foo=\"max-age=9\", max-age=60"], Ok(60)),
        ("RFC 9111, 5.2.3", 200, &["cache-control: foo=\"a\\\", no-store\", max-age=60"], Ok(60)),
        ("RFC 9111, 5.2.2.3", 599, &["cache-control: max-age=60, must-understand"], Err(Status)),
        (
            "RFC 9111, 5.2.2.3",
            200,
            &["cache-control: max-age=60, must-understand, no-store"],
            Ok(60),
        ),
        ("RFC 9111, 5.2.2.4", 200, &["cache-control: no-cache, max-age=60", TAG], Ok(0)),
        ("RFC 9111, 5.2.2.4", 200, &["cache-control: no-cache", TAG], Ok(0)),
        ("RFC 9111, 5.2.2.4", 200, &["cache-control: no-cache, max-age=60"], Err(Stale)),
        ("RFC 9111, 5.2.2.4", 200, &["cache-control: no-cache=\"a b\", max-age=60", TAG], Ok(0)),
        ("RFC 9111, 5.2.2.4", 200, &["cache-control: no-cache=\"x-a, x-b\", max-age=60"], Ok(60)),
        ("RFC 9111, 5.2.2.5", 200, &["cache-control: no-store"], Err(NoStore)),
        ("RFC 9111, 5.2.2.5", 200, &["cache-control: No-StOrE, max-age=60"], Err(NoStore)),
        ("RFC 9111, 5.2.2.7", 200, &["cache-control: private, max-age=60"], Err(Private)),
        ("RFC 9111, 5.2.2.7", 200, &["cache-control: private=\"x-a\", max-age=60"], Err(Private)),
        ("RFC 9111, 5.3", 200, &["expires: 0"], Err(Stale)),
        ("RFC 9111, 5.3", 200, &["expires: 0", TAG], Ok(0)),
        (
            "RFC 9111, 5.3",
            200,
            &["expires: Sun, 06 Nov 1994 08:50:37 GMT", "expires: Sun, 06 Nov 1994 08:50:37 GMT"],
            Err(Stale),
        ),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=9", CC], Ok(9)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=90", CC], Ok(90)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=9", "cache-control: no-store"], Ok(9)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=9", "expires: 0"], Ok(9)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: private", CC], Err(Private)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: no-store", CC], Err(NoStore)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: no-cache", CC, TAG], Ok(0)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=0", CC], Err(Stale)),
        (
            "RFC 9213, 2.1",
            200,
            &["cdn-cache-control: max-age=9, &&&&&", "cache-control: no-store"],
            Err(NoStore),
        ),
        (
            "RFC 9213, 2.1",
            200,
            &["cdn-cache-control: max-age=\"9\"", "cache-control: no-store"],
            Err(Stale),
        ),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: max-age=-9", CC], Err(Stale)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control: MaX-aGe=9", CC], Ok(60)),
        ("RFC 9213, 2.1", 200, &["cdn-cache-control:", CC], Ok(60)),
        (
            "RFC 9213, 2.1",
            200,
            &["cdn-cache-control: max-age=9", "cdn-cache-control: no-store", CC],
            Err(NoStore),
        ),
    ];
    for (section, status, lines, expected) in table {
        assert_eq!(
            fresh_for(terms(&honour(), &[], *status, lines)),
            *expected,
            "{section}: {lines:?}"
        );
    }
}

#[test]
fn heuristic_lifetime_is_a_tenth_of_the_time_since_last_change() {
    let rules = Rules { mode: Mode::Honour { heuristics: true }, ..honour() };
    let hour_ago = "last-modified: Sun, 06 Nov 1994 07:49:37 GMT";
    let long_ago = "last-modified: Thu, 01 Jan 1970 00:00:00 GMT";
    let public = "cache-control: public";
    for (status, lines, expected) in [
        (200, &[hour_ago][..], Ok(360)),
        (410, &[hour_ago], Ok(360)),
        (200, &[long_ago], Ok(24 * 60 * 60)),
        (201, &[hour_ago], Err(NotStored::NoLifetime)),
        (599, &[hour_ago], Err(NotStored::NoLifetime)),
        (599, &[hour_ago, public], Ok(360)),
        (200, &[public], Err(NotStored::NoLifetime)),
        (200, &[hour_ago, "cache-control: max-age=5"], Ok(5)),
    ] {
        assert_eq!(fresh_for(terms(&rules, &[], status, lines)), expected, "{status} {lines:?}");
    }
}

#[test]
fn modes_set_the_lifetime_of_successful_responses_only() {
    let minute = Rules { mode: Mode::Revalidate(Duration::from_secs(60)), ..honour() };
    let forever = Rules { mode: Mode::Forever, ..honour() };
    for (rules, expected) in [(&minute, 60), (&forever, 1 << 31)] {
        assert_eq!(fresh_for(terms(rules, &[], 200, &[])), Ok(expected));
        assert_eq!(fresh_for(terms(rules, &[], 404, &[])), Err(NotStored::Status));
        assert_eq!(fresh_for(terms(rules, &[], 500, &[])), Err(NotStored::Status));
        assert_eq!(fresh_for(terms(rules, &[], 404, &["cache-control: max-age=5"])), Ok(5));
        assert_eq!(fresh_for(terms(rules, &[], 200, &["cache-control: max-age=5"])), Ok(5));
        let no_store = terms(rules, &[], 200, &["cache-control: no-store"]);
        assert_eq!(fresh_for(no_store), Err(NotStored::NoStore));
        let no_cache = terms(rules, &[], 200, &["cache-control: no-cache", "etag: \"a\""]);
        assert_eq!(fresh_for(no_cache), Ok(0));
    }
    let old = terms(&minute, &[], 200, &["age: 500"]);
    assert_eq!(fresh_for(old), Ok(60), "the time counts from now");
}

#[test]
fn responses_to_cookies_are_stored_only_if_declared_public() {
    const CC: &str = "cache-control: max-age=60";
    let cookie: &[&str] = &["cookie: session=1"];
    let ignoring = Rules { ignore_cookies: true, ..honour() };
    assert_eq!(fresh_for(terms(&honour(), cookie, 200, &[CC])), Err(NotStored::Cookie));
    assert_eq!(fresh_for(terms(&ignoring, cookie, 200, &[CC])), Ok(60));
    for says_so in [
        &["cache-control: public, max-age=60"][..],
        &["cache-control: s-maxage=60"],
        &["cdn-cache-control: max-age=60"],
        &[CC, "vary: cookie"],
    ] {
        assert_eq!(fresh_for(terms(&honour(), cookie, 200, says_so)), Ok(60), "{says_so:?}");
    }
    let no_store = &["cache-control: no-store"];
    assert_eq!(fresh_for(terms(&honour(), no_store, 200, &[CC])), Err(NotStored::NoStore));
}

#[test]
fn pages_with_a_nonce_are_not_stored() {
    let policy = "content-security-policy: script-src 'NONCE-abc'";
    let stored = terms(&honour(), &[], 200, &["cache-control: max-age=60", policy]);
    assert_eq!(stored, Err(NotStored::Nonce));
}

/// Sections 4.2.4 and 5.2.1, and RFC 5861.
#[test]
fn reuse_follows_the_age_and_the_request_directives() {
    use Reuse::{Fresh, Validate, WhileRevalidating};

    const SWR: &str = "cache-control: max-age=60, stale-while-revalidate=30";
    const CC: &str = "cache-control: max-age=60";
    const STRICT: &str = "cache-control: max-age=60, must-revalidate, stale-while-revalidate=30";
    const SHARED: &str = "cache-control: s-maxage=60";
    const BOTH: &str = "cache-control: s-maxage=60, stale-while-revalidate=30";
    let table: &[(&str, &str, &str, u64, Reuse)] = &[
        ("4.2", CC, "", 0, Fresh),
        ("4.2", CC, "", 59, Fresh),
        ("4.2", CC, "", 60, Validate),
        ("RFC 5861, 3", SWR, "", 60, WhileRevalidating),
        ("RFC 5861, 3", SWR, "", 89, WhileRevalidating),
        ("RFC 5861, 3", SWR, "", 90, Validate),
        ("5.2.2.2", STRICT, "", 59, Fresh),
        ("5.2.2.2", STRICT, "", 60, Validate),
        ("5.2.2.2", STRICT, "max-stale", 60, Validate),
        ("5.2.2.10", SHARED, "max-stale", 60, Validate),
        ("5.2.2.10", BOTH, "", 60, WhileRevalidating),
        ("5.2.1.1", CC, "max-age=0", 0, Fresh),
        ("5.2.1.1", CC, "max-age=0", 1, Validate),
        ("5.2.1.1", CC, "max-age=30", 30, Fresh),
        ("5.2.1.1", CC, "max-age=30", 31, Validate),
        ("5.2.1.2", CC, "max-stale=30", 89, Fresh),
        ("5.2.1.2", CC, "max-stale=30", 91, Validate),
        ("5.2.1.2", CC, "max-stale", 10_000, Fresh),
        ("5.2.1.3", CC, "min-fresh=20", 40, Fresh),
        ("5.2.1.3", CC, "min-fresh=20", 41, Validate),
        ("5.2.1.4", CC, "no-cache", 0, Validate),
    ];
    for (section, stored, request, age, expected) in table {
        let stored = terms(&honour(), &[], 200, &[stored, "etag: \"a\""]).unwrap();
        let request = Directives::of_headers(&headers(&[&format!("cache-control: {request}")]));
        let now = NOW + Duration::from_secs(*age);
        assert_eq!(decide(&request, &stored, now), *expected, "{section}: {request:?} at {age} s");
    }
}
