//! Finds what is wrong with the form of a document, where serde stops at the first mistake.
//!
//! A type asks its deserializer for what it wants: a number, a string, a struct with these fields. Where the document has
//! something else, the [`Examiner`] notes it and hands the type a stand-in of the kind it asked for, so that it goes on
//! asking. A value with stand-ins is thrown away, and rules never see one: only the notes are kept.
//!
//! Some mistakes end the reading of a struct: a missing field, or a value that its type rejects. The document is then read
//! again, a bounded number of times: a field that is known to be required is noted wherever it is missing, and the member
//! that was rejected comes last, after its siblings. Nothing is concluded from changed documents.
//!
//! serde's traits are recursive, and so are the files: the `examiner` reads a value through `access` (lists and objects) and
//! `variant` (enums), which read each member with another examiner.

/// Implements methods of a `Deserializer` that take nothing but a visitor.
macro_rules! methods {
    ($($($method:ident)+ => |$this:ident, $visitor:ident| $visit:expr;)*) => {$($(
        fn $method<V: Visitor<'de>>(self, $visitor: V) -> Result<V::Value, Self::Error> {
            let $this = self;
            $visit
        }
    )+)*};
}

/// Implements those that take more.
macro_rules! methods_with {
    ($($method:ident($($arg:ident: $type:ty),+) => |$this:ident, $visitor:ident| $visit:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)+ $visitor: V) -> Result<V::Value, Self::Error> {
            let $this = self;
            $visit
        }
    )*};
}

mod absent;
mod access;
mod buffered;
mod cursor;
mod examiner;
mod fault;
mod key;
mod mode;
mod numbers;
mod path;
mod probe;
mod round;
mod variant;
mod visit;

use serde::de::DeserializeOwned;

#[cfg(feature = "json-schema")]
pub(crate) use self::round::Watch;
pub(crate) use self::{
    cursor::{Cursor, Kind},
    mode::Mode,
    path::Path,
    probe::{Shape, asked_for},
    round::Watched,
};
use self::{examiner::Examiner, round::Round};
use crate::{
    issue_codes,
    names::Resolver,
    place::{Found, MAX_ISSUES, Place},
};

/// The result of an examination.
#[derive(Debug)]
pub(crate) struct Examined<T> {
    /// The value, unless something is wrong.
    pub(crate) value: Option<T>,
    /// In the order of the fields of each struct.
    pub(crate) found: Vec<Found>,
    /// The document was read to its end.
    pub(crate) is_complete: bool,
    /// The work of all readings, in bytes of the document.
    #[cfg_attr(not(test), allow(dead_code, reason = "a test bounds it"))]
    pub(crate) work: usize,
}

/// Returns the issue of a document whose mistake has no place.
pub(crate) fn not_as_expected() -> Found {
    Found::new(Place::default(), issue_codes::INVALID, "does not have the expected form")
}

/// The work after which no other reading begins. The cost stays linear in the size: a large document is read four times at
/// most, and a small one more often. Texts of a query are converted by trying, so they get more.
fn allowance(size: usize, mode: Mode) -> usize {
    match mode {
        Mode { only_first: true, .. } => 0,
        Mode { coerces_text: true, .. } => 16 * 1024 + 4 * size,
        _ => 4 * 1024 + 2 * size,
    }
}

/// The most readings of a document.
const MAX_READINGS: usize = 2 * MAX_ISSUES;

/// Examines a text that is known to be valid JSON.
pub(crate) fn examine<T: DeserializeOwned>(text: &str, mode: Mode) -> Examined<T> {
    examine_watching(text, mode, &Watched::default())
}

/// The same, and notes which names the structs at some places know.
pub(crate) fn examine_watching<T: DeserializeOwned>(
    text: &str,
    mode: Mode,
    watched: &Watched,
) -> Examined<T> {
    let mut knowledge = round::Knowledge::default();
    let mut found: Vec<Found> = Vec::new();
    let mut work = 0;
    let mut value = None;
    for _ in 0..MAX_READINGS {
        let round = Round::new(text, mode, &knowledge, None, watched);
        let outcome = round.settle(&Path::Root, 0, T::deserialize(Examiner::root::<T>(&round)));
        let learned = round.into_learned();
        work += learned.work;
        for new in learned.found {
            if !found.iter().any(|known| known.place == new.place && known.code == new.code) {
                found.push(new);
            }
        }
        match outcome {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(_) if found.len() >= learned.most || work > allowance(text.len(), mode) => break,
            Err(_) if knowledge.learn(learned.facts) => {}
            Err(_) => break,
        }
    }
    if value.is_none() && found.is_empty() {
        found.push(not_as_expected());
    }
    found.sort_by(|one, other| one.order.cmp(&other.order));
    found.truncate(if mode.only_first { 1 } else { MAX_ISSUES });
    let is_complete = value.is_some();
    Examined { value: value.filter(|_| found.is_empty()), found, is_complete, work }
}

/// Finds the places of broken rules in the document that the value was read from.
pub(crate) fn resolve<T: DeserializeOwned>(text: &str, mode: Mode, resolver: &Resolver<'_>) {
    let knowledge = round::Knowledge::default();
    let watched = Watched::default();
    let mode = Mode { refuses_unknown: false, ..mode };
    let round = Round::new(text, mode, &knowledge, Some(resolver), &watched);
    // The value is known to be valid.
    let _ = T::deserialize(Examiner::root::<T>(&round));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Item {
        name: String,
        a: std::net::IpAddr,
        b: Option<Box<Item>>,
        c: u8,
        d: u8,
        e: u8,
        f: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind")]
    #[allow(dead_code)]
    enum Kind {
        Nested { kinds: Vec<Kind>, limit: u8 },
    }

    /// A document is read a few times at most, and a large one four times at most.
    #[test]
    fn number_of_passes_over_a_document_is_bounded() {
        let field = |at: usize| format!("\"x{at}\":0");
        let many = (0..400).map(field).collect::<Vec<_>>().join(",");
        for size in [2 * 1024, 32 * 1024, 256 * 1024, 2 * 1024 * 1024] {
            let list = |item: &str| {
                format!("[{}]", vec![item; (size / (item.len() + 1)).max(1)].join(","))
            };
            let deep = "{\"b\":".repeat(60) + &list("0") + &"}".repeat(60);
            let kinds = "{\"f\":{\"kind\":\"Nested\",\"kinds\":".to_owned() + &list("{}") + "}}";
            let unknown = list(&format!("{{{many}}}"));
            // A member that ends the reading is passed over until it is the last.
            let ends = format!("{{\"b\":{{\"a\":\"{}\"}}}}", "x".repeat(size));
            let blank = format!("{{\"a\":\"\",\"c\":300{}}}", " ".repeat(size));
            for text in [
                list("[]"),
                list("{\"a\":0}"),
                list("{}"),
                list("0"),
                deep,
                kinds,
                unknown,
                ends,
                blank,
            ] {
                let most = 40 * 1024 + 7 * text.len();
                let mode = Mode { refuses_unknown: true, ..Mode::default() };
                let list = examine::<Vec<Item>>(&text, mode);
                let item = examine::<Item>(&text, mode);
                let map = examine::<BTreeMap<String, Item>>(&text, mode);
                for work in [list.work, item.work, map.work] {
                    assert!(work <= most, "{work} of {}: {}", text.len(), &text[..60]);
                }
                assert!(list.found.len() <= MAX_ISSUES);
                assert!(!list.found.is_empty() && !item.found.is_empty());
            }
        }
    }
}
