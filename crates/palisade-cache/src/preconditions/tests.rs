use http::Request;

use super::*;

const MODIFIED: Duration = Duration::from_secs(784_111_777);
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn verdict(method: &str, conditions: &[(&str, &str)], current: &Validators) -> Verdict {
    let request = Request::builder().method(method).uri("/");
    let request =
        conditions.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (request, ()) = request.body(()).unwrap().into_parts();
    Preconditions::from_request(&request).evaluate(current)
}

/// RFC 9110, sections 13.1 and 13.2.2.
#[test]
fn preconditions_are_evaluated_in_the_order_of_rfc_9110() {
    use Verdict::{Failed, NotModified, Proceed};

    let strong = Validators::etag(EntityTag::strong("a").unwrap()).modified(MODIFIED);
    let weak = Validators::etag(EntityTag::weak("a").unwrap());
    let absent = Validators::absent();
    let dated = Validators::last_modified(MODIFIED);
    let unknown = Validators::default();
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a Validators, Verdict);
    let table: &[Row<'_>] = &[
        ("13.1.1", &[("if-match", "\"a\"")], &strong, Proceed),
        ("13.1.1", &[("if-match", "\"b\", \"a\"")], &strong, Proceed),
        ("13.1.1", &[("if-match", "\"b\""), ("if-match", "\"a\"")], &strong, Proceed),
        ("13.1.1", &[("if-match", "\"b\"")], &strong, Failed),
        ("13.1.1", &[("if-match", "W/\"a\"")], &strong, Failed),
        ("13.1.1", &[("if-match", "\"a\"")], &weak, Failed),
        ("13.1.1", &[("if-match", "*")], &unknown, Proceed),
        ("13.1.1", &[("if-match", "*")], &absent, Failed),
        ("13.1.1", &[("if-match", "\"a\"")], &unknown, Failed),
        ("13.1.1", &[("if-match", "a")], &strong, Failed),
        ("13.1.1", &[("if-match", "")], &strong, Failed),
        ("13.1.2", &[("if-none-match", "\"a\"")], &strong, NotModified),
        ("13.1.2", &[("if-none-match", "W/\"a\"")], &strong, NotModified),
        ("13.1.2", &[("if-none-match", "\"b\" , , \"a\"")], &weak, NotModified),
        ("13.1.2", &[("if-none-match", "\"b\"")], &strong, Proceed),
        ("13.1.2", &[("if-none-match", "*")], &unknown, NotModified),
        ("13.1.2", &[("if-none-match", "*")], &absent, Proceed),
        ("13.1.2", &[("if-none-match", "\"a,b\"")], &strong, Proceed),
        ("13.1.3", &[("if-modified-since", DATE)], &dated, NotModified),
        ("13.1.3", &[("if-modified-since", LATER)], &dated, NotModified),
        ("13.1.3", &[("if-modified-since", EARLIER)], &dated, Proceed),
        ("13.1.3", &[("if-modified-since", "yesterday")], &dated, Proceed),
        ("13.1.3", &[("if-modified-since", DATE)], &unknown, Proceed),
        ("13.1.4", &[("if-unmodified-since", DATE)], &dated, Proceed),
        ("13.1.4", &[("if-unmodified-since", EARLIER)], &dated, Failed),
        ("13.1.4", &[("if-unmodified-since", "yesterday")], &dated, Proceed),
        ("13.1.4", &[("if-unmodified-since", DATE)], &unknown, Failed),
        ("13.2.2", &[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)], &strong, Proceed),
        ("13.2.2", &[("if-none-match", "\"b\""), ("if-modified-since", LATER)], &strong, Proceed),
        ("13.2.2", &[("if-match", "\"b\""), ("if-none-match", "\"a\"")], &strong, Failed),
    ];
    for (section, conditions, current, expected) in table {
        assert_eq!(verdict("GET", conditions, current), *expected, "{section} {conditions:?}");
        let changing = if *expected == NotModified { Failed } else { *expected };
        let is_dated = conditions.iter().any(|(name, _)| *name == "if-modified-since");
        let changing = if is_dated { Proceed } else { changing };
        assert_eq!(verdict("PUT", conditions, current), changing, "PUT {section} {conditions:?}");
    }
}

#[test]
fn rejects_malformed_entity_tags() {
    let parse = |text: &'static str| EntityTag::from_header(&HeaderValue::from_static(text));
    for valid in ["\"a\"", "W/\"a\"", "\"\"", "\"a,b\""] {
        assert_eq!(parse(valid).unwrap().to_string(), valid);
    }
    for invalid in ["a", "\"a", "a\"", "w/\"a\"", "W/a", "\"a\"b", "\"a\", \"b\"", "", "\"a b\""] {
        assert_eq!(parse(invalid), None, "{invalid}");
    }
}

#[test]
fn tag_of_bytes_depends_on_each_byte() {
    let tag = EntityTag::of_bytes(b"hello");
    assert_eq!(tag.to_string(), "\"LPJNul-wow4m6Dsqxbning\"");
    assert_ne!(tag, EntityTag::of_bytes(b"hellp"));
    assert!(tag.matches_weakly(&EntityTag::weak_of_bytes(b"hello")));
}
