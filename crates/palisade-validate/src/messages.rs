use std::{collections::HashMap, fmt};

use palisade_core::Issue;
use serde_json::Value;

/// The words of issues: by code, by field, from a table or from a closure.
///
/// A message may contain parameters of the issue in braces, such as `{min}`. The most specific message counts: that of a
/// field and a code, then the one that the closure returns, then that of the code, then the built-in one in English.
///
/// ```
/// use garde::Validate;
/// use palisade_validate::{Messages, Validation};
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize, Validate)]
/// struct Order {
///     #[garde(length(chars, min = 3))]
///     customer: String,
///     #[garde(length(min = 1), inner(length(chars, min = 1)))]
///     codes: Vec<String>,
/// }
///
/// let german = Messages::table([("missing", "fehlt"), ("too_short", "mindestens {min} Zeichen")])
///     .field("codes", "too_short", "mindestens ein Code")
///     .field("codes[]", "too_short", "ein Code fehlt");
/// let settings = Validation::new().messages(german);
///
/// let error = settings.json::<Order>(br#"{"customer":"A","codes":["lamp",""]}"#).unwrap_err();
/// assert_eq!(error.issues()[0].message, "mindestens 3 Zeichen");
/// assert_eq!(error.issues()[1].message, "ein Code fehlt");
/// ```
#[derive(Default)]
pub struct Messages {
    by_code: HashMap<String, String>,
    by_field: HashMap<(String, String), String>,
    closure: Option<Box<Closure>>,
}

type Closure = dyn Fn(&Issue) -> Option<String> + Send + Sync;

impl Messages {
    /// The built-in messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages by code: the codes are those of [`ISSUE_CODES`](crate::ISSUE_CODES).
    pub fn table<C: Into<String>, M: Into<String>>(
        messages: impl IntoIterator<Item = (C, M)>,
    ) -> Self {
        messages.into_iter().fold(Self::new(), |all, (code, message)| all.code(code, message))
    }

    /// Messages from a closure, which sees the code, the path and the parameters. `None`: another message is used.
    ///
    /// ```
    /// use palisade_validate::Messages;
    ///
    /// let messages = Messages::from_fn(|issue| match &*issue.code {
    ///     "too_big" => Some(format!("no more than {}", issue.params.get("max")?)),
    ///     _ => None,
    /// });
    /// ```
    pub fn from_fn(words: impl Fn(&Issue) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { closure: Some(Box::new(words)), ..Self::default() }
    }

    /// Sets the message of a code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.by_code.insert(code.into(), message.into());
        self
    }

    /// Sets the message of a code at a field, named by its path on the wire. `[]` stands for any position of a list:
    /// `lines[].amount`.
    #[must_use]
    pub fn field(
        mut self,
        path: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        self.by_field.insert((path.into(), code.into()), message.into());
        self
    }

    pub(crate) fn apply(&self, issue: &mut Issue) {
        let of_field = if self.by_field.is_empty() {
            None
        } else {
            let code = issue.code.to_string();
            let exact = self.by_field.get(&(issue.path.clone(), code.clone()));
            exact.or_else(|| self.by_field.get(&(of_any_item(&issue.path), code)))
        };
        let message =
            match of_field {
                Some(message) => Some(filled(message, issue)),
                None => self.closure.as_ref().and_then(|words| words(issue)).or_else(|| {
                    self.by_code.get(&*issue.code).map(|message| filled(message, issue))
                }),
            };
        if let Some(message) = message {
            issue.message = message.into();
        }
    }
}

/// Replaces the parameters in braces.
fn filled(message: &str, issue: &Issue) -> String {
    let mut filled = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let param = after.split_once('}').and_then(|(name, rest)| {
            let value = match issue.params.get(name)? {
                Value::String(text) => text.clone(),
                Value::Array(values) => {
                    let texts = values
                        .iter()
                        .map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
                    texts.collect::<Vec<_>>().join(", ")
                }
                value => value.to_string(),
            };
            Some((value, rest))
        });
        match param {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

/// `lines[3].amount` is `lines[].amount`.
fn of_any_item(path: &str) -> String {
    let mut general = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('[') {
        general.push_str(before);
        general.push('[');
        rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    general + rest
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("by_code", &self.by_code).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_replaced_by_parameters() {
        let mut issue = Issue::new("a[12].b", "too_short", "");
        issue.params.insert("min".to_owned(), json!(3));
        issue.params.insert("options".to_owned(), json!(["a", 1]));
        for (message, expected) in [
            ("at least {min}!", "at least 3!"),
            ("{min}{min}", "33"),
            ("{options}", "a, 1"),
            ("{max} {", "{max} {"),
            ("{mi{min}", "{mi3"),
        ] {
            assert_eq!(filled(message, &issue), expected);
        }
        assert_eq!(of_any_item(&issue.path), "a[].b");
    }
}
