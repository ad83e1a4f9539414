use std::{borrow::Cow, collections::HashMap};

use super::path::{Path, Segment, decoded, is_dots, is_name};

/// The listed paths by their segments. A request's path is found in time proportional to its segments instead of the number of
/// listed paths, unless several of them overlap.
///
/// Not the tree of axum's router, `matchit`: it prefers the most specific path, where [`Methods`](super::Methods) takes the
/// first one that is listed, and it compares paths without decoding their segments.
#[derive(Debug, Default)]
pub(super) struct Tree {
    literals: HashMap<Box<[u8]>, Self>,
    any: Option<Box<Self>>,
    /// The position of the path that ends here.
    end: Option<usize>,
    /// The position of the path that ends here in `{*rest}`.
    rest: Option<usize>,
    /// The first position of the paths that begin here. `None` without a path.
    first: Option<usize>,
}

impl Tree {
    /// Creates the tree of these paths, whose positions are those in the list.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut tree = Self::default();
        for (position, path) in paths.into_iter().enumerate() {
            let mut node = &mut tree;
            node.first.get_or_insert(position);
            for segment in &path.segments {
                node = match segment {
                    Segment::Literal(literal) => {
                        node.literals.entry(literal.as_bytes().into()).or_default()
                    }
                    Segment::Any => node.any.get_or_insert_default(),
                };
                node.first.get_or_insert(position);
            }
            let end = if path.has_rest { &mut node.rest } else { &mut node.end };
            end.get_or_insert(position);
        }
        tree
    }

    /// Returns the position of the first listed path that matches.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        let path = path.strip_prefix('/')?;
        // No segment of a listed path matches dots.
        if path.split('/').any(is_dots) {
            return None;
        }
        self.find_below(Some(path), None)
    }

    /// Returns the first of `found` and the positions below this node that match the rest of the path.
    fn find_below(&self, path: Option<&str>, found: Option<usize>) -> Option<usize> {
        let earlier = |one: Option<usize>, other: Option<usize>| one.into_iter().chain(other).min();
        if earlier(found, self.first) == found {
            return found;
        }
        let Some(path) = path else { return earlier(found, self.end) };
        let (segment, below) = match path.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path, None),
        };
        let literal = if segment.contains('%') {
            Cow::Owned(decoded(segment).collect())
        } else {
            Cow::Borrowed(segment.as_bytes())
        };
        let mut found = found;
        if let Some(child) = self.literals.get(&*literal) {
            found = child.find_below(below, found);
        }
        if is_name(segment) {
            if let Some(child) = &self.any {
                found = child.find_below(below, found);
            }
            found = earlier(found, self.rest);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_listed_path_is_found_however_specific_others_are() {
        let paths = ["/{x}/b", "/a/{y}", "/a/{*rest}", "/c/{*rest}", "/c/d", "/E"];
        let paths = paths.map(|path| Path::parse(path).unwrap());
        let tree = Tree::new(&paths);
        for (path, position) in [
            ("/a/b", Some(0)),
            ("/z/b", Some(0)),
            ("/a/c", Some(1)),
            ("/a/c/d", Some(2)),
            ("/c/d", Some(3)),
            ("/c/d/", Some(3)),
            ("/c", None),
            ("/z/c", None),
            ("/a/../b", None),
            ("/E", Some(5)),
            ("/e", None),
        ] {
            assert_eq!(tree.find(path), position, "{path}");
        }
    }

    proptest! {
        #[test]
        fn paths_are_found_as_if_compared_in_order(
            listed in prop::collection::vec("(/(a|b|\\{x\\})){1,3}(/\\{\\*r\\}|/)?", 0..12),
            given in "(/(a|b|c|%61|\\.|%2e|)){0,5}/?",
        ) {
            let listed: Vec<_> = listed.iter().filter_map(|path| Path::parse(path).ok()).collect();
            let expected = listed.iter().position(|path| path.matches(&given));
            prop_assert_eq!(Tree::new(&listed).find(&given), expected);
        }
    }
}
