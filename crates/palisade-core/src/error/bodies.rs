//! The bodies of errors over HTTP.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use serde::Serialize;

use super::{ApiError, ErrorFormat, Issue, issue_lists::BesideIssues, problem_types::ProblemTypes};
use crate::syntax::HtmlText;

#[derive(Serialize)]
struct Envelope<'a> {
    error: EnvelopeError<'a>,
}

#[derive(Serialize)]
struct EnvelopeError<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Flat<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    issues: &'a [Issue],
    #[serde(flatten)]
    beside_issues: BesideIssues<'a>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'a str>,
}

/// The body of an error. A custom format is rendered by the layer that has the request's head.
pub(super) fn render(
    format: &ErrorFormat,
    error: &ApiError,
    types: &ProblemTypes,
    request_id: Option<&str>,
) -> Bytes {
    let (code, message, issues) = (error.code(), error.message(), error.listed_issues());
    let field = error.field();
    let beside_issues = BesideIssues(error);
    match format {
        ErrorFormat::Envelope | ErrorFormat::Custom(_) => {
            let error = EnvelopeError { code, message, field, issues, beside_issues, request_id };
            json(&Envelope { error })
        }
        ErrorFormat::Flat => {
            json(&Flat { error: message, code, field, issues, beside_issues, request_id })
        }
        ErrorFormat::Problem => {
            let (r#type, title) = types.for_error(error);
            json(&Problem {
                r#type,
                title,
                status: error.status().as_u16(),
                detail: message,
                instance: request_id.map(instance),
                code,
                field,
                issues,
                beside_issues,
                violated_policies: error
                    .quota_violations()
                    .iter()
                    .map(|quota| &*quota.name)
                    .collect(),
            })
        }
        ErrorFormat::Text => written(|text| write_text(text, error, request_id)),
        ErrorFormat::Html => written(|page| write_html(page, error, request_id)),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and lists of them cannot fail to serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> Bytes {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut body);
    body.into()
}

/// The request id as a URI reference.
fn instance(request_id: &str) -> String {
    let scheme = if is_uuid(request_id) { "urn:uuid" } else { "urn:request" };
    format!("{scheme}:{request_id}")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The text for `truncated: true` in formats for people.
const MORE_ISSUES: &str = "and more";

fn write_text(text: &mut String, error: &ApiError, request_id: Option<&str>) -> fmt::Result {
    writeln!(text, "{}", error.message())?;
    for issue in error.issues() {
        match &*issue.path {
            "" => writeln!(text, "- {}", issue.message)?,
            path => writeln!(text, "- {path}: {}", issue.message)?,
        }
    }
    if error.issues_are_truncated() {
        writeln!(text, "- {MORE_ISSUES}")?;
    }
    writeln!(text, "code: {}", error.code())?;
    if let Some(field) = error.field() {
        writeln!(text, "field: {field}")?;
    }
    if let Some(id) = request_id {
        writeln!(text, "request id: {id}")?;
    }
    Ok(())
}

// The path of an issue is made of names that a client chose, so all text is escaped.
fn write_html(page: &mut String, error: &ApiError, request_id: Option<&str>) -> fmt::Result {
    let status = error.status();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status}</title></head>\n\
         <body>\n<h1>{status}</h1>\n<p>{}</p>\n",
        HtmlText(error.message())
    )?;
    if !error.issues().is_empty() {
        page.push_str("<ul>\n");
        for Issue { path, message, .. } in error.issues() {
            match &**path {
                "" => writeln!(page, "<li>{}</li>", HtmlText(message))?,
                path => {
                    writeln!(
                        page,
                        "<li><code>{}</code>: {}</li>",
                        HtmlText(path),
                        HtmlText(message)
                    )?;
                }
            }
        }
        if error.issues_are_truncated() {
            writeln!(page, "<li>{MORE_ISSUES}</li>")?;
        }
        page.push_str("</ul>\n");
    }
    write!(page, "<p><small>Code <code>{}</code>", HtmlText(error.code()))?;
    if let Some(field) = error.field() {
        write!(page, ", field <code>{}</code>", HtmlText(field))?;
    }
    if let Some(id) = request_id {
        write!(page, ", request <code>{}</code>", HtmlText(id))?;
    }
    page.push_str("</small></p>\n</body>\n</html>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_page_escapes_all_values() {
        let evil = "<script>alert('1')</script>&\"";
        let error = ApiError::validation([Issue::new(evil, "unknown_field", evil)])
            .with_code(evil)
            .with_message(evil);
        let page = render(&ErrorFormat::Html, &error, &ProblemTypes::default(), Some(evil));
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("<script") && !page.contains("'1'"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 6);
    }

    #[test]
    fn every_format_has_the_field_and_the_request_id() {
        let error = ApiError::bad_request().with_field("email");
        for (format, field, id) in [
            (ErrorFormat::Envelope, r#""field":"email""#, r#""request_id":"req-42""#),
            (ErrorFormat::Flat, r#""field":"email""#, r#""request_id":"req-42""#),
            (ErrorFormat::Problem, r#""field":"email""#, r#""instance":"urn:request:req-42""#),
            (ErrorFormat::Text, "\nfield: email\n", "\nrequest id: req-42\n"),
            (ErrorFormat::Html, "field <code>email</code>", "request <code>req-42</code>"),
        ] {
            let body = render(&format, &error, &ProblemTypes::default(), Some("req-42"));
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains(field) && body.contains(id), "{format:?}: {body}");
        }
    }

    #[test]
    fn problem_instance_is_a_urn_of_the_request_id() {
        assert_eq!(
            instance("01890a5d-ac96-774b-bcce-b302099a8057"),
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057"
        );
        assert_eq!(instance("req-42"), "urn:request:req-42");
    }
}
