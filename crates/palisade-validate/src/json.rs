use garde::Validate;
use http::{HeaderMap, HeaderValue, header};
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Validation,
    examine::{Shape, asked_for},
    place::Findings,
    read, rules,
    scan::{Flaw, scan},
};

/// Refuses bodies that do not say they are JSON. What a form or plain text may hold is never parsed as JSON: any page
/// may send those without a preflight.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    check(headers, "application/json", is_json)
}

/// Refuses bodies of another type, and says which would do (RFC 9110, section 15.5.16).
pub(crate) fn check(
    headers: &HeaderMap,
    expected: &'static str,
    is_expected: fn(&str) -> bool,
) -> Result<(), ApiError> {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let field = fields.next().and_then(|field| field.to_str().ok());
    match field {
        Some(field) if fields.next().is_none() && is_expected(field) => Ok(()),
        _ => Err(ApiError::unsupported_media_type()
            .with_message(format!("the body must be sent as `Content-Type: {expected}`"))
            .with_header(header::ACCEPT, HeaderValue::from_static(expected))),
    }
}

/// `application/json` or any `+json`, in UTF-8 (RFC 8259, section 8.1).
fn is_json(content_type: &str) -> bool {
    is_utf8_of(content_type, |essence| match essence.split_once('/') {
        Some(("application", "json")) => true,
        // Two types in one field are none, whichever of them is last.
        Some((kind, subtype)) => {
            is_token(kind)
                && is_token(subtype)
                && subtype.len() > "+json".len()
                && subtype.ends_with("+json")
        }
        None => false,
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}

pub(crate) fn is_utf8_of(content_type: &str, is_expected: impl Fn(&str) -> bool) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    is_expected(&essence)
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Reads a JSON body as `T` and applies its rules. `Ok(None)`: what is wrong was added.
pub(crate) fn read<T>(
    body: &[u8],
    settings: Validation,
    context: &T::Context,
    findings: &mut Findings,
) -> Result<Option<T>, ApiError>
where
    T: DeserializeOwned + Validate,
{
    let text = text_of(body)?;
    let mode = settings.json_mode();
    // Only a type that is asked says which fields it knows, and that a list is not what it wants: serde would take one for
    // a struct, field by field.
    let must_ask = mode.refuses_unknown
        || text.trim_ascii_start().starts_with('[')
            && matches!(asked_for::<T>(), Some(Shape::Struct(_)));
    // What its error is does not matter: serde_json says of a tuple with an item too many that it is no JSON.
    let parsed = if must_ask { None } else { serde_json::from_str::<T>(text).ok() };
    let tree =
        || serde_json::from_str::<Value>(text).map_err(|error| malformed(text, settings, &error));
    match parsed {
        Some(value) => {
            check_text(text, settings)?;
            let (broken, more) = rules::check(&value, context);
            if broken.is_empty() {
                return Ok(Some(value));
            }
            findings.truncated |= more;
            let found = read::broken::<T>(broken, tree()?, text.len(), mode, context);
            findings.add(IssueSource::Body, found);
            Ok(None)
        }
        None => {
            // JSON, but not a `T`. It is looked at again, slowly, for all that is wrong with it.
            let tree = tree()?;
            check_text(text, settings)?;
            let read = read::examined(tree, text.len(), mode, context);
            findings.truncated |= read.truncated;
            findings.add(IssueSource::Body, read.found);
            Ok(read.value)
        }
    }
}

/// Any JSON value, without duplicate keys and not deeper than allowed.
#[cfg(feature = "json-schema")]
pub(crate) fn value(body: &[u8], settings: Validation) -> Result<Value, ApiError> {
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

fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::invalid_json().with_message(message)
}

/// Both count from 1. A column is a byte, as for serde_json.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

fn check_text(text: &str, settings: Validation) -> Result<(), ApiError> {
    scan(text, settings.depth(), settings.allows_duplicate_keys())
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

/// serde_json's own words may name types, or repeat what came. Its positions do not.
fn malformed(text: &str, settings: Validation, error: &serde_json::Error) -> ApiError {
    // It has a limit to depth, too, and says no more than that something is wrong.
    if let Err(flaw @ Flaw::TooDeep { .. }) = scan(text, settings.depth(), true) {
        return flawed(text, &flaw);
    }
    let what = if text.trim_ascii().is_empty() {
        return refuse("the body is blank, and JSON is expected");
    } else if error.is_eof() {
        "it ends too early: "
    } else if error.to_string().starts_with("trailing characters") {
        "there is more after its end: "
    } else {
        ""
    };
    // It counts the end of a line, where that is what is wrong, as before the first column of the next.
    let (line, column) = (error.line(), error.column().max(1));
    refuse(format!("the body is not valid JSON: {what}line {line}, column {column}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_json() {
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
