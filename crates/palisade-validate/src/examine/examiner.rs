use std::{any::type_name, borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{Visitor, value::MapDeserializer},
};
use serde_json::Number;

use super::{
    Path,
    absent::Absent,
    access::{Fields, Items},
    cursor::Kind,
    fault::Fault,
    round::{ReadAs, Round},
    visit::{RAW, Words, is_finite, visit_number, visit_text},
};
use crate::{issue_codes, names::Trail, place::Found};

/// A deserializer over a JSON text that notes what is wrong and goes on.
///
/// It reads what serde_json reads. The visitors of numbers and strings are handed what serde_json would hand them; only
/// where serde_json fails, or the visitor is that of a primitive type that must fail, a stand-in takes the value's place.
pub(super) struct Examiner<'t, 'r> {
    pub(super) path: &'r Path<'r>,
    pub(super) round: &'r Round<'t>,
    /// The broken rules that are at this value or below.
    pub(super) trail: Trail,
    /// The type that the value becomes. Empty: not known.
    of: &'static str,
}

impl<'t, 'r> Examiner<'t, 'r> {
    /// A value that becomes a `T`.
    pub(super) fn new<T>(path: &'r Path<'r>, round: &'r Round<'t>, trail: Trail) -> Self {
        if let Some(resolver) = round.resolver {
            resolver.arrive(&trail, path, round.cursor.kind());
        }
        Self { path, round, trail, of: type_name::<T>() }
    }

    /// Notes that what is read is of this type. If another was asked for, it wraps this one, as with `#[serde(transparent)]`
    /// and `#[serde(from = "…")]`, and serde does not show that.
    fn unwrap_to<T>(&mut self) {
        const POINTERS: [&str; 5] = [
            "core::option::Option<",
            "alloc::boxed::Box<",
            "alloc::rc::Rc<",
            "alloc::sync::Arc<",
            "alloc::borrow::Cow<",
        ];
        if self.trail.is_empty() {
            return;
        }
        let mut of = self.of;
        while let Some(inner) = POINTERS.iter().find_map(|pointer| of.strip_prefix(pointer)) {
            of = inner.strip_suffix('>').unwrap_or(inner);
        }
        if let Some(resolver) = self.round.resolver
            && !of.is_empty()
            && of != type_name::<T>()
        {
            self.trail =
                resolver.of_newtype(std::mem::take(&mut self.trail), self.round.cursor.rest());
        }
    }

    pub(super) fn root<T>(round: &'r Round<'t>) -> Self {
        let trail = round.resolver.map(crate::names::Resolver::trail).unwrap_or_default();
        Self::new::<T>(&Path::Root, round, trail)
    }

    pub(super) fn kind(&self) -> Kind {
        self.round.cursor.kind()
    }

    pub(super) fn skip(&self) -> &'t str {
        self.round.cursor.skip()
    }

    /// Notes that the value has the wrong kind, and hands out another. `kind` is for programs, `words` for people.
    pub(super) fn stand_in<T>(
        self,
        kind: &'static str,
        words: impl fmt::Display,
        visit: impl FnOnce(Absent<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let is_list = self.kind() == Kind::Array;
        self.skip();
        self.round.note(self.path, |place| {
            let message = if self.round.mode.coerces_text && is_list {
                "must be given once".to_owned()
            } else {
                format!("must be {words}")
            };
            Found::new(place, issue_codes::WRONG_TYPE, message).with_param("expected", kind)
        });
        self.replace(visit)
    }

    pub(super) fn replace<T>(
        self,
        visit: impl FnOnce(Absent<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        Absent::hand_to(self.round, self.path, visit)
    }

    /// The text that stands for a number or a boolean in a query.
    pub(super) fn coercible(&self) -> Option<Cow<'t, str>> {
        let is_text = self.round.mode.coerces_text && self.kind() == Kind::String;
        is_text.then(|| self.round.cursor.string())
    }

    fn object<V: Visitor<'t>>(
        mut self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.unwrap_to::<V::Value>();
        let words = if self.trail.is_empty() { String::new() } else { Words(&visitor).to_string() };
        // A struct with others flattened into it reads a map as well, and says so.
        let is_map = words == "a map";
        if words.starts_with("adjacently tagged enum") {
            // The fields are those of serde, and garde does not know them.
            self.trail.clear();
        }
        let mut fields = Fields::new(self, known, typeid::of::<V>(), is_map);
        let outcome = visitor.visit_map(&mut fields);
        fields.finish(outcome)
    }

    fn items<V: Visitor<'t>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.unwrap_to::<V::Value>();
        let (path, round) = (self.path, self.round);
        let is_ordered =
            !["Set<", "BinaryHeap<"].iter().any(|set| type_name::<V::Value>().contains(set));
        let mut items = Items::new(self, is_ordered);
        let value = visitor.visit_seq(&mut items)?;
        if items.has_more() {
            round.note(path, |place| {
                Found::new(place, issue_codes::WRONG_TYPE, "must be a list of fewer items")
                    .with_param("expected", "array")
            });
        }
        Ok(value)
    }

    /// A text that stands for a list of one.
    fn only_item<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Items::of_one(self))
    }
}

macro_rules! integers {
    ($($method:ident $integer:ty;)*) => {$(
        #[allow(clippy::cast_lossless, reason = "one macro for all widths")]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.integer(visitor, stringify!($integer), (<$integer>::MIN as i128, <$integer>::MAX as u128))
        }
    )*};
}

impl<'de> Deserializer<'de> for Examiner<'de, '_> {
    type Error = Fault;

    integers! {
        deserialize_i8 i8;
        deserialize_i16 i16;
        deserialize_i32 i32;
        deserialize_i64 i64;
        deserialize_i128 i128;
        deserialize_u8 u8;
        deserialize_u16 u16;
        deserialize_u32 u32;
        deserialize_u64 u64;
        deserialize_u128 u128;
    }

    methods! {
        deserialize_f64 => |this, visitor| this.float(visitor, is_finite::<f64>);
        deserialize_f32 => |this, visitor| this.float(visitor, is_finite::<f32>);
        deserialize_str deserialize_string deserialize_identifier => |this, visitor| match this.kind() {
            Kind::String => visit_text(this.round.cursor.string(), visitor),
            _ => this.stand_in("string", "a string", |absent| absent.deserialize_str(visitor)),
        };
        deserialize_byte_buf => |this, visitor| this.deserialize_bytes(visitor);
        deserialize_option => |this, visitor| match this.kind() {
            Kind::Null => {
                this.skip();
                visitor.visit_none()
            }
            _ => visitor.visit_some(this),
        };
        deserialize_unit => |this, visitor| match this.kind() {
            Kind::Null => {
                this.skip();
                visitor.visit_unit()
            }
            _ => this.stand_in("null", "null", |absent| absent.deserialize_unit(visitor)),
        };
        deserialize_seq => |this, visitor| match this.kind() {
            Kind::Array => this.items(visitor),
            Kind::String if this.round.mode.coerces_text => this.only_item(visitor),
            _ => this.stand_in("array", "a list", |absent| absent.deserialize_seq(visitor)),
        };
        deserialize_map => |this, visitor| match this.kind() {
            Kind::Object => this.object(None, visitor),
            _ => this.stand_in("object", "an object", |absent| absent.deserialize_map(visitor)),
        };
        deserialize_ignored_any => |this, visitor| {
            this.skip();
            visitor.visit_unit()
        };
    }

    methods_with! {
        deserialize_unit_struct(_name: &'static str) => |this, visitor| this.deserialize_unit(visitor);
        deserialize_tuple(length: usize) => |this, visitor| match this.kind() {
            Kind::Array => this.items(visitor),
            Kind::String if this.round.mode.coerces_text => this.only_item(visitor),
            _ => this.stand_in("array", format_args!("a list of {length} items"), |absent| {
                absent.deserialize_tuple(length, visitor)
            }),
        };
        deserialize_tuple_struct(_name: &'static str, length: usize) => |this, visitor| {
            this.deserialize_tuple(length, visitor)
        };
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) => |this, visitor| {
            this.variant(name, variants, visitor)
        };
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Null => self.deserialize_unit(visitor),
            Kind::Bool => visitor.visit_bool(self.skip() == "true"),
            Kind::Number => self.float(visitor, is_finite::<f64>),
            Kind::Array => self.items(visitor),
            Kind::Object => self.object(None, visitor),
            Kind::String => {
                let knowledge = self.round.knowledge;
                let reads = |what| knowledge.reads(self.path, what);
                if self.round.mode.coerces_text && reads(ReadAs::List) {
                    return self.only_item(visitor);
                }
                let text = self.round.cursor.string();
                let of_list = |what| match self.path {
                    Path::Index(list, _) => knowledge.reads(list, what),
                    _ => false,
                };
                if self.round.mode.coerces_text && !reads(ReadAs::Text) {
                    if reads(ReadAs::Bool)
                        && let Some(value) = self.round.mode.boolean(&text)
                    {
                        return visitor.visit_bool(value);
                    }
                    if (reads(ReadAs::Number) || of_list(ReadAs::Number))
                        && serde_json::from_str::<Number>(&text).is_ok()
                    {
                        return visit_number(&text, visitor);
                    }
                }
                visit_text(text, visitor)
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.kind() == Kind::Bool {
            return visitor.visit_bool(self.skip() == "true");
        }
        let start = self.round.cursor.at();
        let mode = self.round.mode;
        if let Some(value) = self.coercible().and_then(|text| mode.boolean(&text)) {
            return visitor.visit_bool(value);
        }
        self.round.cursor.seek(start);
        self.stand_in("boolean", "true or false", |absent| absent.deserialize_bool(visitor))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let start = self.round.cursor.at();
        if self.kind() == Kind::String {
            let text = self.round.cursor.string();
            let is_one = text.chars().count() == 1;
            if is_one || Words(&visitor).to_string() != "a character" {
                return visit_text(text, visitor);
            }
        }
        self.round.cursor.seek(start);
        self.stand_in("string", "a single character", |absent| absent.deserialize_char(visitor))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Array => self.items(visitor),
            Kind::String => match self.round.cursor.string() {
                Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                Cow::Owned(text) => visitor.visit_bytes(text.as_bytes()),
            },
            _ => self.stand_in("string", "a string", |absent| absent.deserialize_bytes(visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == RAW {
            return visitor.visit_map(MapDeserializer::new([(RAW, self.skip())].into_iter()));
        }
        let (path, round) = (self.path, self.round);
        let trail = match round.resolver {
            Some(resolver) => resolver.of_newtype(self.trail, round.cursor.rest()),
            None => self.trail,
        };
        visitor.visit_newtype_struct(Examiner { of: "", ..Examiner::new::<()>(path, round, trail) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Object => self.object(Some(known), visitor),
            // serde_json reads a list, field by field. The root has been looked at before.
            Kind::Array if !matches!(self.path, Path::Root) => self.items(visitor),
            _ => self.stand_in("object", "an object", |absent| {
                absent.deserialize_struct(name, known, visitor)
            }),
        }
    }
}
