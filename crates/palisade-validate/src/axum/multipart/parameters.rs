//! The parameters of `Content-Type` and `Content-Disposition`, as forms write them.

use http::{HeaderMap, HeaderName, header};

/// The names of a part of a form.
#[derive(Debug, PartialEq)]
pub(super) struct Disposition {
    pub(super) field: String,
    /// `Some` for a file.
    pub(super) file: Option<String>,
}

impl Disposition {
    /// Reads the headers of a part. The error says what is wrong.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, &'static str> {
        const MALFORMED: &str = "a part of the form has a malformed `Content-Disposition`";
        let value = single(headers, &header::CONTENT_DISPOSITION).ok_or(MALFORMED)?;
        let (kind, parameters) = parse(value).ok_or(MALFORMED)?;
        if !kind.eq_ignore_ascii_case("form-data") {
            return Err(MALFORMED);
        }
        // Two readers of such a part could each take another of its names.
        let once = |name: &str, twice| at_most_once(&parameters, name).map_err(|TwiceError| twice);
        const TWO_NAMES: &str = "a part of the form has two names";
        let field = once("name", TWO_NAMES)?;
        // Forms never have `name*` either, which other readers would prefer.
        if parameters.iter().any(|(name, _)| name.starts_with("name*")) {
            return Err(TWO_NAMES);
        }
        let file = once("filename", "a part of the form has two file names")?;
        // Forms must not have `filename*` (RFC 7578, section 4.2). Without the usual name, what is a file to others would
        // be a text here; beside it, as .NET writes both, the usual name counts.
        if file.is_none() && parameters.iter().any(|(name, _)| name.starts_with("filename*")) {
            return Err("a file of the form has no name that is written as `filename=`");
        }
        let field = field.ok_or("a part of the form has no name")?;
        Ok(Self { field: unescaped(field), file: file.map(unescaped) })
    }
}

/// Returns the boundary of a form.
pub(super) fn boundary(headers: &HeaderMap) -> Result<String, &'static str> {
    let parameters = single(headers, &header::CONTENT_TYPE).and_then(parse);
    let (_, parameters) = parameters.ok_or("the media type of the form is malformed")?;
    match at_most_once(&parameters, "boundary") {
        // RFC 2046, section 5.1.1.
        Ok(Some(boundary)) if (1..=70).contains(&boundary.len()) => Ok(boundary.to_owned()),
        Ok(_) => Err("the multipart body has no boundary"),
        Err(TwiceError) => Err("the multipart body has two boundaries"),
    }
}

/// The value of a header that is there once, in UTF-8.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value.as_bytes()).ok() }
}

struct TwiceError;

fn at_most_once<'p>(
    parameters: &'p [(String, String)],
    name: &str,
) -> Result<Option<&'p str>, TwiceError> {
    let mut values =
        parameters.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(TwiceError),
        (value, None) => Ok(value),
    }
}

/// A value and its parameters (RFC 9110, section 5.6.6), whose names are case-insensitive and come in lower case.
fn parse(field: &str) -> Option<(&str, Vec<(String, String)>)> {
    let (value, mut rest) = field.split_at(field.find(';').unwrap_or(field.len()));
    let mut parameters = Vec::new();
    while let Some(next) = rest.strip_prefix(';') {
        let next = next.trim_start();
        if next.is_empty() || next.starts_with(';') {
            rest = next;
            continue;
        }
        let (name, value) = next.split_once('=')?;
        let name = name.trim_end().to_ascii_lowercase();
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let (value, after) = value.split_at(value.find(';').unwrap_or(value.len()));
                (value.trim().to_owned(), after)
            }
        };
        if name.is_empty() || name.contains([';', '"', ' ']) {
            return None;
        }
        parameters.push((name, value));
        rest = after.trim_start();
    }
    rest.is_empty().then_some((value.trim(), parameters))
}

/// The text up to its closing quote, and what follows. Only `\"` and `\\` are escapes: Internet Explorer sent paths with
/// plain backslashes.
fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                text.push(escaped.map_or('\\', |(_, escaped)| escaped));
            }
            _ => text.push(character),
        }
    }
    None
}

/// The escapes of names in forms, and no others ("Multipart form data" in the HTML standard, section 4.10.21.8).
fn unescaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3).unwrap_or_default().to_ascii_uppercase();
        let (character, length) = match &*escape {
            "%22" => ('"', 3),
            "%0D" => ('\r', 3),
            "%0A" => ('\n', 3),
            _ => ('%', 1),
        };
        text.push(character);
        rest = &rest[at + length..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn part(values: &[&str]) -> Result<Disposition, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(header::CONTENT_DISPOSITION, value);
        }
        Disposition::from_headers(&headers)
    }

    fn named(field: &str, file: Option<&str>) -> Result<Disposition, &'static str> {
        Ok(Disposition { field: field.to_owned(), file: file.map(str::to_owned) })
    }

    #[test]
    fn parses_parameters_as_browsers_write_them() {
        for (value, expected) in [
            (r#"form-data; name="a""#, named("a", None)),
            (r#"Form-Data; NAME="a"; FileName="b.txt""#, named("a", Some("b.txt"))),
            (r#"form-data;name=a;filename=b.txt;"#, named("a", Some("b.txt"))),
            (r#"form-data ; filename = "" ; name = "a""#, named("a", Some(""))),
            (r#"form-data; name="a%22b"; filename="%0d%0A%20%""#, named("a\"b", Some("\r\n%20%"))),
            (r#"form-data; name="a\"b"; filename="C:\dir\\b""#, named("a\"b", Some(r"C:\dir\b"))),
            (r#"form-data; name="a; filename=b""#, named("a; filename=b", None)),
            (r#"form-data; name="ü"; filename="日本.txt""#, named("ü", Some("日本.txt"))),
            (r#"form-data; name="a"; filename="b"; filename*=UTF-8''b"#, named("a", Some("b"))),
        ] {
            assert_eq!(part(&[value]), expected, "{value}");
        }
    }

    #[test]
    fn ambiguous_names_are_rejected() {
        for (values, expected) in [
            (&[r#"form-data; name="a"; name="b""#][..], "two names"),
            (&[r#"form-data; name="a"; Name=a"#], "two names"),
            (&[r#"form-data; name="a"; name*=UTF-8''b"#], "two names"),
            (&[r#"form-data; name="a"; filename="b"; FILENAME="c""#], "two file names"),
            (&[r#"form-data; name="a"; filename*=UTF-8''b"#], "`filename=`"),
            (&["form-data"], "no name"),
            (&[r#"attachment; name="a""#], "malformed"),
            (&[r#"form-data; name="a"#], "malformed"),
            (&[r#"form-data; name="a" x; filename=b"#], "malformed"),
            (&[r#"form-data; name"#], "malformed"),
            (&[r#"form-data; name="a""#, r#"form-data; name="a""#], "malformed"),
            (&[], "malformed"),
        ] {
            let error = part(values).unwrap_err();
            assert!(error.contains(expected), "{values:?}: {error}");
        }
    }

    #[test]
    fn boundary_must_be_present_exactly_once() {
        let boundary = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            boundary(&headers)
        };
        assert_eq!(boundary("multipart/form-data; Boundary=x"), Ok("x".to_owned()));
        assert_eq!(boundary(r#"multipart/form-data; boundary="x;y""#), Ok("x;y".to_owned()));
        for bad in [
            "multipart/form-data; boundary=x; boundary=x",
            "multipart/form-data; boundary=x; BOUNDARY=y",
            "multipart/form-data; boundary=",
            "multipart/form-data",
            "multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(boundary(bad).is_err(), "{bad}");
        }
    }
}
