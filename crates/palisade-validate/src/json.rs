use std::borrow::Cow;

use garde::Validate;
use http::{HeaderMap, HeaderValue, Method, header, request};
use palisade_core::{ApiError, Halt, IssueSource, syntax::is_token};
use serde::de::{DeserializeOwned, IgnoredAny};
#[cfg(feature = "json-schema")]
use serde_json::Value;

pub(crate) use crate::judged::Judge;
use crate::{
    Validation,
    examine::{Cursor, Shape, asked_for, examine, not_as_expected},
    issue_codes,
    judged::{judged, judged_form},
    place::Findings,
    read::{self, Read},
    scan::{Flaw, scan},
    settings::MAX_EXACT,
};

/// Rejects bodies that are not sent as JSON. Forms and plain text are never parsed as JSON: any page may send those without
/// a preflight.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    // What most clients send needs no parsing.
    if only_content_type(headers).is_some_and(|field| field == "application/json") {
        return Ok(());
    }
    check(headers, "application/json", is_json)
}

/// Returns true for a request with a JSON body.
///
/// # Errors
///
/// The request can have a body, and none of JSON.
pub(crate) fn is_expected_in(request: &request::Parts) -> Result<bool, Halt> {
    if request.method.is_safe() || request.method == Method::DELETE {
        return Ok(false);
    }
    check_media_type(&request.headers)?;
    Ok(true)
}

/// Rejects bodies of another media type.
pub(crate) fn check(
    headers: &HeaderMap,
    expected: &'static str,
    is_expected: fn(&str) -> bool,
) -> Result<(), ApiError> {
    match content_type(headers) {
        Some(field) if is_expected(field) => Ok(()),
        _ => Err(unsupported(expected)),
    }
}

/// Returns the only `Content-Type`. With two of them, two readers could see different types.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    only_content_type(headers)?.to_str().ok()
}

fn only_content_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let field = fields.next()?;
    if fields.next().is_some() { None } else { Some(field) }
}

/// Returns the 415 with the expected types, joined by commas, in `Accept` (RFC 9110, section 15.5.16).
pub(crate) fn unsupported(expected: &'static str) -> ApiError {
    let types = expected.replace(", ", "` or `");
    ApiError::unsupported_media_type()
        .with_message(format!("the body must be sent as `Content-Type: {types}`"))
        .with_header(header::ACCEPT, HeaderValue::from_static(expected))
}

/// `application/json` or any `+json`, in UTF-8 (RFC 8259, section 8.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    is_utf8(content_type, |essence| {
        essence.eq_ignore_ascii_case("application/json") || has_json_suffix(essence)
    })
}

fn has_json_suffix(essence: &str) -> bool {
    // Two types in one field are not a media type.
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.len().checked_sub("+json".len()).filter(|start| *start > 0);
    let suffix = suffix.and_then(|start| subtype.get(start..));
    is_token(kind)
        && is_token(subtype)
        && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

/// Returns true for an expected media type in UTF-8, which is the default.
pub(crate) fn is_utf8(content_type: &str, is_expected: impl Fn(&str) -> bool) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    is_expected(parts.next().unwrap_or_default())
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Reads a JSON body as `T` and applies its rules. `Ok(None)`: what is wrong was added.
pub(crate) fn read<T>(
    body: &[u8],
    settings: &Validation,
    judge: Option<&Judge>,
    context: &T::Context,
    findings: &mut Findings,
) -> Result<Option<T>, ApiError>
where
    T: DeserializeOwned + Validate,
{
    let text = text_of(body)?;
    let mode = settings.json_mode(text.len());
    // serde takes a list for a struct, field by field.
    let is_list = text.trim_ascii_start().starts_with('[')
        && matches!(asked_for::<T>(), Some(Shape::Struct(_)));
    let mut text = Cow::Borrowed(text);
    let mut parsed = if is_list { None } else { serde_json::from_str::<T>(&text).ok() };
    if parsed.is_none() {
        // The reason does not matter: of a tuple with an item too many, serde_json says that it is no JSON.
        serde_json::from_str::<IgnoredAny>(&text)
            .map_err(|error| malformed(&text, settings, &error))?;
    }
    check_text(&text, settings)?;
    if parsed.is_none()
        && settings.accepts_integral_floats
        && let Some(whole) = with_whole_numbers(&text)
    {
        text = Cow::Owned(whole);
        parsed = if is_list { None } else { serde_json::from_str(&text).ok() };
    }
    let read = match parsed {
        Some(value) => {
            let (mut unknown, mut is_truncated) = (Vec::new(), false);
            if mode.refuses_unknown {
                let examined = examine::<T>(&text, mode);
                is_truncated = !examined.is_complete;
                unknown = examined.found;
                // serde_json decides on the rest.
                unknown.retain(|found| found.code == issue_codes::UNKNOWN_FIELD);
            }
            let judgement = || judged(&text, settings, judge).found;
            let mut read = read::apply_rules(value, &text, mode, context, judgement);
            if !unknown.is_empty() {
                read.value = None;
                unknown.append(&mut read.found);
                unknown.sort_by(|one, other| one.order.cmp(&other.order));
                read.found = unknown;
                read.truncated |= is_truncated || mode.only_first;
            }
            read
        }
        None => {
            let found = judged_form::<T>(&text, settings, judge);
            let mut found = if found.is_empty() { examine::<T>(&text, mode).found } else { found };
            if found.is_empty() {
                found.push(not_as_expected());
            }
            // Rules have not been looked at: there is no value to apply them to.
            Read { value: None, found, truncated: true }
        }
    };
    findings.truncated |= read.truncated;
    findings.add(IssueSource::Body, read.found);
    Ok(read.value)
}

/// Writes `62.0` as `62`. `None`: there is no such number.
fn with_whole_numbers(text: &str) -> Option<String> {
    let mut whole = String::new();
    let mut rest = text;
    let mut is_changed = false;
    while let Some(at) = rest.find(|char: char| char == '"' || char == '-' || char.is_ascii_digit())
    {
        let value = Cursor::new(&rest[at..]).skip();
        let end = at + value.len();
        let number = value.contains(['.', 'e', 'E']).then(|| value.parse::<f64>().ok()).flatten();
        match number {
            Some(number) if number.fract() == 0.0 && number.abs() < MAX_EXACT => {
                whole.push_str(&rest[..at]);
                whole.push_str(&format!("{number:.0}"));
                is_changed = true;
            }
            _ => whole.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    whole.push_str(rest);
    is_changed.then_some(whole)
}

/// Reads any JSON value, without duplicate names and not deeper than allowed.
#[cfg(feature = "json-schema")]
pub(crate) fn value(body: &[u8], settings: &Validation) -> Result<Value, ApiError> {
    let text = text_of(body)?;
    let value = serde_json::from_str(text).map_err(|error| malformed(text, settings, &error))?;
    check_text(text, settings)?;
    Ok(value)
}

fn text_of(body: &[u8]) -> Result<&str, ApiError> {
    if body.is_empty() {
        return Err(refuse("the body is empty, and JSON is expected"));
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        // RFC 8259, section 8.1: they must not be added, and need not be ignored.
        return Err(refuse("the body begins with a byte order mark, which JSON does not have"));
    }
    std::str::from_utf8(body).map_err(|error| {
        let (line, column) = position(&body[..error.valid_up_to()]);
        refuse(format!("the body is not UTF-8: line {line}, column {column}"))
    })
}

fn refuse(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::invalid_json().with_message(message)
}

/// Both count from 1. A column is a byte, as for serde_json.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

fn check_text(text: &str, settings: &Validation) -> Result<(), ApiError> {
    scan(text, settings.max_depth, settings.allows_duplicate_keys)
        .map_err(|flaw| flawed(text, &flaw))
}

fn flawed(text: &str, flaw: &Flaw) -> ApiError {
    let (what, at) = match flaw {
        Flaw::Duplicate { at } => ("the same name comes twice in an object", at),
        Flaw::TooDeep { at } => ("it is nested too deeply", at),
        Flaw::Surrogate { at } => ("half of a surrogate pair", at),
    };
    let (line, column) = position(&text.as_bytes()[..*at]);
    refuse(format!("the body is not valid JSON: {what}: line {line}, column {column}"))
}

fn malformed(text: &str, settings: &Validation, error: &serde_json::Error) -> ApiError {
    // serde_json has a limit to depth as well, and does not say what it is.
    if let Err(flaw @ Flaw::TooDeep { .. }) = scan(text, settings.max_depth, true) {
        return flawed(text, &flaw);
    }
    if text.trim_ascii().is_empty() {
        return refuse("the body is blank, and JSON is expected");
    }
    let words = error.to_string();
    // Nothing was read as a type of the service, so the words are about JSON alone. They repeat nothing of the text.
    let what = words.split(" at line ").next().unwrap_or_default();
    let what = match what {
        "trailing characters" => "there is more after its end".to_owned(),
        "EOF while parsing a value" => "it ends too early, where a value is expected".to_owned(),
        what => match what.strip_prefix("EOF while parsing ") {
            Some(inside) => format!("it ends too early, inside of {inside}"),
            None => what.to_owned(),
        },
    };
    // serde_json counts the end of a line, where that is what is wrong, as before the first column of the next.
    let (line, column) = (error.line(), error.column().max(1));
    refuse(format!("the body is not valid JSON: {what}: line {line}, column {column}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_become_integers() {
        for (text, expected) in [
            ("[62.0,-1.50,6.2e1,\"1.0\",1.0]", Some("[62,-1.50,62,\"1.0\",1]")),
            ("{\"a\\\"1.0\": 1e300, \"b\":1}", None),
            ("-0.0", Some("-0")),
        ] {
            assert_eq!(with_whole_numbers(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn accepts_json_media_types_only() {
        let check = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(field));
            }
            check_media_type(&headers).map_err(|error| {
                assert_eq!(error.headers()["accept"], "application/json");
                error.status().as_u16()
            })
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
        ] {
            assert_eq!(check(&[good]), Ok(()), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/jsonp",
            "application/+json",
            "text/plain, application/a+json",
            "/a+json",
            "a b/c+json",
            "json",
            "",
        ] {
            assert_eq!(check(&[bad]), Err(415), "{bad}");
        }
        assert_eq!(check(&[]), Err(415));
        assert_eq!(check(&["application/json", "text/plain"]), Err(415));
    }
}
