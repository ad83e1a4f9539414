use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use super::{ApiError, Issue, IssueView};

impl ApiError {
    /// The messages of all issues by top-level field: `formErrors` for the input as a whole, `fieldErrors` for the rest.
    ///
    /// ```
    /// use palisade_core::{ApiError, Issue};
    ///
    /// let error = ApiError::validation([
    ///     Issue::new("", "invalid", "the passwords differ"),
    ///     Issue::new("address.city", "missing", "is missing"),
    /// ]);
    /// assert_eq!(error.flatten_issues(), serde_json::json!({
    ///     "formErrors": ["the passwords differ"],
    ///     "fieldErrors": {"address": ["is missing"]},
    /// }));
    /// ```
    pub fn flatten_issues(&self) -> Value {
        let mut form = Vec::new();
        let mut fields = Map::new();
        for issue in self.issues() {
            let message = Value::from(&*issue.message);
            match places(issue).into_iter().next() {
                None => form.push(message),
                Some(PathStep::Name(name)) => push(&mut fields, name, message),
                Some(PathStep::Item(at)) => push(&mut fields, at.to_string(), message),
            }
        }
        json!({ "fieldErrors": fields, "formErrors": form })
    }

    /// The messages of all issues, nested as the input is: `errors` here, `properties` by name, `items` by position,
    /// with `null` for those that are in order.
    ///
    /// ```
    /// use palisade_core::{ApiError, Issue};
    ///
    /// let error = ApiError::validation([Issue::new("tags[1].name", "too_short", "is too short")]);
    /// assert_eq!(error.issue_tree(), serde_json::json!({
    ///     "properties": {"tags": {"items": [null, {"properties": {"name": {"errors": ["is too short"]}}}]}},
    /// }));
    /// ```
    pub fn issue_tree(&self) -> Value {
        let mut tree = Node::default();
        for issue in self.issues() {
            let mut node = &mut tree;
            for place in places(issue) {
                node = match place {
                    PathStep::Name(name) => child(&mut node.properties, name),
                    PathStep::Item(at) => child(&mut node.items, at),
                };
            }
            node.errors.push(issue.message.to_string());
        }
        tree.to_json()
    }
}

fn push(fields: &mut Map<String, Value>, name: String, message: Value) {
    if let Value::Array(messages) = fields.entry(name).or_insert_with(|| json!([])) {
        messages.push(message);
    }
}

/// Returns the child with this key, or adds one. A list instead of an array, so that clients cannot choose its length by an
/// index.
fn child<K: PartialEq>(children: &mut Vec<(K, Node)>, key: K) -> &mut Node {
    let at = children.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
        children.push((key, Node::default()));
        children.len() - 1
    });
    &mut children[at].1
}

#[derive(Default)]
struct Node {
    errors: Vec<String>,
    properties: Vec<(String, Node)>,
    items: Vec<(usize, Node)>,
}

/// A list with a mistake further back is not filled up to it with `null`: it would be as long as a client likes.
const MAX_GAPS: usize = 256;

impl Node {
    fn to_json(&self) -> Value {
        let mut node = Map::new();
        if !self.errors.is_empty() {
            node.insert("errors".to_owned(), json!(self.errors));
        }
        let mut properties = Map::new();
        for (name, child) in &self.properties {
            properties.insert(name.clone(), child.to_json());
        }
        let fits = self.items.iter().all(|(at, _)| *at <= MAX_GAPS);
        if fits {
            let end = self.items.iter().map(|(at, _)| at + 1).max().unwrap_or_default();
            let mut items = vec![Value::Null; end];
            for (at, child) in &self.items {
                items[*at] = child.to_json();
            }
            if !items.is_empty() {
                node.insert("items".to_owned(), Value::Array(items));
            }
        } else {
            for (at, child) in &self.items {
                properties.insert(at.to_string(), child.to_json());
            }
        }
        if !properties.is_empty() {
            node.insert("properties".to_owned(), Value::Object(properties));
        }
        Value::Object(node)
    }
}

enum PathStep {
    Name(String),
    Item(usize),
}

/// Returns the steps to an issue, from its pointer if present, else from its path. The path tells which steps of the pointer
/// are list positions.
fn places(issue: &Issue) -> Vec<PathStep> {
    match &issue.pointer {
        Some(pointer) => {
            let mut rest = issue.path.as_str();
            pointer
                .split('/')
                .skip(1)
                .map(|step| {
                    let name = step.replace("~1", "/").replace("~0", "~");
                    let bracketed = format!("[{name}]");
                    if let (Some(after), Ok(at)) = (rest.strip_prefix(&bracketed), name.parse()) {
                        rest = after;
                        return PathStep::Item(at);
                    }
                    let after = rest.strip_prefix('.').unwrap_or(rest);
                    rest = after.strip_prefix(name.as_str()).unwrap_or(after);
                    PathStep::Name(name)
                })
                .collect()
        }
        None => {
            let steps = issue.path.split(['.', '[']).filter(|step| !step.is_empty());
            let place = |step: &str| match step.strip_suffix(']').map(str::parse) {
                Some(Ok(at)) => PathStep::Item(at),
                _ => PathStep::Name(step.to_owned()),
            };
            steps.map(place).collect()
        }
    }
}

/// The members of an error's body that are about its issues, but for the list itself.
pub(super) struct BesideIssues<'a>(pub(super) &'a ApiError);

impl Serialize for BesideIssues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        if !self.0.issues().is_empty() {
            match self.0.issue_view() {
                IssueView::List => {}
                IssueView::Flat => {
                    for (name, value) in self.0.flatten_issues().as_object().into_iter().flatten() {
                        members.serialize_entry(name, value)?;
                    }
                }
                IssueView::Tree => members.serialize_entry("tree", &self.0.issue_tree())?,
            }
        }
        if self.0.issues_are_truncated() {
            members.serialize_entry("truncated", &true)?;
        }
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> ApiError {
        ApiError::validation([
            Issue::new("", "invalid", "whole"),
            Issue::new("a.b", "invalid", "nested").with_pointer("/a/b"),
            Issue::new("a.b", "invalid", "a dot").with_pointer("/a.b"),
            Issue::new("list[2][0].x", "invalid", "deep").with_pointer("/list/2/0/x"),
            Issue::new("map.7", "invalid", "a name").with_pointer("/map/7"),
        ])
    }

    #[test]
    fn tree_distinguishes_fields_list_positions_and_dotted_names() {
        let expected = json!({
            "errors": ["whole"],
            "properties": {
                "a": {"properties": {"b": {"errors": ["nested"]}}},
                "a.b": {"errors": ["a dot"]},
                "list": {"items": [null, null, {"items": [{"properties": {"x": {"errors": ["deep"]}}}]}]},
                "map": {"properties": {"7": {"errors": ["a name"]}}},
            },
        });
        assert_eq!(error().issue_tree(), expected);
    }

    #[test]
    fn flat_view_groups_issues_by_top_level_field() {
        let expected = json!({
            "formErrors": ["whole"],
            "fieldErrors": {"a": ["nested"], "a.b": ["a dot"], "list": ["deep"], "map": ["a name"]},
        });
        assert_eq!(error().flatten_issues(), expected);
    }

    #[test]
    fn names_with_meaning_in_javascript_are_plain_names() {
        let error = ApiError::validation([
            Issue::new("__proto__.x", "invalid", "a").with_pointer("/__proto__/x"),
            Issue::new("constructor", "invalid", "b").with_pointer("/constructor"),
        ]);
        assert_eq!(error.flatten_issues()["fieldErrors"]["__proto__"], json!(["a"]));
        assert_eq!(error.issue_tree()["properties"]["constructor"]["errors"], json!(["b"]));
    }

    #[test]
    fn huge_position_allocates_no_list() {
        let far = format!("/{}", u64::MAX);
        let error = ApiError::validation([
            Issue::new(format!("[{}]", u64::MAX), "invalid", "far").with_pointer(far)
        ]);
        assert_eq!(
            error.issue_tree()["properties"][u64::MAX.to_string()]["errors"],
            json!(["far"])
        );
    }
}
