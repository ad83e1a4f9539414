//! The places of broken rules in the document.
//!
//! garde reports rules by the names that fields have in Rust, and serde knows fields by their names on the wire. Neither
//! has both. They meet while the document is read again, guided by garde's paths: at each struct serde lists its names,
//! and a name in Rust stands for its form after `rename_all`. The value there has to be able to break the rule, or the name
//! does not count: of two fields that exchange their names, each looks like the other.
//! Where that leaves a doubt, the issue is at the struct, and the answer is marked as truncated.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use serde_json::Value;

use crate::{
    examine::{Cursor, Kind, Path},
    issue_codes,
    place::{Found, Place},
    rules::{Broken, Component},
};

/// Broken rules at a value or below, each with the number of steps of its path that have been taken.
pub(crate) type Trail = Vec<(usize, usize)>;

/// Follows the paths of broken rules through a document.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    broken: &'a [Broken],
    places: RefCell<Vec<Arrival>>,
    /// The other field of a `matches` rule, on the wire.
    others: RefCell<HashMap<usize, &'static str>>,
    /// How many bytes may be looked at ahead of their turn.
    bytes: Cell<usize>,
    /// How many of the exact places have not been reached.
    left: Cell<usize>,
}

#[derive(Clone, Debug, Default)]
struct Arrival {
    place: Place,
    order: Vec<usize>,
    is_exact: bool,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(broken: &'a [Broken], size: usize) -> Self {
        Self {
            broken,
            places: RefCell::new(vec![Arrival::default(); broken.len()]),
            others: RefCell::default(),
            bytes: Cell::new(2 * size),
            left: Cell::new(broken.len()),
        }
    }

    pub(crate) fn trail(&self) -> Trail {
        (0..self.broken.len()).map(|at| (at, 0)).collect()
    }

    /// Returns the issues in their places.
    pub(crate) fn into_found(self) -> Vec<Found> {
        let others = self.others.into_inner();
        let places = self.places.into_inner().into_iter();
        let found = self.broken.iter().zip(places).enumerate().map(|(at, (broken, arrival))| {
            let found = broken.clone().at(arrival.place, others.get(&at).copied());
            Found { order: arrival.order, is_exact: arrival.is_exact, ..found }
        });
        found.collect()
    }

    fn next(&self, (at, taken): (usize, usize)) -> Option<&'a Component> {
        self.broken[at].path.get(taken)
    }

    /// Notes that the document has been read up to this value. If it has no members, the rest of a path can only be positions
    /// in newtypes.
    pub(crate) fn arrive(&self, trail: &Trail, path: &Path<'_>, kind: Kind) {
        if trail.is_empty() {
            return;
        }
        let (place, order) = path.to_place_and_order();
        let mut places = self.places.borrow_mut();
        for (at, taken) in trail {
            let mut rest = self.broken[*at].path.iter().skip(*taken);
            let is_exact = match kind {
                Kind::Array | Kind::Object => rest.next().is_none(),
                _ => rest.all(|step| *step == Component::Item(0)),
            };
            if is_exact && !places[*at].is_exact {
                self.left.set(self.left.get() - 1);
            }
            places[*at] = Arrival { place: place.clone(), order: order.clone(), is_exact };
        }
    }

    /// Returns true once each exact place has been reached: the rest of the document does not matter.
    pub(crate) fn is_done(&self) -> bool {
        self.left.get() == 0
    }

    pub(crate) fn may_look(&self) -> bool {
        self.bytes.get() > 0
    }

    pub(crate) fn count_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    fn below(&self, trail: Trail) -> impl Iterator<Item = ((usize, usize), &'a Component)> {
        trail.into_iter().filter_map(|step| Some((step, self.next(step)?)))
    }

    /// The items of a list.
    pub(crate) fn of_items(&self, trail: Trail) -> BTreeMap<usize, Trail> {
        let mut items: BTreeMap<_, Trail> = BTreeMap::new();
        for ((at, taken), step) in self.below(trail) {
            if let Component::Item(item) = step {
                items.entry(*item).or_default().push((at, taken + 1));
            }
        }
        items
    }

    /// The value of a map's key.
    pub(crate) fn of_key(&self, trail: &Trail, key: &str) -> Trail {
        let is_it = |step: &Component| match step {
            Component::Name(name) => name == key,
            Component::Item(at) => key == at.to_string(),
        };
        let below = self.below(trail.clone()).filter(|(_, step)| is_it(step));
        below.map(|((at, taken), _)| (at, taken + 1)).collect()
    }

    /// What a variant contains. One field without a name has a position in Rust and none on the wire.
    pub(crate) fn of_variant(&self, trail: Trail, is_newtype: bool) -> Trail {
        let is_inside = |step: &Component| !is_newtype || *step == Component::Item(0);
        let below = self.below(trail).filter(|(_, step)| is_inside(step));
        below.map(|((at, taken), _)| (at, taken + usize::from(is_newtype))).collect()
    }

    /// The value in a newtype. It has a position in garde's path, unless the newtype is `transparent`. Before a list of lists
    /// the two look the same.
    pub(crate) fn of_newtype(&self, trail: Trail, rest: &str) -> Trail {
        let list = Cursor::new(rest);
        let is_list = list.kind() == Kind::Array;
        list.enter();
        let has_lists = is_list && list.advance() && list.kind() == Kind::Array;
        let is_position = |step: &Component| *step == Component::Item(0);
        let all_are = self.below(trail.clone()).all(|(_, step)| is_position(step));
        let below = trail.into_iter().filter_map(|(at, taken)| match self.next((at, taken)) {
            Some(step) if !is_list && is_position(step) => Some((at, taken + 1)),
            Some(_) if is_list && all_are => match self.next((at, taken + 1)) {
                Some(Component::Item(_)) if !has_lists => Some((at, taken + 1)),
                Some(Component::Name(_)) => Some((at, taken)),
                _ => None,
            },
            _ => Some((at, taken)),
        });
        below.collect()
    }

    /// The fields of a struct, by their names on the wire.
    pub(crate) fn of_fields(
        &self,
        trail: Trail,
        known: &'static [&'static str],
        members: &[(Cow<'_, str>, &str)],
    ) -> BTreeMap<&'static str, Trail> {
        let mut by_name: Vec<(&str, Trail)> = Vec::new();
        for (step, name) in self.below(trail) {
            let Component::Name(name) = name else { continue };
            match by_name.iter_mut().find(|(known, _)| known == name) {
                Some((_, trail)) => trail.push(step),
                None => by_name.push((name, vec![step])),
            }
        }
        // A name that no `rename_all` explains shows that fields are renamed one by one.
        let is_regular = by_name.iter().all(|(name, _)| named(name, known).is_some());
        let value = |name: &str| {
            members.iter().find(|(member, _)| member == name).map_or("null", |(_, raw)| raw)
        };
        let mut fields: BTreeMap<&'static str, Trail> = BTreeMap::new();
        let mut renamed = Vec::new();
        for (name, trail) in by_name {
            let can = |field: &str| {
                let all: Vec<_> =
                    trail.iter().map(|step| self.can_break(*step, value(field))).collect();
                match () {
                    () if all.contains(&Some(false)) => Some(false),
                    () if all.contains(&None) => None,
                    () => Some(true),
                }
            };
            let named = named(name, known);
            if is_regular {
                if let Some(field) = named.filter(|field| can(field) != Some(false)) {
                    fields.insert(field, trail);
                }
                continue;
            }
            // The value that breaks the rule shows which field it is, if there is only one.
            let breaking = known.iter().copied().filter(|field| can(field) == Some(true));
            renamed.push((named, breaking.collect::<Vec<_>>(), trail));
        }
        while let Some(at) = renamed.iter().position(|(named, breaking, _)| {
            breaking.len() == 1 && named.is_none_or(|named| named == breaking[0])
        }) {
            let (_, breaking, trail) = renamed.swap_remove(at);
            for (_, others, _) in &mut renamed {
                others.retain(|field| *field != breaking[0]);
            }
            fields.insert(breaking[0], trail);
        }
        for step in fields.values_mut().flatten() {
            step.1 += 1;
        }
        for (at, taken) in fields.values().flatten() {
            if let Some(other) = self.broken[*at].other_field()
                && *taken == self.broken[*at].path.len()
                && let Some(other) = named(other, known).filter(|_| is_regular)
            {
                self.others.borrow_mut().insert(*at, other);
            }
        }
        fields
    }

    /// Returns whether this value, in JSON, can break the rule. `None`: only the rule knows.
    fn can_break(&self, (at, taken): (usize, usize), raw: &str) -> Option<bool> {
        let broken = &self.broken[at];
        let value = Cursor::new(raw);
        let kind = value.kind();
        let is_text = kind == Kind::String;
        match broken.path.get(taken + 1) {
            Some(Component::Name(_)) => return Some(kind == Kind::Object),
            Some(Component::Item(0)) => return (kind == Kind::Array).then_some(true),
            Some(Component::Item(_)) => return Some(matches!(kind, Kind::Array | Kind::Object)),
            None => {}
        }
        let number = || match kind {
            Kind::Number => raw.trim_ascii().parse::<f64>().ok(),
            // As in a query.
            Kind::String => value.string().parse().ok(),
            _ => None,
        };
        let limit = |name: &str| broken.params.get(name).and_then(Value::as_f64);
        match broken.code() {
            issue_codes::TOO_SHORT => {
                let limit = limit("min")?;
                let length = shortest(&value, kind)?;
                Some(length < limit)
            }
            issue_codes::TOO_LONG => {
                let limit = limit("max")?;
                let length = longest(&value, kind)?;
                Some(length > limit)
            }
            issue_codes::TOO_SMALL => Some(number()? < limit("min")?),
            issue_codes::TOO_BIG => Some(number()? > limit("max")?),
            issue_codes::MISSING => Some(kind == Kind::Null),
            issue_codes::INVALID_FORMAT if is_text => {
                let text = value.string();
                let part = |name: &str| broken.params.get(name).and_then(Value::as_str);
                match (part("prefix"), part("suffix"), part("substring")) {
                    (Some(part), ..) => Some(!text.starts_with(part)),
                    (_, Some(part), _) => Some(!text.ends_with(part)),
                    (.., Some(part)) => Some(!text.contains(part)),
                    _ => None,
                }
            }
            issue_codes::INVALID | issue_codes::MISMATCH => None,
            _ if is_text => None,
            _ => Some(false),
        }
    }
}

/// A rule counts a text's bytes, characters or something in between, and the items of a list.
fn shortest(value: &Cursor<'_>, kind: Kind) -> Option<f64> {
    match kind {
        Kind::String => Some(to_f64(value.string().chars().count())),
        _ => longest(value, kind),
    }
}

fn longest(value: &Cursor<'_>, kind: Kind) -> Option<f64> {
    match kind {
        Kind::String => Some(to_f64(value.string().len())),
        Kind::Array | Kind::Object => {
            value.enter();
            let mut items = 0;
            while value.advance() {
                if kind == Kind::Object {
                    value.name();
                }
                value.skip();
                items += 1;
            }
            Some(to_f64(items))
        }
        // Other values have no length.
        _ => Some(f64::NAN),
    }
}

fn to_f64(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::MAX, f64::from)
}

/// Returns the one name on the wire that serde's `rename_all` makes of a name in Rust, if it is known.
fn named(rust: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let pascal: String = rust
        .split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect();
    let camel = {
        let (first, rest) = pascal.split_at_checked(1).unwrap_or((&pascal, ""));
        first.to_ascii_lowercase() + rest
    };
    let kebab = rust.replace('_', "-");
    let upper = rust.to_ascii_uppercase();
    let upper_kebab = kebab.to_ascii_uppercase();
    let images = [rust, &pascal, &camel, &kebab, &upper, &upper_kebab];
    let mut names = known.iter().copied().filter(|name| images.contains(name));
    names.next().filter(|_| names.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_names_produced_by_rename_all() {
        for wire in ["createdAt", "CreatedAt", "created-at", "CREATED_AT", "CREATED-AT"] {
            let known: &'static [&'static str] = Box::leak(Box::new(["id", wire]));
            assert_eq!(named("created_at", known), Some(wire));
        }
        assert_eq!(named("created_at", &["created_at"]), Some("created_at"));
        assert_eq!(named("created_at", &["created", "at"]), None);
        assert_eq!(named("created_at", &["createdAt", "created_at"]), None);
    }
}
