//! Finds everything that is wrong with the form of a value, where serde stops at the first thing.
//!
//! A type asks its deserializer for what it wants: a number, a text, a struct with these fields. Where the value is
//! something else, [`Examiner`](examiner::Examiner) notes it and gives the type a stand-in of the kind it asked for, so
//! that it goes on asking. Where that is not enough (a field is missing, or a type such as an address or a date refuses
//! the text), a stand-in is put into a copy of the value and the type is asked again. What comes of stand-ins is thrown
//! away; only the notes are kept.

mod examiner;
mod fault;
mod key;
mod path;
mod shapes;

use std::cell::{Cell, RefCell};

use serde::de::DeserializeOwned;
use serde_json::{Number, Value, json};

pub(crate) use self::shapes::{Shape, Shapes};
use self::{
    examiner::Examiner,
    fault::{Complaint, Fault},
    path::Path,
};
use crate::{
    issue_codes,
    place::{Found, MAX_ISSUES, Place},
};

/// How many bytes of input are gone through for one request, in all rounds together: a large body that lacks many
/// fields must not cost many times its size.
const MAX_WORK: usize = 2 * 1024 * 1024;

/// How often a type is asked, however small the input is.
const MAX_ROUNDS: usize = 256;

/// How a value is examined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Texts become numbers and the like where the type asks for them.
    pub(crate) coerces_text: bool,
    /// Fields that a struct does not know are wrong, whatever its type says.
    pub(crate) refuses_unknown: bool,
}

/// What came of it. A value that comes with findings is made of stand-ins where they are.
#[derive(Debug)]
pub(crate) struct Examined<T> {
    pub(crate) value: Option<T>,
    pub(crate) found: Vec<Found>,
    pub(crate) truncated: bool,
    pub(crate) shapes: Shapes,
    /// The value as the type took it: texts that had to be numbers are.
    pub(crate) taken: Value,
}

/// What is said where nothing more precise is known.
pub(crate) fn not_as_expected() -> Found {
    Found::new(Place::default(), issue_codes::INVALID, "does not have the expected form")
}

/// How many rounds an input of this size may take.
pub(crate) fn rounds_for(size: usize) -> usize {
    (MAX_WORK / size.max(1)).clamp(1, MAX_ROUNDS)
}

/// One round of asking.
struct Round<'a> {
    mode: Mode,
    /// Where nothing is noted: what is there is ours, or its being wrong is known already.
    silent: &'a [Place],
    /// Nothing is noted at all: a stand-in is read.
    is_muted: Cell<bool>,
    found: RefCell<Vec<Found>>,
    truncated: Cell<bool>,
    shapes: RefCell<Shapes>,
}

impl<'a> Round<'a> {
    fn new(mode: Mode, silent: &'a [Place]) -> Self {
        Self {
            mode,
            silent,
            is_muted: Cell::new(false),
            found: RefCell::default(),
            truncated: Cell::new(false),
            shapes: RefCell::default(),
        }
    }

    fn note(&self, found: Found) {
        if self.is_muted.get()
            || self.silent.iter().any(|silent| found.place.is_at_or_below(silent))
        {
            return;
        }
        let mut list = self.found.borrow_mut();
        if list.len() < MAX_ISSUES {
            list.push(found);
        } else {
            self.truncated.set(true);
        }
    }
}

/// Examines a value that came from `size` bytes.
pub(crate) fn examine<T: DeserializeOwned>(value: Value, size: usize, mode: Mode) -> Examined<T> {
    let mut search = Search {
        value,
        mode,
        rounds: rounds_for(size),
        silent: Vec::new(),
        tries: Vec::new(),
        worded: Vec::new(),
        kept: Vec::new(),
    };
    loop {
        let round = search.ask::<T>();
        let settled = match round.outcome {
            Ok(value) => Some(Some(value)),
            Err(fault) => (!search.mend::<T>(fault, &round.found)).then_some(None),
        };
        if let Some(value) = settled {
            let mut found = search.kept;
            found.extend(round.found);
            if value.is_none() && found.is_empty() {
                found.push(not_as_expected());
            }
            // Whoever stops asking has not heard everything.
            let gave_up = value.is_none() && (search.rounds == 0 || found.len() >= MAX_ISSUES);
            let truncated = round.truncated || gave_up || found.len() > MAX_ISSUES;
            found.truncate(MAX_ISSUES);
            return Examined { value, found, truncated, shapes: round.shapes, taken: search.value };
        }
    }
}

struct Asked<T> {
    outcome: Result<T, Fault>,
    found: Vec<Found>,
    truncated: bool,
    shapes: Shapes,
}

struct Search {
    value: Value,
    mode: Mode,
    rounds: usize,
    silent: Vec<Place>,
    /// How many stand-ins a place has seen.
    tries: Vec<(Place, usize)>,
    /// Where a word that is allowed has been put.
    worded: Vec<Place>,
    /// What was found in earlier rounds and is covered by a stand-in since.
    kept: Vec<Found>,
}

impl Search {
    fn ask<T: DeserializeOwned>(&mut self) -> Asked<T> {
        self.rounds = self.rounds.saturating_sub(1);
        self.ask_about::<T>(&self.value)
    }

    fn ask_about<T: DeserializeOwned>(&self, value: &Value) -> Asked<T> {
        let round = Round::new(self.mode, &self.silent);
        let root = Examiner::new(value, &Path::Root, &round);
        let outcome = root.place_after(T::deserialize(root));
        Asked {
            outcome,
            found: round.found.into_inner(),
            truncated: round.truncated.get(),
            shapes: round.shapes.into_inner(),
        }
    }

    /// Puts something in the way of a fault, so that the next round gets further. False: nothing helps.
    fn mend<T: DeserializeOwned>(&mut self, fault: Fault, noted: &[Found]) -> bool {
        if self.rounds == 0 || self.kept.len() >= MAX_ISSUES {
            if let Fault::Refused(place, why) | Fault::RefusedWithin(place, why) = fault {
                self.keep(why.at(place));
            }
            return false;
        }
        match fault {
            Fault::Missing(parent, field) => {
                let place = parent.name(field);
                if self.tries_of(&place).is_some() {
                    return false;
                }
                match parent.find(&self.value) {
                    Some(Value::Object(_)) => {
                        self.keep(Found::new(place.clone(), issue_codes::MISSING, "is missing"));
                    }
                    // The parent itself is wrong, and that was noted.
                    _ => {
                        self.keep_noted(&parent, noted);
                    }
                }
                self.stand_in(&place)
            }
            Fault::Refused(place, why) if why.is_unknown_field() => {
                self.keep(why.at(place.clone()));
                place.remove(&mut self.value);
                true
            }
            Fault::Refused(place, why) => {
                // What was noted about the place is why it was refused.
                if !self.is_silent(&place) && !self.keep_noted(&place, noted) {
                    self.kept.push(why.at(place.clone()));
                }
                self.stand_in_for(place, &why)
            }
            Fault::RefusedKey(place) => {
                self.keep(Found::new(
                    place.clone(),
                    issue_codes::INVALID_KEY,
                    "is not a valid name here",
                ));
                place.remove(&mut self.value);
                true
            }
            Fault::RefusedWithin(place, why) => self.mend_within::<T>(&place, &why),
            // The root adds its place to those, as everything does.
            Fault::Here(_) | Fault::MissingHere(_) => false,
        }
    }

    fn keep(&mut self, found: Found) {
        if !self.is_silent(&found.place) {
            self.silent.push(found.place.clone());
            self.kept.push(found);
        }
    }

    /// Keeps what a round has noted about a place that later rounds will not look at. False: nothing.
    fn keep_noted(&mut self, place: &Place, noted: &[Found]) -> bool {
        let before = self.kept.len();
        self.kept.extend(noted.iter().filter(|found| found.place == *place).cloned());
        self.silent.push(place.clone());
        self.kept.len() > before
    }

    fn is_silent(&self, place: &Place) -> bool {
        self.silent.iter().any(|silent| place.is_at_or_below(silent))
    }

    fn tries_of(&self, place: &Place) -> Option<usize> {
        self.tries.iter().find(|(tried, _)| tried == place).map(|(_, tries)| *tries)
    }

    /// One of the words that are allowed, if these are known; something else otherwise.
    fn stand_in_for(&mut self, place: Place, why: &Complaint) -> bool {
        match why.first_option() {
            Some(option) if !self.worded.contains(&place) => {
                // What else its object should hold depends on this word, and is not known.
                self.silent.push(Place(place.0[..place.0.len().saturating_sub(1)].to_vec()));
                place.put(&mut self.value, json!(option));
                self.worded.push(place);
                true
            }
            _ => self.stand_in(&place),
        }
    }

    /// Puts the next stand-in at a place. False: it has seen all of them.
    fn stand_in(&mut self, place: &Place) -> bool {
        if self.tries_of(place).is_none() {
            self.tries.push((place.clone(), 0));
        }
        let Some((_, tries)) = self.tries.iter_mut().find(|(tried, _)| tried == place) else {
            return false;
        };
        let Some(value) = stand_in(*tries) else { return false };
        *tries += 1;
        place.put(&mut self.value, value);
        true
    }

    /// Something in an object is refused, and serde does not say what: it reads an object whole where structs are
    /// flattened into one, or where a field tells which of several structs it is. A mark in each field's place, one after
    /// the other, shows which field is complained about.
    fn mend_within<T: DeserializeOwned>(&mut self, place: &Place, why: &Complaint) -> bool {
        const MARK: &str = "\u{1}palisade\u{1}";
        let mark = json!(MARK);
        let names: Vec<_> = match place.find(&self.value) {
            Some(Value::Object(object)) => object
                .iter()
                .filter(|(_, value)| why.is_about(value))
                .map(|(name, _)| name.clone())
                .collect(),
            _ => Vec::new(),
        };
        for name in names {
            if self.rounds == 0 {
                break;
            }
            self.rounds -= 1;
            let field = place.name(&name);
            let mut marked = self.value.clone();
            field.put(&mut marked, mark.clone());
            let is_culprit = match self.ask_about::<T>(&marked).outcome {
                Err(Fault::RefusedWithin(at, now)) => {
                    at == *place
                        && if now.names_what_came() {
                            now.is_about(&mark)
                        } else {
                            // Words of its own: it is the culprit if they are about another text as well, and not if
                            // they are about none.
                            field.remove(&mut marked);
                            !matches!(
                                self.ask_about::<T>(&marked).outcome,
                                Err(Fault::RefusedWithin(at, _)) if at == *place
                            )
                        }
                }
                _ => false,
            };
            if !is_culprit {
                continue;
            }
            if let Some(coerced) = self.coerced(&field) {
                field.put(&mut self.value, coerced);
                return true;
            }
            self.keep(why.at(field.clone()));
            return self.stand_in_for(field, why);
        }
        self.keep(why.at(place.clone()));
        self.stand_in(place)
    }

    /// What else a text could stand for, if it has not been tried.
    fn coerced(&self, place: &Place) -> Option<Value> {
        if !self.mode.coerces_text || self.is_silent(place) {
            return None;
        }
        match place.find(&self.value)? {
            Value::String(text) => number(text).or_else(|| boolean(text).map(Value::Bool)),
            // `1` and `0` are numbers first.
            Value::Number(number) if number.as_u64() == Some(1) => Some(json!(true)),
            Value::Number(number) if number.as_u64() == Some(0) => Some(json!(false)),
            Value::Array(items) => {
                let items: Option<Vec<_>> =
                    items.iter().map(|item| number(item.as_str()?)).collect();
                items.map(Value::Array)
            }
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let integer = text.parse::<u64>().map(Number::from);
    let integer = integer.or_else(|_| text.parse::<i64>().map(Number::from)).ok();
    integer.or_else(|| text.parse().ok().and_then(Number::from_f64)).map(Value::Number)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Values that the types people use take: texts, ids, dates, addresses, numbers.
fn stand_in(at: usize) -> Option<Value> {
    let value = match at {
        0 => Value::Null,
        1 => json!(""),
        2 => json!(1),
        3 => json!({}),
        4 => json!([]),
        5 => json!(false),
        6 => json!("00000000-0000-0000-0000-000000000000"),
        7 => json!("1970-01-01T00:00:00Z"),
        8 => json!("1970-01-01"),
        9 => json!("127.0.0.1"),
        10 => json!("http://localhost/"),
        11 => json!("1"),
        12 => json!("00:00:00"),
        _ => return None,
    };
    Some(value)
}

/// What a type asks for. `None`: a map, or a type that does not say.
pub(crate) fn asked_for<T: DeserializeOwned>() -> Option<Shape> {
    let mode = Mode { coerces_text: true, refuses_unknown: false };
    let round = Round::new(mode, &[]);
    // Whether it is content with this does not matter.
    let _ = T::deserialize(Examiner::new(&json!({}), &Path::Root, &round));
    round.shapes.into_inner().at(&Place::default())
}
