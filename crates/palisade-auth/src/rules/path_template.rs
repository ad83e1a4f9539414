use std::borrow::Cow;

use palisade_core::{
    ConfigError,
    syntax::{PercentByte, RouteSegment, parse_route, percent_decode},
};

/// A path with one named parameter that is looked at, in the syntax of axum's routes.
#[derive(Clone, Debug)]
pub(super) struct PathTemplate {
    segments: Vec<Segment>,
    /// It ends in `{*rest}`: one segment more, or any number.
    has_rest: bool,
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
        let parsed = parse_route(template).map_err(|remedy| wrong(remedy.to_owned()))?;
        let has_rest = matches!(parsed.last(), Some(RouteSegment::Rest(_)));
        let mut names = Vec::new();
        let mut segments = Vec::new();
        for segment in parsed {
            segments.push(match segment {
                RouteSegment::Literal(literal) if !literal.bytes().all(is_plain) => {
                    return Err(wrong(format!(
                        "`{literal}` is not plain: use ASCII letters, digits and punctuation without `*` and `\\`"
                    )));
                }
                RouteSegment::Literal(literal) => Segment::Literal(literal.into()),
                RouteSegment::Parameter(name) | RouteSegment::Rest(name) if names.contains(&name) => {
                    return Err(wrong(format!("name `{name}` once")));
                }
                RouteSegment::Rest(name) if name == parameter => {
                    return Err(wrong(format!("`{parameter}` must be one segment")));
                }
                RouteSegment::Rest(_) => continue,
                RouteSegment::Parameter(name) => {
                    names.push(name);
                    if name == parameter { Segment::Wanted } else { Segment::Any }
                }
            });
        }
        if !segments.contains(&Segment::Wanted) {
            return Err(wrong(format!("it has no `{{{parameter}}}`")));
        }
        Ok(Self { segments, has_rest })
    }

    /// The value of the parameter in `path`, decoded once. `None`: the path does not fit, or can be read in two ways.
    pub(super) fn value_in<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let mut given = path.strip_prefix('/')?.split('/');
        let mut value = None;
        for segment in &self.segments {
            let raw = given.next()?;
            match segment {
                // Before decoding: the router compares `/admin` to the letter too, and `/%61dmin` is another path.
                Segment::Literal(literal) if **literal != *raw => return None,
                Segment::Literal(_) => {}
                Segment::Any => _ = unambiguous(raw)?,
                Segment::Wanted => value = Some(unambiguous(raw)?),
            }
        }
        let mut rest = given.peekable();
        if self.has_rest != rest.peek().is_some() {
            return None;
        }
        if rest.all(|segment| unambiguous(segment).is_some()) { value } else { None }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"*\\\"<>^`|".contains(&byte)
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
