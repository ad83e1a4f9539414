//! Query strings, forms, parameters of paths, headers, cookies: names and texts, which become what the type asks for.

use std::{borrow::Cow, collections::BTreeSet};

use palisade_core::{ApiError, IssueSource};
use percent_encoding::percent_decode;
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
    pub(crate) source: IssueSource,
    pub(crate) naming: Naming,
    /// The names whose texts were not UTF-8, and are not in the value.
    pub(crate) unreadable: BTreeSet<String>,
}

/// Converts the first step of a place to the client's name for it.
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
    /// Returns an empty part, to which names and texts are added.
    pub(crate) fn named(source: IssueSource, naming: Naming) -> Self {
        let (value, unreadable) = (Value::Object(Map::new()), BTreeSet::new());
        Self { value, source, naming, unreadable }
    }

    /// Reads a query or an urlencoded form, as the URL standard does, but does not replace bytes that are not UTF-8.
    pub(crate) fn urlencoded(text: &[u8], source: IssueSource) -> Result<Self, ApiError> {
        let mut texts = Self::named(source, Naming::AsIs);
        let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for (count, pair) in pairs.enumerate() {
            if count >= MAX_PAIRS {
                return Err(ApiError::bad_request()
                    .with_message(format!("more than {MAX_PAIRS} parameters were sent")));
            }
            let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(middle);
            let name = spaced(name);
            let value = spaced(value.strip_prefix(b"=").unwrap_or(value));
            let name = percent_decode(&name).decode_utf8_lossy();
            texts.add(&name, percent_decode(&value).decode_utf8().ok());
        }
        Ok(texts)
    }

    /// Adds a text. A name that comes again has a list. `None`: the text was not UTF-8.
    pub(crate) fn add(&mut self, name: &str, text: Option<Cow<'_, str>>) {
        match (text, &mut self.value) {
            (Some(text), Value::Object(pairs)) => add(pairs, name, text.into_owned()),
            _ => {
                self.unreadable.insert(name.to_owned());
            }
        }
    }
}

fn spaced(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
    } else {
        Cow::Borrowed(text)
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

fn add(pairs: &mut Map<String, Value>, key: &str, text: String) {
    let text = Value::String(text);
    match pairs.get_mut(key) {
        None => {
            pairs.insert(key.to_owned(), text);
        }
        Some(Value::Array(texts)) => texts.push(text),
        Some(first) => *first = Value::Array(vec![first.take(), text]),
    }
}
