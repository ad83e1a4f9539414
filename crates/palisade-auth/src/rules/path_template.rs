use std::borrow::Cow;

use palisade_core::{
    ConfigError,
    syntax::{PercentByte, percent_decode},
};

/// A path with one named parameter that is looked at, in the syntax of axum's routes.
#[derive(Clone, Debug)]
pub(super) struct PathTemplate {
    segments: Vec<Segment>,
    /// It ends in `{*rest}`: one segment more, or any number.
    has_rest: bool,
    ends_in_slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// A parameter that is not looked at.
    Any,
    /// The one that is.
    Wanted,
}

const SETTING: &str = "path template";

impl PathTemplate {
    pub(super) fn parse(template: &str, parameter: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy: String| ConfigError::new(SETTING, template, remedy);
        let Some(path) = template.strip_prefix('/') else {
            return Err(wrong("begin with a slash".to_owned()));
        };
        let ends_in_slash = path.ends_with('/');
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut names = Vec::new();
        let mut segments = Vec::new();
        let mut has_rest = false;
        for segment in path.split('/') {
            if has_rest {
                return Err(wrong("nothing can follow a `{*…}`".to_owned()));
            }
            let braced = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            match braced {
                Some(name) => {
                    let rest = name.strip_prefix('*');
                    has_rest = rest.is_some();
                    let name = rest.unwrap_or(name);
                    if name.is_empty() || name.contains(['{', '}', '*']) {
                        return Err(wrong(format!(
                            "`{segment}` is no parameter: write `{{name}}`"
                        )));
                    }
                    if names.contains(&name) {
                        return Err(wrong(format!("name `{name}` once")));
                    }
                    names.push(name);
                    match rest {
                        Some(rest) if rest == parameter => {
                            return Err(wrong(format!("`{parameter}` must be one segment")));
                        }
                        Some(_) => {}
                        None if name == parameter => segments.push(Segment::Wanted),
                        None => segments.push(Segment::Any),
                    }
                }
                None if is_plain_literal(segment) => {
                    segments.push(Segment::Literal(segment.into()));
                }
                None => {
                    return Err(wrong(format!(
                        "`{segment}` is neither a parameter nor plain: a whole segment in braces, or ASCII without \
                         `%`, `{{`, `}}`, `*` and `\\`, and not empty, `.` or `..`"
                    )));
                }
            }
        }
        if has_rest && ends_in_slash {
            return Err(wrong("nothing can follow a `{*…}`".to_owned()));
        }
        if !segments.contains(&Segment::Wanted) {
            return Err(wrong(format!("it has no `{{{parameter}}}`")));
        }
        Ok(Self { segments, has_rest, ends_in_slash })
    }

    /// The value of the parameter in `path`, decoded once. `None`: the path does not fit, or can be read in two ways.
    pub(super) fn value_in<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let path = path.strip_prefix('/')?;
        let path = if self.ends_in_slash { path.strip_suffix('/')? } else { path };
        let mut given = path.split('/');
        let mut value = None;
        for segment in &self.segments {
            let raw = given.next()?;
            let decoded = unambiguous(raw)?;
            match segment {
                // Before decoding: the router compares `/admin` to the letter too, and `/%61dmin` is another path.
                Segment::Literal(literal) if **literal != *raw => return None,
                Segment::Literal(_) | Segment::Any => {}
                Segment::Wanted => value = Some(decoded),
            }
        }
        let mut rest = given.peekable();
        if self.has_rest != rest.peek().is_some() {
            return None;
        }
        if rest.all(|segment| unambiguous(segment).is_some()) { value } else { None }
    }
}

fn is_plain_literal(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"%{}*\\?#\"<>^`|".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

/// Decodes a segment once. Returns `None` if proxies and routers could read it differently: an empty segment (`//`), `.` or
/// `..`, an encoded slash or backslash, a control character, a double encoding, or invalid UTF-8.
fn unambiguous(segment: &str) -> Option<Cow<'_, str>> {
    let decoded = decode_once(segment)?;
    let ambiguous = |char: char| char.is_control() || matches!(char, '/' | '\\' | '%');
    if matches!(&*decoded, "" | "." | "..") || decoded.contains(ambiguous) {
        return None;
    }
    Some(decoded)
}

fn decode_once(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let decoded = percent_decode(segment.as_bytes()).map(|byte| match byte {
        PercentByte::Plain(byte) | PercentByte::Encoded(byte) => Some(byte),
        PercentByte::Invalid => None,
    });
    String::from_utf8(decoded.collect::<Option<_>>()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(template: &str, path: &str) -> Option<String> {
        let template = PathTemplate::parse(template, "org").unwrap();
        template.value_in(path).map(Cow::into_owned)
    }

    #[test]
    fn path_must_match_the_template_exactly() {
        let found = Some("acme".to_owned());
        assert_eq!(value("/orgs/{org}", "/orgs/acme"), found);
        assert_eq!(value("/orgs/{org}/items/{id}", "/orgs/acme/items/7"), found);
        assert_eq!(value("/orgs/{org}/", "/orgs/acme/"), found);
        assert_eq!(value("/{org}/{*rest}", "/acme/a/b/c"), found);
        assert_eq!(value("/orgs/{org}", "/orgs/caf%C3%A9"), Some("café".to_owned()));
        assert_eq!(value("/orgs/{org}", "/orgs/%61cme"), found);
        for path in [
            "/orgs/acme/",
            "/orgs/acme/x",
            "/orgs",
            "/orgs/",
            "/Orgs/acme",
            "//orgs/acme",
            "/orgs//acme",
            "orgs/acme",
            "/%6frgs/acme",
            "/orgs%2Facme",
            "/orgs/acme%2F",
            "/orgs/acme%2Fx",
            "/orgs/%2Facme",
            "/orgs/%5Cacme",
            "/orgs/a\\b",
            "/orgs/..",
            "/orgs/.",
            "/orgs/%2e%2e",
            "/orgs/%2E",
            "/orgs/./acme",
            "/x/../orgs/acme",
            "/orgs/%2561cme",
            "/orgs/acme%00",
            "/orgs/acme%0a",
            "/orgs/acme%",
            "/orgs/acme%6",
            "/orgs/acme%zz",
            "/orgs/%+1",
            "/orgs/%ff",
            "/orgs/%c0%af",
            "",
            "*",
        ] {
            assert_eq!(value("/orgs/{org}", path), None, "{path}");
        }
        for path in [
            "/acme",
            "/acme/",
            "/acme//x",
            "/acme/x/",
            "/acme/x/../y",
            "/acme/%2e%2e/x",
            "/acme/x%2Fy",
        ] {
            assert_eq!(value("/{org}/{*rest}", path), None, "{path}");
        }
        assert_eq!(value("/orgs/{org}/", "/orgs/acme"), None);
        assert_eq!(value("/orgs/{org}/", "/orgs/acme//"), None);
    }

    #[test]
    fn invalid_templates_are_config_errors() {
        for template in [
            "",
            "orgs/{org}",
            "/orgs",
            "/",
            "/orgs/{id}",
            "/orgs/{org}/{org}",
            "/{*org}",
            "/{org}/{*rest}/x",
            "/{org}/{*rest}/",
            "/orgs/{org",
            "/orgs/x{org}",
            "/orgs/{org}x",
            "/{org}/{}",
            "/{org}/{*}",
            "//{org}",
            "/orgs/../{org}",
            "/%6frgs/{org}",
            "/ørgs/{org}",
            "/{org}/a*",
            "/{org}/a\\b",
            "/{org}//",
            "/{org}/a?b",
        ] {
            let error = PathTemplate::parse(template, "org").map(|_| template).unwrap_err();
            assert_eq!(error.setting(), SETTING, "{template}");
        }
    }
}
