use std::{
    any::TypeId,
    cell::{Cell, RefCell},
};

use super::{Path, cursor::Cursor, fault::Fault, mode::Mode};
use crate::{
    issue_codes,
    names::Resolver,
    place::{Found, MAX_ISSUES, Place},
};

/// Something that a type has shown by the way in which it stopped reading. A type is known by its visitor: each
/// variant of an enum has its own, and all of them have one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// The struct requires this field.
    Required(TypeId, &'static str),
    /// The struct knows another name for a field that has been read.
    Aliased(TypeId, &'static str),
    /// The struct rejects fields that it does not know.
    Strict(TypeId),
    /// The enum rejects variants that it does not know.
    Closed(TypeId),
    /// The type rejected this stand-in.
    Rejected(TypeId, usize),
    /// Reading ended at this place, which comes last from now on.
    EndedAt(Place),
    /// A text in a query or a form stands for another kind of value.
    Reads(Place, ReadAs),
}

/// What a text stands for, where serde buffers it before it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadAs {
    Number,
    Bool,
    List,
    /// It was read as something else, and is a text after all.
    Text,
}

/// What the rounds before have shown.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    facts: Vec<Fact>,
    pub(super) ended_at: Vec<Place>,
}

impl Knowledge {
    /// Returns false if nothing of this is new.
    pub(super) fn learn(&mut self, facts: Vec<Fact>) -> bool {
        let before = self.facts.len();
        for fact in facts {
            if !self.facts.contains(&fact) {
                if let Fact::EndedAt(place) = &fact {
                    self.ended_at.push(place.clone());
                }
                self.facts.push(fact);
            }
        }
        self.facts.len() > before
    }

    pub(super) fn has(&self, fact: &Fact) -> bool {
        self.facts.contains(fact)
    }

    pub(super) fn required(&self, visitor: TypeId) -> impl Iterator<Item = &'static str> {
        self.facts.iter().filter_map(move |fact| match fact {
            Fact::Required(of, field)
                if *of == visitor && !self.has(&Fact::Aliased(*of, field)) =>
            {
                Some(*field)
            }
            _ => None,
        })
    }

    /// How many stand-ins this type has rejected.
    pub(super) fn rejected(&self, of: TypeId) -> usize {
        let is_of = |fact: &&Fact| matches!(fact, Fact::Rejected(known, _) if *known == of);
        self.facts.iter().filter(is_of).count()
    }

    pub(super) fn reads(&self, path: &Path<'_>, what: ReadAs) -> bool {
        self.facts.iter().any(|fact| matches!(fact, Fact::Reads(..)))
            && self.has(&Fact::Reads(path.to_place(), what))
    }
}

/// Places about which a type is asked, beside what is wrong.
pub(crate) type Watched = RefCell<Vec<Watch>>;

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) place: Place,
    /// The names, aliases included, that the struct there knows. `None`: it is not a struct that serde reads directly.
    pub(crate) known: Option<&'static [&'static str]>,
    /// The type accepts the value there, or one around it.
    pub(crate) is_accepted: bool,
}

/// How many lists, objects and variants are made up in one reading.
const MAX_STAND_INS: usize = 1_000;

/// The work for a reading, and for each stand-in, in bytes of the document.
const READING: usize = 64;
const STAND_IN: usize = 32;

/// One reading of the document.
pub(super) struct Round<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) mode: Mode,
    pub(super) knowledge: &'a Knowledge,
    pub(super) resolver: Option<&'a Resolver<'a>>,
    watched: &'a Watched,
    stand_ins: Cell<usize>,
    most: usize,
    found: RefCell<Vec<Found>>,
    facts: RefCell<Vec<Fact>>,
}

pub(super) struct Learned {
    pub(super) found: Vec<Found>,
    pub(super) facts: Vec<Fact>,
    /// In bytes of the document.
    pub(super) work: usize,
    pub(super) most: usize,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        text: &'a str,
        mode: Mode,
        knowledge: &'a Knowledge,
        resolver: Option<&'a Resolver<'a>>,
        watched: &'a Watched,
    ) -> Self {
        Self {
            cursor: Cursor::new(text),
            mode,
            knowledge,
            resolver,
            watched,
            stand_ins: Cell::new(0),
            most: if mode.only_first { 1 } else { MAX_ISSUES },
            found: RefCell::default(),
            facts: RefCell::default(),
        }
    }

    pub(super) fn into_learned(self) -> Learned {
        let work = READING + self.cursor.passed() + STAND_IN * self.stand_ins.get();
        let (found, facts) = (self.found.into_inner(), self.facts.into_inner());
        Learned { found, facts, work, most: self.most }
    }

    pub(super) fn note(&self, path: &Path<'_>, found: impl FnOnce(Place) -> Found) {
        if self.found.borrow().len() < self.most {
            let (place, order) = path.to_place_and_order();
            self.note_found(found(place), order);
        }
    }

    fn note_found(&self, found: Found, order: Vec<usize>) {
        let mut list = self.found.borrow_mut();
        if list.len() < self.most {
            list.push(Found { order, ..found });
        }
    }

    /// Notes which names a struct knows, if it is watched.
    pub(super) fn see_struct(&self, path: &Path<'_>, known: &'static [&'static str]) {
        for watch in self.watched.borrow_mut().iter_mut().filter(|watch| path.is(&watch.place.0)) {
            watch.known = Some(known);
        }
    }

    /// Notes that a type accepts this value, if something in it is watched.
    pub(super) fn see_accepted(&self, path: &Path<'_>) {
        for watch in self.watched.borrow_mut().iter_mut() {
            watch.is_accepted |= path.leads_to(std::slice::from_ref(&watch.place));
        }
    }

    /// How many issues are noted.
    pub(super) fn noted(&self) -> usize {
        self.found.borrow().len()
    }

    pub(super) fn learn(&self, fact: Fact) {
        self.facts.borrow_mut().push(fact);
    }

    /// Fails if no more is to be learned from the next value.
    pub(super) fn go_on(&self) -> Result<(), Fault> {
        let is_full = self.found.borrow().len() >= self.most;
        let is_done = self.resolver.is_some_and(Resolver::is_done);
        if is_full || is_done { Err(Fault::Noted) } else { Ok(()) }
    }

    /// Returns true if a member may be passed over, to be read after its siblings. Each level of a deep document passes over
    /// all that is below.
    pub(super) fn may_pass_over(&self) -> bool {
        self.cursor.passed() < 2 * self.cursor.size()
    }

    /// Counts a stand-in. A type that contains itself several times would need endlessly many.
    pub(super) fn may_stand_in(&self) -> bool {
        self.stand_ins.set(self.stand_ins.get() + 1);
        self.stand_ins.get() <= MAX_STAND_INS
    }

    /// Notes the reason for which a value could not be read, at the value. `start` is where it begins in the text.
    pub(super) fn settle<T>(
        &self,
        path: &Path<'_>,
        start: usize,
        outcome: Result<T, Fault>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        match fault {
            Fault::Noted => return Err(Fault::Noted),
            Fault::Here(complaint) => {
                let search = self.search(path, start, &complaint);
                if let Some(fact) = search.reading {
                    self.learn(fact);
                    return Err(Fault::Noted);
                }
                let shows = self.mode.shows_own_words;
                match <[_; 1]>::try_from(search.hits) {
                    Ok([hit]) => self.note_found(complaint.at(hit.0, shows), hit.1),
                    Err(_) => self.note(path, |place| complaint.at(place, shows)),
                }
            }
            Fault::Missing(field) if self.has_one_object(start) => {
                self.note_missing(&Path::Field(path, field, 0));
            }
            Fault::Missing(field) => self.note(path, |place| {
                Found::new(place, issue_codes::MISSING, format!("the field {field} is missing"))
            }),
            Fault::Duplicate => self.note(path, |place| {
                Found::new(place, issue_codes::INVALID, "has the same field twice")
            }),
        }
        self.learn(Fact::EndedAt(path.to_place()));
        Err(Fault::Noted)
    }

    pub(super) fn note_missing(&self, path: &Path<'_>) {
        self.note(path, |place| Found::new(place, issue_codes::MISSING, "is missing"));
    }
}
