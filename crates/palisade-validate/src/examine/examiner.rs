use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, MapAccessDeserializer},
    },
};
use serde_json::Value;

use super::{
    Round, boolean,
    fault::{Fault, one_of, unknown_field},
    key::Key,
    path::Path,
    shapes::Shape,
};
use crate::{issue_codes, place::Found};

/// A deserializer that notes what is wrong and goes on.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'v, 'r> {
    value: &'v Value,
    path: &'r Path<'r>,
    round: &'r Round<'r>,
}

impl<'v, 'r> Examiner<'v, 'r> {
    pub(super) fn new(value: &'v Value, path: &'r Path<'r>, round: &'r Round<'r>) -> Self {
        Self { value, path, round }
    }

    fn found(
        &self,
        code: &'static str,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Found {
        Found::new(self.path.to_place(), code, message)
    }

    /// `kind` is what programs are told, `words` what people are.
    fn expected(&self, kind: &'static str, words: &str) {
        let found = if self.round.mode.coerces_text && self.value.is_array() {
            self.found(issue_codes::WRONG_TYPE, "must be given once")
        } else {
            self.found(issue_codes::WRONG_TYPE, format!("must be {words}"))
        };
        self.round.note(found.with_param("expected", kind));
    }

    /// The text that stands for something else in a query.
    fn coercible(&self) -> Option<&'v str> {
        self.value.as_str().filter(|_| self.round.mode.coerces_text)
    }

    /// Adds the place to a fault that has none yet.
    fn place<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|fault| match fault {
            Fault::Here(why) => Fault::Refused(self.path.to_place(), why),
            Fault::MissingHere(field) => Fault::Missing(self.path.to_place(), field),
            placed => placed,
        })
    }

    /// The same for what was said about an object, which may be about one of its fields.
    fn place_within<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        self.place(outcome.map_err(|fault| match fault {
            Fault::Here(why) => Fault::RefusedWithin(self.path.to_place(), why),
            fault => fault,
        }))
    }

    /// For what is said after a value was read: the tag of an enum tells only then what the rest should have been.
    pub(super) fn place_after<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if self.value.is_object() { self.place_within(outcome) } else { self.place(outcome) }
    }

    fn remember(&self, shape: Shape) {
        self.round.shapes.borrow_mut().remember(&self.path.to_place(), shape);
    }

    /// Struct by struct is enough to find names. What else the whole value is tells how a path is to be read.
    fn remember_root(&self, shape: Shape) {
        if matches!(self.path, Path::Root) {
            self.remember(shape);
        }
    }

    fn fields(self) -> Fields<'v, 'r> {
        let object = self.value.as_object();
        if object.is_none() {
            self.expected("object", "an object");
        }
        Fields {
            given: object.map(serde_json::Map::iter),
            next: None,
            path: self.path,
            round: self.round,
        }
    }

    fn items(self) -> Items<'v, 'r> {
        let values = match self.value {
            Value::Array(values) => values.as_slice(),
            one if self.coercible().is_some() => std::slice::from_ref(one),
            _ => {
                self.expected("array", "a list");
                &[]
            }
        };
        Items { values: values.iter().enumerate(), path: self.path, round: self.round }
    }

    fn number<V: Visitor<'v>>(self, visitor: V, most: f64) -> Result<V::Value, Fault> {
        self.remember_root(Shape::Single);
        let given = || self.coercible()?.parse().ok();
        // `NaN` and `inf` are no numbers for a client, and a range would not hold them.
        let number = self.value.as_f64().or_else(given).filter(|number: &f64| number.abs() <= most);
        let number = number.unwrap_or_else(|| {
            self.expected("number", "a number");
            0.0
        });
        self.place(visitor.visit_f64(number))
    }

    /// A tuple leaves the items that it has no use for.
    fn visit_items<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mut items = self.items();
        let outcome = visitor.visit_seq(&mut items);
        if outcome.is_ok() && items.values.len() > 0 {
            let found = self.found(issue_codes::WRONG_TYPE, "must be a list of fewer items");
            self.round.note(found.with_param("expected", "array"));
        }
        self.place(outcome)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $integer:ty, $get:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.remember_root(Shape::Single);
            let integer = match self.value {
                Value::Number(number) => {
                    number.$get().and_then(|integer| <$integer>::try_from(integer).ok())
                }
                _ => self.coercible().and_then(|text| text.parse().ok()),
            };
            let integer = integer.unwrap_or_else(|| {
                let (min, max) = (<$integer>::MIN, <$integer>::MAX);
                self.expected("integer", &format!("an integer from {min} to {max}"));
                0
            });
            self.place(visitor.$visit(integer))
        }
    )*};
}

impl<'de> Deserializer<'de> for Examiner<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => self.place(visitor.visit_unit()),
            Value::Bool(value) => self.place(visitor.visit_bool(*value)),
            Value::String(text) => self.place(visitor.visit_borrowed_str(text)),
            Value::Array(_) => self.visit_items(visitor),
            Value::Object(_) => self.place_within(visitor.visit_map(self.fields())),
            Value::Number(number) => {
                let outcome = match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(number), _, _) => visitor.visit_u64(number),
                    (_, Some(number), _) => visitor.visit_i64(number),
                    (_, _, number) => visitor.visit_f64(number.unwrap_or_default()),
                };
                self.place(outcome)
            }
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, as_i64;
        deserialize_i16 visit_i16 i16, as_i64;
        deserialize_i32 visit_i32 i32, as_i64;
        deserialize_i64 visit_i64 i64, as_i64;
        deserialize_i128 visit_i128 i128, as_i128;
        deserialize_u8 visit_u8 u8, as_u64;
        deserialize_u16 visit_u16 u16, as_u64;
        deserialize_u32 visit_u32 u32, as_u64;
        deserialize_u64 visit_u64 u64, as_u64;
        deserialize_u128 visit_u128 u128, as_u128;
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number(visitor, f64::MAX)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number(visitor, f64::from(f32::MAX))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.remember_root(Shape::Single);
        let value = self.value.as_bool().or_else(|| self.coercible().and_then(boolean));
        let value = value.unwrap_or_else(|| {
            self.expected("boolean", "true or false");
            false
        });
        self.place(visitor.visit_bool(value))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.remember_root(Shape::Single);
        let mut chars = self.value.as_str().unwrap_or_default().chars();
        let char = match (chars.next(), chars.next()) {
            (Some(char), None) => char,
            _ => {
                self.expected("string", "a single character");
                ' '
            }
        };
        self.place(visitor.visit_char(char))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.remember_root(Shape::Single);
        let text = self.value.as_str().unwrap_or_else(|| {
            self.expected("string", "a string");
            ""
        });
        self.place(visitor.visit_borrowed_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Array(_) => self.deserialize_seq(visitor),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => self.place(visitor.visit_none()),
            _ => self.place_after(visitor.visit_some(self)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !self.value.is_null() {
            self.expected("null", "null");
        }
        self.place(visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.place_after(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.remember_root(Shape::List(None));
        self.visit_items(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.remember_root(Shape::List(Some(length)));
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place_within(visitor.visit_map(self.fields()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.remember(Shape::Struct(known));
        if self.round.mode.refuses_unknown
            && let Value::Object(object) = self.value
        {
            for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
                let path = Path::Field(self.path, name);
                let unknown =
                    Found::new(path.to_place(), issue_codes::UNKNOWN_FIELD, unknown_field(known));
                self.round.note(unknown);
            }
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.remember(Shape::Enum);
        let known = |name: &str| variants.contains(&name);
        let variant = match self.value {
            Value::String(name) if known(name) => name.as_str(),
            Value::Object(object) if object.len() == 1 && object.keys().all(|name| known(name)) => {
                let fields = MapAccessDeserializer::new(self.fields());
                return self.place_within(visitor.visit_enum(fields));
            }
            _ => {
                let found = self.found(issue_codes::INVALID_OPTION, one_of(variants));
                self.round.note(found.with_param("options", variants.to_vec()));
                let name = variants.first().copied().unwrap_or_default();
                let was_muted = self.round.is_muted.replace(true);
                let outcome = visitor.visit_enum(AnyVariant { name, content: self });
                self.round.is_muted.set(was_muted);
                return self.place(outcome);
            }
        };
        self.place(visitor.visit_enum(BorrowedStrDeserializer::new(variant)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_unit())
    }
}

/// A variant that stands in for one that is not known, made of whatever is there.
struct AnyVariant<'v, 'r> {
    name: &'static str,
    content: Examiner<'v, 'r>,
}

impl<'de, 'r> EnumAccess<'de> for AnyVariant<'de, 'r> {
    type Error = Fault;
    type Variant = Examiner<'de, 'r>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Fault> {
        let variant = seed.deserialize(BorrowedStrDeserializer::<Fault>::new(self.name))?;
        Ok((variant, self.content))
    }
}

impl<'de> VariantAccess<'de> for Examiner<'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }
}

struct Items<'v, 'r> {
    values: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
    path: &'r Path<'r>,
    round: &'r Round<'r>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((at, value)) = self.values.next() else { return Ok(None) };
        let path = Path::Index(self.path, at);
        let item = Examiner::new(value, &path, self.round);
        item.place_after(seed.deserialize(item)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.values.size_hint().1
    }
}

struct Fields<'v, 'r> {
    given: Option<serde_json::map::Iter<'v>>,
    next: Option<(&'v str, &'v Value)>,
    path: &'r Path<'r>,
    round: &'r Round<'r>,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((name, value)) = self.given.as_mut().and_then(Iterator::next) else {
            return Ok(None);
        };
        self.next = Some((name, value));
        let path = Path::Field(self.path, name);
        seed.deserialize(Key { name, path: &path, round: self.round }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        static NULL: Value = Value::Null;
        let (name, value) = self.next.take().unwrap_or(("", &NULL));
        let path = Path::Field(self.path, name);
        let field = Examiner::new(value, &path, self.round);
        field.place_after(seed.deserialize(field))
    }
}
