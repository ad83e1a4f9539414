//! Query strings, forms, parameters of paths, headers, cookies: names and texts, which become what the type asks for.

use palisade_core::{ApiError, IssueSource};
use serde_json::{Map, Value};

use crate::place::Place;
#[cfg(feature = "axum")]
use crate::place::Step;

/// How many pairs a query or a form may have.
const MAX_PAIRS: usize = 1_000;

/// The texts of one part of a request.
#[cfg_attr(not(feature = "axum"), allow(unreachable_pub, reason = "axum's extractors name it"))]
#[derive(Debug)]
pub struct Texts {
    pub(crate) value: Value,
    /// How many bytes they were.
    pub(crate) size: usize,
    pub(crate) source: IssueSource,
    pub(crate) naming: Naming,
}

/// What the client calls what stands first in a place.
#[derive(Debug)]
pub(crate) enum Naming {
    AsIs,
    /// A struct's field has underscores where a header has dashes.
    #[cfg(feature = "axum")]
    Dashed,
    /// A tuple has positions where the path has these names.
    #[cfg(feature = "axum")]
    Positions(Vec<String>),
    /// All of it is the parameter of this name.
    #[cfg(feature = "axum")]
    Only(String),
}

impl Texts {
    /// What comes urlencoded, as a query or a form.
    pub(crate) fn urlencoded(text: &[u8], source: IssueSource) -> Result<Self, ApiError> {
        let mut pairs = Map::new();
        for (count, (key, text)) in form_urlencoded::parse(text).enumerate() {
            if count >= MAX_PAIRS {
                return Err(ApiError::bad_request()
                    .with_message(format!("more than {MAX_PAIRS} parameters were sent")));
            }
            add(&mut pairs, &key, text.into_owned());
        }
        Ok(Self { value: Value::Object(pairs), size: text.len(), source, naming: Naming::AsIs })
    }
}

impl Naming {
    #[cfg_attr(not(feature = "axum"), allow(clippy::unused_self, reason = "nothing is renamed"))]
    pub(crate) fn on_the_wire(&self, place: Place) -> Place {
        #[cfg(feature = "axum")]
        let place = match (self, place) {
            (Self::AsIs, place) => place,
            (Self::Only(name), Place(mut steps)) => {
                steps.insert(0, Step::Name(name.clone()));
                Place(steps)
            }
            (naming, Place(mut steps)) => {
                match (naming, steps.first_mut()) {
                    (Self::Dashed, Some(Step::Name(name))) => *name = name.replace('_', "-"),
                    (Self::Positions(names), Some(first)) => {
                        if let Step::Item(at) = first
                            && let Some(name) = names.get(*at)
                        {
                            *first = Step::Name(name.clone());
                        }
                    }
                    _ => {}
                }
                Place(steps)
            }
        };
        place
    }
}

/// A key that comes once has a text, one that comes again has a list.
pub(crate) fn add(pairs: &mut Map<String, Value>, key: &str, text: String) {
    let text = Value::String(text);
    match pairs.get_mut(key) {
        None => {
            pairs.insert(key.to_owned(), text);
        }
        Some(Value::Array(texts)) => texts.push(text),
        Some(first) => *first = Value::Array(vec![first.take(), text]),
    }
}
