use std::borrow::Cow;

use palisade_core::{Issue, IssueSource};
use serde_json::{Map, Value};

use crate::issue_codes::Code;

/// The longest field name that is repeated, in bytes. Longer ones are a client's, not a programmer's.
const MAX_NAME: usize = 128;

/// Where in a value something is.
#[derive(Clone, Debug, Default, Eq)]
pub(crate) struct Place(pub(crate) Vec<Step>);

/// From the end: places in a list that is deep inside differ there.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().rev().eq(other.0.iter().rev())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The steps to the enclosing value.
    #[cfg(feature = "json-schema")]
    pub(crate) fn parent(&self) -> Option<&[Step]> {
        self.0.split_last().map(|(_, parent)| parent)
    }

    /// Leaves out a name that is too long to be repeated, and the steps inside of it. Returns true if there was one.
    fn end_before_long_name(&mut self) -> bool {
        let is_long = |step: &Step| matches!(step, Step::Name(name) if name.len() > MAX_NAME);
        let end = self.0.iter().position(is_long);
        self.0.truncate(end.unwrap_or(self.0.len()));
        end.is_some()
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
                    text.push_str(name);
                }
                Step::Item(at) => text.push_str(&format!("[{at}]")),
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
                Step::Name(name) if name.contains('~') || name.contains('/') => {
                    text.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
                Step::Name(name) => text.push_str(name),
                Step::Item(at) => text.push_str(&at.to_string()),
            }
        }
        text
    }
}

/// Something that is wrong, before it is known which part of the request it was in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    pub(crate) params: Map<String, Value>,
    /// Sorts issues by the order in which structs declare their fields.
    pub(crate) order: Vec<usize>,
    /// False if the place is that of an enclosing value.
    pub(crate) is_exact: bool,
}

impl Found {
    pub(crate) fn new(place: Place, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { place, code, message, params: Map::new(), order: Vec::new(), is_exact: true }
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
        let mut issue = Issue::new(self.place.dotted(), self.code.as_str(), self.message)
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
        for mut found in found {
            if self.issues.len() >= MAX_ISSUES {
                self.truncated = true;
                break;
            }
            self.truncated |= found.place.end_before_long_name();
            self.issues.push(found.into_issue(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place(vec![Step::Name("a/b".into()), Step::Item(3), Step::Name("~c".into())])
    }

    #[test]
    fn place_is_written_as_path_and_pointer() {
        assert_eq!(
            (place().dotted(), place().pointer()),
            ("a/b[3].~c".into(), "/a~1b/3/~0c".into())
        );
        assert_eq!((Place::default().dotted(), Place::default().pointer()), ("".into(), "".into()));
    }
}
