use palisade_core::{
    ConfigError,
    syntax::{PercentByte, RouteSegment, parse_route, percent_decode},
};

/// A path in the syntax of axum's routes: `/orders/{id}`, `/files/{*rest}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<Segment>,
    /// It ends in `{*rest}`: one segment more, or any number.
    pub(super) has_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Any,
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let parsed = parse_route(text).map_err(|remedy| ConfigError::new("at", text, remedy))?;
        let has_rest = matches!(parsed.last(), Some(RouteSegment::Rest(_)));
        let segments = parsed.into_iter().filter_map(|segment| match segment {
            RouteSegment::Literal(literal) => Some(Segment::Literal(literal.to_owned())),
            RouteSegment::Parameter(_) => Some(Segment::Any),
            RouteSegment::Rest(_) => None,
        });
        Ok(Self { segments: segments.collect(), has_rest })
    }

    /// Returns true if the path of a request matches. The oracle of the tests of [`Tree`](super::tree::Tree).
    #[cfg(test)]
    pub(super) fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut given = path.split('/');
        let begins = self.segments.iter().all(|segment| {
            given.next().is_some_and(|given| match segment {
                Segment::Literal(literal) => decoded(given).eq(literal.bytes()),
                Segment::Any => is_name(given),
            })
        });
        if !begins {
            return false;
        }
        match (self.has_rest, given.next()) {
            (false, more) => more.is_none(),
            (true, None) => false,
            (true, Some(first)) => is_name(first) && !given.any(is_dots),
        }
    }

    /// Returns true if this path matches all paths that `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let same_length = self.segments.len() == other.segments.len();
        let is_long_enough = match (self.has_rest, other.has_rest) {
            (false, has_rest) => same_length && !has_rest,
            (true, true) => other.segments.len() >= self.segments.len(),
            (true, false) => {
                // A slash at the end is no rest.
                let next = other.segments.get(self.segments.len());
                next.is_some_and(|next| *next != Segment::Literal(String::new()))
            }
        };
        let covers = |(own, other): (&Segment, &Segment)| match own {
            Segment::Any => *other != Segment::Literal(String::new()),
            Segment::Literal(_) => own == other,
        };
        is_long_enough && self.segments.iter().zip(&other.segments).all(covers)
    }
}

pub(super) fn is_name(segment: &str) -> bool {
    !segment.is_empty() && !is_dots(segment)
}

/// Returns true for `.` and `..` in any encoding, which inner services may resolve (RFC 3986, section 5.2.4).
pub(super) fn is_dots(segment: &str) -> bool {
    // Most segments begin with another character.
    segment.starts_with(['.', '%'])
        && decoded(segment).all(|byte| byte == b'.')
        && (1..=2).contains(&decoded(segment).count())
}

/// Returns the percent-decoded bytes of a segment. Invalid encodings are returned unchanged.
pub(super) fn decoded(segment: &str) -> impl Iterator<Item = u8> + '_ {
    percent_decode(segment.as_bytes()).map(|byte| match byte {
        PercentByte::Plain(byte) | PercentByte::Encoded(byte) => byte,
        PercentByte::Invalid => b'%',
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn path_matches_any_percent_encoding_of_itself_only() {
        for (text, matching, others) in [
            ("/", &["/"][..], &["", "//", "/x", "*"][..]),
            (
                "/admin",
                &["/admin", "/%61dmin", "/%61%64%6d%69%6E"],
                &[
                    "/",
                    "/admin/",
                    "//admin",
                    "/admin%2F",
                    "/admin%2f",
                    "/Admin",
                    "/x/../admin",
                    "/./admin",
                    "/admin;x=1",
                    "/admin%",
                    "/admin%zz",
                    "admin",
                ],
            ),
            ("/admin/", &["/admin/"], &["/admin", "/admin//"]),
            (
                "/orders/{id}",
                &["/orders/7", "/orders/caf%C3%A9", "/orders/a%2Fb", "/orders/..."],
                &[
                    "/orders",
                    "/orders/",
                    "/orders/7/",
                    "/orders/7/x",
                    "/orders/..",
                    "/orders/%2e%2E",
                ],
            ),
            (
                "/files/{*rest}",
                &["/files/a", "/files/a/b/c", "/files/a/"],
                &["/files", "/files/", "/files//a", "/files/../a", "/files/a/../b", "/files/a/%2e"],
            ),
        ] {
            for given in matching {
                assert!(path(text).matches(given), "{text} matches {given}");
            }
            for given in others {
                assert!(!path(text).matches(given), "{text} does not match {given}");
            }
        }
    }

    #[test]
    fn unmatchable_paths_are_config_errors() {
        for text in [
            "",
            "orders",
            "*",
            "/{}",
            "/{*}",
            "/x{id}",
            "/{id}x",
            "/{*rest}/x",
            "//x",
            "/x//y",
            "/./x",
            "/..",
            "/x?y",
            "/a%20b",
            "/{a{b}}",
        ] {
            let error = Path::parse(text).expect_err(text);
            assert_eq!(error.setting(), "at");
        }
    }

    #[test]
    fn covers_is_true_if_every_path_of_the_other_matches() {
        for (one, other, covers) in [
            ("/a", "/a", true),
            ("/{x}", "/a", true),
            ("/{x}", "/{y}", true),
            ("/a", "/{x}", false),
            ("/{x}", "/", false),
            ("/{x}", "/a/b", false),
            ("/a/{*rest}", "/a/b", true),
            ("/a/{*rest}", "/a/b/{c}", true),
            ("/a/{*rest}", "/a/{*other}", true),
            ("/a/{*rest}", "/a/b/{*other}", true),
            ("/a/{*rest}", "/a", false),
            ("/a/{*rest}", "/a/", false),
            ("/a/{x}", "/a/{*rest}", false),
            ("/{*rest}", "/", false),
        ] {
            assert_eq!(path(one).covers(&path(other)), covers, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic(text in any::<String>(), given in any::<String>()) {
            if let Ok(path) = Path::parse(&text) {
                path.matches(&given);
            }
            path("/a/{b}/{*c}").matches(&given);
        }
    }
}
