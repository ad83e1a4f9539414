use palisade_core::syntax::{PercentByte, is_unreserved, percent_decode};

/// Paths that have a configuration of their own. Matched in whole segments, as the router does, and the longest first.
#[derive(Clone, Debug)]
pub(crate) struct Paths<T>(Vec<(Box<str>, T)>);

/// The rules for a path.
#[derive(Debug)]
pub(crate) enum Rule<'a, T> {
    Default,
    Other(&'a T),
    /// A router could interpret the path in two ways, so no page may read the response.
    Ambiguous,
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Paths<T> {
    pub(crate) fn new(mut paths: Vec<(Box<str>, T)>) -> Self {
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(paths)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rule(&self, path: &str) -> Rule<'_, T> {
        if self.is_empty() {
            return Rule::Default;
        }
        if is_ambiguous(path) {
            return Rule::Ambiguous;
        }
        let mut paths = self.0.iter();
        let found = paths.find(|(prefix, _)| is_at_or_below(path, prefix));
        found.map_or(Rule::Default, |(_, rules)| Rule::Other(rules))
    }
}

fn is_at_or_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Some router, or the proxy before it, reads another path here: `/%61dmin`, `//admin`, `/public/../admin`,
/// `/public%2F..%2Fadmin`, `/public/;x/admin`.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    let segments = || path.split('/').skip(1);
    path.contains(['\\', ';'])
        || segments().any(|segment| matches!(segment, "." | ".."))
        || path.contains("//")
        || percent_decode(path.as_bytes()).any(|byte| match byte {
            PercentByte::Plain(_) => false,
            // An encoded slash can be read as one segment or as two.
            PercentByte::Encoded(byte) => is_unreserved(byte) || matches!(byte, b'/' | b'\\' | 0),
            PercentByte::Invalid => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_whole_segments_and_the_longest_prefix_wins() {
        let prefixes = ["/public", "/public/not", "/v1/items"];
        let paths = Paths::new(prefixes.map(|prefix| (prefix.into(), prefix)).into());
        let found = |path: &str| match paths.rule(path) {
            Rule::Default => "default",
            Rule::Ambiguous => "ambiguous",
            Rule::Other(prefix) => prefix,
        };
        for (path, expected) in [
            ("/public", "/public"),
            ("/public/", "/public"),
            ("/public/a/b", "/public"),
            ("/public/a%20b", "/public"),
            ("/public/nothing", "/public"),
            ("/public/not/a", "/public/not"),
            ("/v1/items/7", "/v1/items"),
            ("/v1", "default"),
            ("/", "default"),
            ("*", "default"),
            ("", "default"),
            ("/publicly", "default"),
            ("/Public", "default"),
            ("/%70ublic", "ambiguous"),
            ("//public", "ambiguous"),
            ("/public/../admin", "ambiguous"),
            ("/public/.", "ambiguous"),
            ("/public%2Fnot", "ambiguous"),
            ("/public/%2e%2e/admin", "ambiguous"),
            ("/public%5cnot", "ambiguous"),
            ("/public\\not", "ambiguous"),
            ("/public;x/not", "ambiguous"),
            ("/public/%", "ambiguous"),
            ("/public/%zz", "ambiguous"),
            ("/public/%+1", "ambiguous"),
            ("/public/%00", "ambiguous"),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn malformed_path_is_not_ambiguous_without_rules() {
        assert!(matches!(Paths::<()>::default().rule("//%61"), Rule::Default));
    }
}
