//! Random types and random documents: each issue is at a value that is wrong, or at a member that is missing.
//!
//! A type is a random [`Shape`]. It is read by types whose `Deserialize` is derived: their fields are a [`Child`], which
//! reads the next shape inside. So serde does all that it does for types of services, its buffering included.

#![cfg(feature = "schemars")]

mod shapes;

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, net::IpAddr, rc::Rc};

use garde::{Path, Report, Validate};
use palisade_core::ApiError;
use palisade_validate::Validation;
use proptest::prelude::*;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use shapes::{KINDS, Kind, ROOT, Root, SCALARS, Shape, root};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

fn shape(random: &mut Random, depth: usize) -> Rc<Shape> {
    let from = if depth == 4 { SCALARS } else { 0 };
    let to = if depth == 0 { SCALARS } else { KINDS.len() };
    let kind = KINDS[from + random.below(to - from)];
    let count = if KINDS.iter().position(|one| *one == kind) < Some(SCALARS) { 0 } else { 2 };
    Rc::new(Shape { kind, children: (0..count).map(|_| shape(random, depth - 1)).collect() })
}

/// A document that is mostly what the shape says.
fn document(shape: &Shape, random: &mut Random) -> Value {
    let junk = json!([null, true, 7, -1, 300, 1.5, "", "abc", [], {}, [1], {"a": 1, "z": 2}, {"kind": "fields"}, {"t": "new"}]);
    if random.one_in(9) {
        return junk[random.below(14)].clone();
    }
    let mut inside = |at: usize| document(&shape.children[at], random);
    let value = match shape.kind {
        Kind::Text => json!("ab"),
        Kind::Number => json!(1),
        Kind::Flag => json!(true),
        Kind::Float => json!(1.5),
        Kind::Address => json!("::1"),
        Kind::Even => json!(2),
        Kind::Word => json!("one-word"),
        Kind::Optional | Kind::Newtype | Kind::Untagged => inside(0),
        Kind::List => json!([inside(0), inside(0)]),
        Kind::Map => json!({"x": inside(0), "y/~": inside(0)}),
        Kind::Tuple => json!([inside(0), inside(1)]),
        Kind::Struct => json!({"firstOne": inside(0), "second": inside(1), "3rd": "ab"}),
        Kind::Flattened => json!({"own": inside(0), "deep": inside(1), "other": 1}),
        Kind::External => match random.below(4) {
            0 => json!("unitOne"),
            1 => json!({"new": document(&shape.children[0], random)}),
            2 => {
                json!({"pair": [document(&shape.children[0], random), document(&shape.children[1], random)]})
            }
            _ => json!({"fields": fields(shape, random)}),
        },
        Kind::Internal => {
            let mut value = fields(shape, random);
            value["kind"] = json!(["fields", "fields", "fields", "unitOne", "?"][random.below(5)]);
            value
        }
        Kind::Adjacent => match random.below(3) {
            0 => json!({"t": "unitOne"}),
            1 => json!({"t": "new", "c": document(&shape.children[0], random)}),
            _ => json!({"t": "fields", "c": fields(shape, random)}),
        },
    };
    if matches!(shape.kind, Kind::Struct | Kind::Flattened | Kind::Internal) {
        mutated(value, random)
    } else {
        value
    }
}

fn fields(shape: &Shape, random: &mut Random) -> Value {
    let value = json!({"a": document(&shape.children[0], random), "b": document(&shape.children[1], random)});
    mutated(value, random)
}

/// Returns true for a field that is called `z` as well.
fn has_alias(name: &str) -> bool {
    ["second", "b", "deep"].contains(&name)
}

/// Leaves members out, renames them and adds others.
fn mutated(value: Value, random: &mut Random) -> Value {
    let Value::Object(object) = value else { return value };
    let mut mutated = serde_json::Map::new();
    for (name, value) in object {
        match random.below(10) {
            0 => {}
            1 | 2 if has_alias(&name) => _ = mutated.insert("z".to_owned(), value),
            _ => _ = mutated.insert(name, value),
        }
    }
    if random.one_in(6) {
        mutated.insert("extra".to_owned(), json!(1));
    }
    mutated.into()
}

/// The shape at a place. `None`: a part of a union, such as its tag, has none.
fn shape_at(shape: &Rc<Shape>, steps: &[String]) -> Option<Rc<Shape>> {
    let Some((step, rest)) = steps.split_first() else { return Some(Rc::clone(shape)) };
    let (at, rest) = match (shape.kind, &**step) {
        (Kind::Optional | Kind::Newtype, _) => (0, steps),
        (Kind::List | Kind::Map, _) | (Kind::Struct, "firstOne") | (Kind::Flattened, "own") => {
            (0, rest)
        }
        (Kind::Tuple, "0") | (Kind::Internal, "a") => (0, rest),
        (Kind::Tuple, "1") | (Kind::Internal, "b" | "z") => (1, rest),
        (Kind::Struct, "second" | "z") | (Kind::Flattened, "deep" | "z") => (1, rest),
        (Kind::External, "new") => (0, rest),
        (Kind::External, "pair" | "fields") => match rest.split_first()? {
            (name, rest) if ["0", "a"].contains(&&**name) => (0, rest),
            (name, rest) if ["1", "b", "z"].contains(&&**name) => (1, rest),
            _ => return None,
        },
        _ => return None,
    };
    shape_at(&shape.children[at], rest)
}

/// Returns true if the shape takes the value, and no rule is broken.
fn is_valid(shape: &Rc<Shape>, value: &Value) -> bool {
    let before = ROOT.replace(Some(Rc::clone(shape)));
    let read = serde_json::from_value::<Root<0>>(value.clone());
    ROOT.set(before);
    read.is_ok_and(|value| value.validate().is_ok())
}

fn check<T>(
    shape: &Rc<Shape>,
    document: &Value,
    strict: bool,
    answer: Result<T, ApiError>,
) -> Result<(), TestCaseError> {
    let is_read = {
        let before = ROOT.replace(Some(Rc::clone(shape)));
        let read = serde_json::from_value::<Root<0>>(document.clone());
        ROOT.set(before);
        read.is_ok()
    };
    let Err(error) = answer else {
        prop_assert!(is_valid(shape, document));
        return Ok(());
    };
    prop_assert!(!error.issues().is_empty());
    prop_assert!(strict || !is_valid(shape, document), "{:?} of {document}", error.issues());
    // Rules are looked at where the form is right, and only there.
    prop_assert!(is_read || error.issues_are_truncated());
    for issue in error.issues() {
        let pointer = issue.pointer.as_deref().unwrap_or_default();
        let here = format!("{issue:?} of {document}, a {shape:?}");
        let unescaped = |step: &str| step.replace("~1", "/").replace("~0", "~");
        let steps: Vec<_> = pointer.split('/').skip(1).map(unescaped).collect();
        if issue.code == "missing" && issue.message == "is missing" {
            let parent =
                document.pointer(pointer.rsplit_once('/').map_or("", |(parent, _)| parent));
            let parent = parent.and_then(Value::as_object);
            prop_assert!(parent.is_some(), "{here}");
            let is_there = parent.is_some_and(|parent| {
                steps.last().is_some_and(|name| parent.contains_key(name))
                    || steps.last().is_some_and(|name| has_alias(name)) && parent.contains_key("z")
            });
            prop_assert!(!is_there, "{here}");
            continue;
        }
        // A rule is at the name of its field, also if the document has an alias.
        let value = steps.iter().try_fold(document, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step).or_else(|| value.get("z").filter(|_| has_alias(step))),
        });
        prop_assert!(value.is_some(), "{here}");
        if issue.code == "unknown_field" {
            let parent = shape_at(shape, &steps[..steps.len() - 1]);
            let is_alias = steps.last().is_some_and(|name| name == "z");
            let has_alias = parent.is_some_and(|parent| {
                [Kind::Struct, Kind::Internal, Kind::Flattened].contains(&parent.kind)
            });
            prop_assert!(!(is_alias && has_alias), "{here}");
        } else if let (Some(inner), Some(value)) = (shape_at(shape, &steps), value) {
            prop_assert!(!is_valid(&inner, value), "{here}");
        }
    }
    Ok(())
}

fn settings(strict: bool) -> Validation {
    if strict { Validation::new().deny_unknown_fields() } else { Validation::new() }
}

fn check_by_schema<const SEED: u64>(seed: u64) -> Result<(), TestCaseError> {
    let shape = root(SEED);
    let document = document(&shape, &mut Random(seed | 1));
    for strict in [false, true] {
        let body = document.to_string();
        let answer = settings(strict).json_by_schema::<Root<SEED>>(body.as_bytes());
        check(&shape, &document, strict, answer)?;
    }
    Ok(())
}

macro_rules! by_schema {
    ($seed:ident: $($number:literal)*) => {
        $(check_by_schema::<$number>($seed)?;)*
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn issues_of_random_types_point_to_wrong_values(seed in 1u64..) {
        let mut random = Random(seed);
        let shape = shape(&mut random, 4);
        ROOT.set(Some(Rc::clone(&shape)));
        let document = document(&shape, &mut random);
        for strict in [false, true] {
            let answer = settings(strict).json::<Root<0>>(document.to_string().as_bytes());
            check(&shape, &document, strict, answer)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn issues_by_random_schemas_point_to_wrong_values(seed in any::<u64>()) {
        by_schema!(seed: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34
            35 36 37 38 39 40 41 42 43 44 45 46 47 48);
    }
}
