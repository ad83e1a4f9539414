//! Where on the wire something is that garde knows by the names of Rust fields.
//!
//! serde knows fields by the names they have on the wire and garde by those they have in Rust, and neither knows the
//! other's. They meet here: a name is looked for among those that the type asked for, as it is, and then by its letters
//! and digits alone, which is all that `rename_all` keeps. A name that has nothing in common with its field is found by
//! trying: the field whose value changes whether the rule is broken is the one that the rule is about.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{
    examine::{Shape, Shapes},
    place::{Place, Step},
    rules::Component,
};

/// The names in one value.
pub(crate) struct Names<'a> {
    value: &'a Value,
    shapes: &'a Shapes,
    /// What trying has shown, or not: by struct, and by name in Rust.
    tried: HashMap<(Place, String), Option<String>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(value: &'a Value, shapes: &'a Shapes) -> Self {
        Self { value, shapes, tried: HashMap::new() }
    }

    /// Looks for the place of a broken rule. `is_broken` says whether the same rule is still broken for another value.
    pub(crate) fn place_of(
        &mut self,
        path: &[Component],
        is_broken: &mut dyn FnMut(&Value) -> Option<bool>,
    ) -> Place {
        let (value, shapes) = (self.value, self.shapes);
        let mut place = Place::default();
        for (at, component) in path.iter().enumerate() {
            enter_variant(&mut place, value, shapes, component);
            let here = place.find(value);
            match component {
                Component::Item(item) => match here {
                    // The only field of a newtype has a position in Rust and none on the wire.
                    Some(Value::Array(_)) | None => place.0.push(Step::Item(*item)),
                    Some(_) => {}
                },
                Component::Name(name) => {
                    let shape = shapes.at(&place);
                    let known: Vec<&str> = match shape {
                        Some(Shape::Struct(known)) => known.to_vec(),
                        _ => here
                            .and_then(Value::as_object)
                            .map(|object| object.keys().map(String::as_str).collect())
                            .unwrap_or_default(),
                    };
                    if let Some(found) = named_like(name, &known, here) {
                        place.0.push(Step::Name(found.to_owned()));
                    } else if matches!(shape, Some(Shape::Struct(_))) {
                        let key = (place.of_any_item(), name.clone());
                        let found = self.tried.entry(key).or_insert_with(|| {
                            by_trying(&place, &known, value, is_broken).map(str::to_owned)
                        });
                        let name = found.as_ref().unwrap_or(name).clone();
                        place.0.push(Step::Name(name));
                    } else if at + 1 == path.len() || here.is_none() {
                        place.0.push(Step::Name(name.clone()));
                    }
                    // Else it is a struct that is flattened into this one, and has no name on the wire.
                }
            }
        }
        place
    }
}

/// A variant is a field on the wire and nothing to garde.
fn enter_variant(place: &mut Place, value: &Value, shapes: &Shapes, next: &Component) {
    if shapes.at(place) == Some(Shape::Enum)
        && let Some(Value::Object(object)) = place.find(value)
        && let Some((variant, inner)) = object.iter().next()
    {
        let is_inside = match next {
            Component::Name(_) => inner.is_object(),
            // A variant with one field in brackets is that field; with several it is a list.
            Component::Item(_) => true,
        };
        if is_inside {
            place.0.push(Step::Name(variant.clone()));
        }
    }
}

/// The name itself, or the one that differs in case and punctuation only. If there are several, the one that is there.
fn named_like<'n>(name: &str, known: &[&'n str], here: Option<&Value>) -> Option<&'n str> {
    let mut alike: Vec<_> =
        known.iter().copied().filter(|known| letters(known).eq(letters(name))).collect();
    alike.sort_by_key(|known| *known != name);
    let is_there = |known: &&&str| here.is_some_and(|here| here.get(**known).is_some());
    alike.iter().find(is_there).or_else(|| alike.first()).copied()
}

fn letters(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase)
}

fn by_trying<'n>(
    place: &Place,
    known: &[&'n str],
    value: &Value,
    is_broken: &mut dyn FnMut(&Value) -> Option<bool>,
) -> Option<&'n str> {
    for name in known {
        let field = place.name(name);
        let now = field.find(value);
        for other in others(now) {
            let mut changed = value.clone();
            field.put(&mut changed, other);
            if is_broken(&changed) == Some(false) {
                return Some(name);
            }
        }
    }
    None
}

/// Values that keep the rules people write, of the kind that is there.
fn others(now: Option<&Value>) -> Vec<Value> {
    let texts = || ["", "a", "abcdefgh", "a@example.com", "https://example.com/", "127.0.0.1", "1"];
    match now {
        Some(Value::String(_)) => {
            texts().into_iter().map(Value::from).chain([json!("a".repeat(64))]).collect()
        }
        Some(Value::Number(_)) => [0, 1, 10, 100, 1_000, 1_000_000].map(Value::from).into(),
        Some(Value::Array(items)) => {
            let one = items.first().cloned().into_iter().collect::<Vec<_>>();
            let few = items.first().cloned().into_iter().cycle().take(5 * one.len()).collect();
            vec![json!([]), Value::Array(one), Value::Array(few)]
        }
        Some(Value::Bool(value)) => vec![json!(!value)],
        Some(Value::Object(_)) => Vec::new(),
        None | Some(Value::Null) => {
            texts().into_iter().map(Value::from).chain([1, 100].map(Value::from)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_letters() {
        for wire in
            ["createdAt", "CreatedAt", "created-at", "CREATED_AT", "created_at", "_createdAt"]
        {
            assert_eq!(named_like("created_at", &["id", wire], None), Some(wire));
        }
        assert_eq!(named_like("created_at", &["created", "at"], None), None);
    }

    #[test]
    fn of_two_names_that_are_alike_the_one_that_was_sent_counts() {
        let here = json!({"userName": 1});
        assert_eq!(
            named_like("user_name", &["user_name", "userName"], Some(&here)),
            Some("userName")
        );
        assert_eq!(named_like("user_name", &["userName", "user_name"], None), Some("user_name"));
    }
}
