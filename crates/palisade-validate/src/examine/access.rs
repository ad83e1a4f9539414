use std::{
    any::{TypeId, type_name},
    borrow::Cow,
    collections::BTreeMap,
};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use super::{
    Path,
    absent::Absent,
    cursor::Kind,
    examiner::Examiner,
    fault::{Fault, unknown_field},
    key::Key,
    round::{Fact, Round},
};
use crate::{issue_codes, names::Trail, place::Found};

/// The items of a list.
pub(super) struct Items<'t, 'r> {
    path: &'r Path<'r>,
    round: &'r Round<'t>,
    trails: BTreeMap<usize, Trail>,
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A text that stands for a list of one.
    OnlyOne,
    Closed,
}

impl<'t, 'r> Items<'t, 'r> {
    /// Enters a list. A set has no order in Rust, so that the positions of its items are not those of the document.
    pub(super) fn new(list: Examiner<'t, 'r>, is_ordered: bool) -> Self {
        list.round.cursor.enter();
        Self { state: State::Open, ..Self::closed(list, is_ordered) }
    }

    pub(super) fn of_one(text: Examiner<'t, 'r>) -> Self {
        Self { state: State::OnlyOne, ..Self::closed(text, true) }
    }

    fn closed(list: Examiner<'t, 'r>, is_ordered: bool) -> Self {
        let trails = match list.round.resolver {
            Some(resolver) if is_ordered => resolver.of_items(list.trail),
            _ => BTreeMap::new(),
        };
        Self { path: list.path, round: list.round, trails, at: 0, state: State::Closed }
    }

    fn advance(&mut self) -> bool {
        match self.state {
            State::Open if self.round.cursor.advance() => return true,
            State::OnlyOne if self.at == 0 => return true,
            _ => self.state = State::Closed,
        }
        false
    }

    /// Skips what the type has left. False: nothing.
    pub(super) fn has_more(mut self) -> bool {
        let mut more = false;
        while self.state == State::Open && self.advance() {
            self.round.cursor.skip();
            more = true;
        }
        more
    }
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        if !self.advance() {
            return Ok(None);
        }
        let path = Path::Index(self.path, self.at);
        let trail = self.trails.remove(&self.at).unwrap_or_default();
        self.at += 1;
        read(&path, self.round, trail, seed).map(Some)
    }
}

/// Reads a value inside of another.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(
    path: &Path<'_>,
    round: &Round<'de>,
    trail: Trail,
    seed: S,
) -> Result<S::Value, Fault> {
    round.go_on()?;
    round.cursor.kind();
    let start = round.cursor.at();
    let noted = round.noted();
    let outcome = seed.deserialize(Examiner::new::<S::Value>(path, round, trail));
    // What serde buffers is accepted by its buffer, and not yet by a type.
    let is_buffered = || type_name::<S::Value>().contains("content::Content");
    if outcome.is_ok() && round.noted() == noted && !is_buffered() {
        round.see_accepted(path);
    }
    round.settle(path, start, outcome)
}

/// The members of an object.
pub(super) struct Fields<'t, 'r> {
    path: &'r Path<'r>,
    round: &'r Round<'t>,
    /// What a struct knows. `None`: a map, or a type that does not say.
    known: Option<&'static [&'static str]>,
    /// The type that reads.
    of: TypeId,
    start: usize,
    /// The end of the object, once it has been reached.
    end: Option<usize>,
    count: usize,
    current: Member<'t>,
    /// Members at which reading ended before: they come last.
    last: Vec<(Cow<'t, str>, usize, usize)>,
    /// Fields that are known to be required and are missing.
    missing: Option<Vec<&'static str>>,
    required: Vec<&'static str>,
    trail: Trail,
    trails: BTreeMap<&'static str, Trail>,
}

enum Member<'t> {
    Here(Cow<'t, str>, usize),
    Missing(&'static str),
    None,
}

impl<'t, 'r> Fields<'t, 'r> {
    pub(super) fn new(
        object: Examiner<'t, 'r>,
        known: Option<&'static [&'static str]>,
        of: TypeId,
        is_map: bool,
    ) -> Self {
        let (path, round) = (object.path, object.round);
        let start = round.cursor.at();
        if let Some(known) = known {
            round.see_struct(path, known);
        }
        let mut fields = Self {
            path,
            round,
            known,
            of,
            start,
            end: None,
            count: 0,
            current: Member::None,
            last: Vec::new(),
            missing: None,
            required: round.knowledge.required(of).collect(),
            trail: object.trail,
            trails: BTreeMap::new(),
        };
        if let Some(resolver) = round.resolver
            && !fields.trail.is_empty()
        {
            match known {
                Some(_) if !resolver.may_look() => fields.trail.clear(),
                Some(known) => {
                    let trail = std::mem::take(&mut fields.trail);
                    let members = fields.members();
                    resolver.count_bytes(members.iter().map(|(_, raw)| raw.len()).sum());
                    fields.trails = resolver.of_fields(trail, known, &members);
                    // A member is arrived at when it is read.
                    let is_absent = |name: &str| members.iter().all(|(member, _)| member != name);
                    for (name, trail) in fields.trails.iter().filter(|(name, _)| is_absent(name)) {
                        let path = Path::Field(path, name, fields.position(name));
                        resolver.arrive(trail, &path, Kind::Null);
                    }
                }
                None if is_map => {}
                None => fields.trail.clear(),
            }
        }
        round.cursor.enter();
        fields
    }

    /// The names of the members and the texts of their values.
    fn members(&self) -> Vec<(Cow<'t, str>, &'t str)> {
        let cursor = &self.round.cursor;
        let before = cursor.at();
        cursor.seek(self.start);
        cursor.enter();
        let mut members = Vec::new();
        while cursor.advance() {
            members.push((cursor.name(), cursor.skip()));
        }
        cursor.seek(before);
        members
    }

    /// Unknown members come after those that the struct knows.
    fn position(&self, name: &str) -> usize {
        let known = self.known.unwrap_or_default();
        known.iter().position(|known| *known == name).unwrap_or(known.len() + self.count)
    }

    fn refuses_unknown(&self) -> bool {
        self.known.is_some()
            && (self.round.mode.refuses_unknown || self.round.knowledge.has(&Fact::Strict(self.of)))
    }

    fn advance(&mut self) -> Result<Member<'t>, Fault> {
        let round = self.round;
        while self.end.is_none() {
            if !round.cursor.advance() {
                self.end = Some(round.cursor.at());
                break;
            }
            round.go_on()?;
            let name = round.cursor.name();
            let position = self.position(&name);
            self.count += 1;
            self.required.retain(|field| *field != name);
            let path = Path::Field(self.path, &name, position);
            if let Some(known) = self.known
                && self.refuses_unknown()
                && !known.contains(&&*name)
            {
                round.note(&path, |place| {
                    Found::new(place, issue_codes::UNKNOWN_FIELD, unknown_field(known))
                });
                round.cursor.skip();
            } else if path.leads_to(&round.knowledge.ended_at) && round.may_pass_over() {
                self.last.push((name, position, round.cursor.at()));
                round.cursor.skip();
            } else {
                return Ok(Member::Here(name, position));
            }
        }
        if let Some((name, position, at)) = self.last.pop() {
            round.cursor.seek(at);
            return Ok(Member::Here(name, position));
        }
        if self.missing.is_none() {
            self.missing = Some(self.missing_fields());
        }
        let missing = self.missing.as_mut().and_then(Vec::pop);
        Ok(missing.map_or(Member::None, Member::Missing))
    }

    fn missing_fields(&self) -> Vec<&'static str> {
        let mut required = self.required.clone();
        // The last are read first.
        let ended_at = &self.round.knowledge.ended_at;
        required.sort_by_key(|field| !Path::Field(self.path, field, 0).leads_to(ended_at));
        required
    }

    /// Leaves the object.
    pub(super) fn finish<T>(mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        match outcome {
            Ok(value) => {
                while self.end.is_none() {
                    if self.round.cursor.advance() {
                        self.round.cursor.name();
                        self.round.cursor.skip();
                    } else {
                        self.end = Some(self.round.cursor.at());
                    }
                }
                self.round.cursor.seek(self.end.unwrap_or_default());
                Ok(value)
            }
            // The struct's own field, and not one of a buffered value inside of it.
            Err(Fault::Missing(field))
                if self.known.is_some_and(|known| known.contains(&field))
                    && !self.members().iter().any(|(name, _)| name == field) =>
            {
                let path = Path::Field(self.path, field, self.position(field));
                self.round.note_missing(&path);
                self.round.learn(Fact::Required(self.of, field));
                self.round.learn(Fact::EndedAt(path.to_place()));
                Err(Fault::Noted)
            }
            Err(Fault::Duplicate) if let Member::Missing(field) = self.current => {
                self.round.learn(Fact::Aliased(self.of, field));
                Err(Fault::Noted)
            }
            Err(fault) => Err(fault),
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        self.current = self.advance()?;
        let (name, position) = match &self.current {
            Member::Here(name, position) => (name.clone(), *position),
            Member::Missing(name) => (Cow::Borrowed(*name), self.position(name)),
            Member::None => {
                self.round.cursor.seek(self.end.unwrap_or_default());
                return Ok(None);
            }
        };
        let path = Path::Field(self.path, &name, position);
        let key = Key { name: &name, path: &path, round: self.round };
        let outcome = seed.deserialize(key);
        if let Err(Fault::Here(complaint)) = &outcome
            && complaint.is_unknown_field()
        {
            self.round.learn(Fact::Strict(self.of));
        }
        key.settle(outcome).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        match std::mem::replace(&mut self.current, Member::None) {
            Member::Here(name, position) => {
                let path = Path::Field(self.path, &name, position);
                let trail = match self.round.resolver {
                    Some(resolver) if !self.trail.is_empty() => resolver.of_key(&self.trail, &name),
                    _ => self.trails.remove(&*name).unwrap_or_default(),
                };
                read(&path, self.round, trail, seed)
            }
            Member::Missing(name) => {
                let path = Path::Field(self.path, name, self.position(name));
                self.round.note_missing(&path);
                Absent::hand_to(self.round, &path, |absent| seed.deserialize(absent))
            }
            Member::None => Err(Fault::Noted),
        }
    }
}
