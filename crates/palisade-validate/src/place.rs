use std::borrow::Cow;

use palisade_core::{Issue, IssueSource};
use serde_json::{Map, Value};

/// The longest field name that is repeated, in bytes. Longer ones are a client's, not a programmer's.
const MAX_NAME: usize = 128;

/// Where in a value something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Place(pub(crate) Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Name(String),
    Item(usize),
}

impl Place {
    pub(crate) fn name(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Name(name.to_owned()));
        Self(steps)
    }

    pub(crate) fn is_at_or_below(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The same place in every item of the lists that it is in.
    pub(crate) fn of_any_item(&self) -> Self {
        let steps = self.0.iter().map(|step| match step {
            Step::Item(_) => Step::Item(0),
            Step::Name(name) => Step::Name(name.clone()),
        });
        Self(steps.collect())
    }

    /// Names joined by dots, positions in brackets.
    fn dotted(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Name(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(shown(name));
                }
                Step::Item(at) => {
                    text.push('[');
                    text.push_str(&at.to_string());
                    text.push(']');
                }
            }
        }
        text
    }

    /// A JSON pointer (RFC 6901, section 3).
    fn pointer(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            text.push('/');
            match step {
                Step::Name(name) => {
                    text.push_str(&shown(name).replace('~', "~0").replace('/', "~1"));
                }
                Step::Item(at) => text.push_str(&at.to_string()),
            }
        }
        text
    }

    pub(crate) fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Item(at) => value.get(at),
        })
    }

    pub(crate) fn find_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Name(name) => value.get_mut(name),
            Step::Item(at) => value.get_mut(at),
        })
    }

    /// Puts a value there, in place of whatever is, and of a parent that is no object.
    pub(crate) fn put(&self, root: &mut Value, new: Value) {
        let Some((last, parent)) = self.0.split_last() else {
            *root = new;
            return;
        };
        if let Some(parent) = Self(parent.to_vec()).find_mut(root) {
            match (last, parent) {
                (Step::Name(name), Value::Object(object)) => {
                    object.insert(name.clone(), new);
                }
                (Step::Name(name), parent) => {
                    let mut object = Map::new();
                    object.insert(name.clone(), new);
                    *parent = Value::Object(object);
                }
                (Step::Item(at), parent) => {
                    if let Some(item) = parent.get_mut(at) {
                        *item = new;
                    } else {
                        *parent = Value::Array(vec![new]);
                    }
                }
            }
        }
    }

    /// Takes the field away.
    pub(crate) fn remove(&self, root: &mut Value) {
        if let Some((Step::Name(name), parent)) = self.0.split_last()
            && let Some(Value::Object(object)) = Self(parent.to_vec()).find_mut(root)
        {
            object.remove(name);
        }
    }
}

fn shown(name: &str) -> &str {
    if name.len() > MAX_NAME { "…" } else { name }
}

/// Something that is wrong, before it is known which part of the request it was in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
    pub(crate) params: Map<String, Value>,
}

impl Found {
    pub(crate) fn new(
        place: Place,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { place, code: code.into(), message: message.into(), params: Map::new() }
    }

    pub(crate) fn with_param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn moved(mut self, to: impl FnOnce(Place) -> Place) -> Self {
        self.place = to(self.place);
        self
    }

    pub(crate) fn into_issue(self, source: IssueSource) -> Issue {
        let mut issue = Issue::new(self.place.dotted(), self.code, self.message)
            .with_source(source)
            .with_pointer(self.place.pointer());
        issue.params = self.params;
        issue
    }
}

/// The most issues that are listed, of all parts of a request together.
pub(crate) const MAX_ISSUES: usize = 64;

/// What is wrong with a request, as far as the list goes.
#[cfg_attr(not(feature = "axum"), allow(unreachable_pub, reason = "axum's extractors name it"))]
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) issues: Vec<Issue>,
    pub(crate) truncated: bool,
}

impl Findings {
    pub(crate) fn add(&mut self, source: IssueSource, found: impl IntoIterator<Item = Found>) {
        for found in found {
            if self.issues.len() >= MAX_ISSUES {
                self.truncated = true;
                break;
            }
            self.issues.push(found.into_issue(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place(vec![Step::Name("a/b".into()), Step::Item(3), Step::Name("~c".into())])
    }

    #[test]
    fn a_place_is_told_in_two_ways() {
        assert_eq!(
            (place().dotted(), place().pointer()),
            ("a/b[3].~c".into(), "/a~1b/3/~0c".into())
        );
        assert_eq!((Place::default().dotted(), Place::default().pointer()), ("".into(), "".into()));
        assert_eq!(Place::default().name(&"x".repeat(129)).dotted(), "…");
    }

    #[test]
    fn a_place_is_inside_another_only_at_a_joint() {
        let a = Place::default().name("a");
        assert!(a.name("b").is_at_or_below(&a) && a.is_at_or_below(&a));
        assert!(a.is_at_or_below(&Place::default()));
        assert!(!Place::default().name("ab").is_at_or_below(&a) && !a.is_at_or_below(&a.name("b")));
    }

    #[test]
    fn what_is_put_somewhere_makes_room_for_itself() {
        let mut value = json!({"a": 5});
        Place::default().name("a").name("b").put(&mut value, json!(1));
        assert_eq!(value, json!({"a": {"b": 1}}));
        Place::default().name("a").name("b").remove(&mut value);
        assert_eq!(value, json!({"a": {}}));
    }
}
