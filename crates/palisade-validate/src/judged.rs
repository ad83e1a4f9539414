//! What the schema of a type says about a document that the type has rejected.

use serde::de::DeserializeOwned;

pub(crate) use crate::schema::Judge;
use crate::{
    Validation,
    examine::{Watch, Watched, examine_watching},
    issue_codes,
    place::{Found, Step},
    schema::{Judgement, Manner},
};

/// Judges a rejected document by the schema of its type. Nothing is found if there is no schema, or if it has no objection.
pub(crate) fn judged(text: &str, settings: &Validation, judge: Option<&Judge>) -> Judgement {
    let mode = settings.json_mode(text.len());
    let judge = judge.filter(|_| !mode.only_first && is_small_as_tree(text));
    let document = judge.and_then(|_| serde_json::from_str(text).ok());
    let (Some(judge), Some(document)) = (judge, document) else { return Judgement::default() };
    let manner = Manner {
        accepts_integral_floats: settings.accepts_integral_floats,
        denies_unknown_fields: mode.refuses_unknown,
        is_derived: true,
    };
    judge.judge(&document, manner)
}

/// Judges a document that a type cannot read. The type may accept more than its schema: names of serde's `alias`, a list in
/// place of a struct, a UUID without dashes. So it is asked which members it knows where the schema does not know one, and
/// an issue is left out if the type accepts the value.
pub(crate) fn judged_form<T: DeserializeOwned>(
    text: &str,
    settings: &Validation,
    judge: Option<&Judge>,
) -> Vec<Found> {
    let Judgement { mut found, doubts, .. } = judged(text, settings, judge);
    let can_be_accepted = |issue: &Found| match issue.code {
        issue_codes::INVALID_OPTION | issue_codes::INVALID_URL => true,
        issue_codes::INVALID_FORMAT => issue.params.contains_key("format"),
        issue_codes::WRONG_TYPE => {
            issue.params.get("expected").is_some_and(|kind| kind == "object")
        }
        _ => false,
    };
    let contested = found.iter().filter(|issue| can_be_accepted(issue)).map(|issue| &issue.place);
    let watched = doubts.iter().map(|(place, _)| place).chain(contested).cloned();
    let watch = |place| Watch { place, known: None, is_accepted: false };
    let watched = Watched::new(watched.map(watch).collect());
    if watched.borrow().is_empty() {
        return found;
    }
    let examined = examine_watching::<T>(text, settings.json_mode(text.len()), &watched).found;
    let watched = watched.into_inner();
    found.retain(|issue| {
        let is_it = |watch: &Watch| watch.is_accepted && watch.place == issue.place;
        if can_be_accepted(issue) && watched.iter().any(is_it) {
            return false;
        }
        let is_there = || examined.iter().any(|other| other.place == issue.place);
        if issue.code == issue_codes::INVALID_OPTION {
            return doubts.iter().all(|(place, _)| *place != issue.place) || is_there();
        }
        let doubt = doubts.iter().position(|(place, _)| issue.place.parent() == Some(&place.0));
        let (Some(doubt), Some(Step::Name(name))) = (doubt, issue.place.0.last()) else {
            return true;
        };
        let is_confirmed =
            || examined.iter().any(|other| other.code == issue.code && other.place == issue.place);
        match (issue.code, watched[doubt].known) {
            (issue_codes::UNKNOWN_FIELD, Some(known)) => !known.contains(&&**name),
            (issue_codes::MISSING, Some(known)) => {
                let has_alias = doubts[doubt].1.iter().any(|name| known.contains(&&**name));
                !has_alias || is_confirmed()
            }
            (issue_codes::UNKNOWN_FIELD | issue_codes::MISSING, None) => is_confirmed(),
            _ => true,
        }
    });
    found
}

/// A tree takes up to 700 bytes for an object and 40 for any other value. Larger ones than 6 MiB are not made.
fn is_small_as_tree(text: &str) -> bool {
    let mut most = 0;
    for byte in text.as_bytes() {
        most += match byte {
            b'{' => 700,
            b',' | b'[' => 100,
            _ => 0,
        };
    }
    most < 6 * 1024 * 1024
}
