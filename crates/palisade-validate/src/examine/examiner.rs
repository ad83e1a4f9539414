use palisade_core::Issue;
use serde::{
    Deserializer,
    de::{
        DeserializeSeed, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, MapAccessDeserializer},
    },
};
use serde_json::{Map, Value};

use super::{
    Missing, Round,
    fault::{Fault, one_of},
    path::Path,
};

/// A deserializer that notes what is wrong and goes on.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'v, 'r> {
    /// `None` is a stand-in: it is whatever is asked for, and nothing is noted about it.
    value: Option<&'v Value>,
    path: &'r Path<'r>,
    round: &'r Round<'r>,
}

impl<'v, 'r> Examiner<'v, 'r> {
    pub(super) fn new(value: Option<&'v Value>, path: &'r Path<'r>, round: &'r Round<'r>) -> Self {
        Self { value, path, round }
    }

    fn note(&self, code: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) {
        if self.value.is_some() {
            self.round.note(Issue::new(self.path.to_string(), code, message));
        }
    }

    fn expected(&self, what: &str) {
        if self.round.coerces_text && matches!(self.value, Some(Value::Array(_))) {
            self.note("wrong_type", "must be given once");
        } else {
            self.note("wrong_type", format!("must be {what}"));
        }
    }

    /// The text that stands for something else in a query.
    fn coercible(&self) -> Option<&'v str> {
        self.value.and_then(Value::as_str).filter(|_| self.round.coerces_text)
    }

    /// Adds the place to a fault that has none yet.
    fn place<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|fault| match fault {
            Fault::Here { code, message } => {
                self.note(code, message);
                Fault::Noted
            }
            Fault::MissingHere(field) => {
                Fault::Missing(Missing { parent: self.path.to_string(), field })
            }
            placed @ (Fault::Missing(_) | Fault::Noted) => placed,
        })
    }

    /// The fields of an object, and stand-ins for those that are known to be missing.
    fn fields(self) -> Fields<'v, 'r> {
        let object = self.value.and_then(Value::as_object);
        if object.is_none() {
            self.expected("an object");
        }
        let place = self.path.to_string();
        let missing = self.round.missing.iter().filter(|field| field.parent == place);
        Fields {
            given: object.map(Map::iter),
            missing: missing.map(|field| field.field).collect::<Vec<_>>().into_iter(),
            next: None,
            path: self.path,
            round: self.round,
        }
    }

    fn items(self) -> Items<'v, 'r> {
        let values = match self.value {
            Some(Value::Array(values)) => values.as_slice(),
            Some(one) if self.coercible().is_some() => std::slice::from_ref(one),
            Some(_) => {
                self.expected("a list");
                &[]
            }
            None => &[],
        };
        Items { values: values.iter().enumerate(), path: self.path, round: self.round }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty, $get:ident, $what:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = match self.value {
                Some(Value::Number(number)) => number.$get().and_then(|number| <$number>::try_from(number).ok()),
                _ => self.coercible().and_then(|text| text.parse::<$number>().ok()),
            };
            let number = number.unwrap_or_else(|| {
                self.expected(&$what);
                <$number>::default()
            });
            self.place(visitor.$visit(number))
        }
    )*};
}

macro_rules! integers {
    ($($method:ident $visit:ident $number:ty, $get:ident;)*) => {
        numbers! {$(
            $method $visit $number, $get,
            format!("an integer from {} to {}", <$number>::MIN, <$number>::MAX);
        )*}
    };
}

impl<'de> Deserializer<'de> for Examiner<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None | Some(Value::Null) => self.place(visitor.visit_unit()),
            Some(Value::Bool(value)) => self.place(visitor.visit_bool(*value)),
            Some(Value::String(text)) => self.place(visitor.visit_borrowed_str(text)),
            Some(Value::Array(_)) => self.place(visitor.visit_seq(self.items())),
            Some(Value::Object(_)) => self.place(visitor.visit_map(self.fields())),
            Some(Value::Number(number)) => {
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

    numbers! {
        deserialize_f64 visit_f64 f64, as_f64, "a number";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = match (self.value, self.coercible()) {
            (Some(Value::Bool(value)), _) => Some(*value),
            (_, Some("true" | "1")) => Some(true),
            (_, Some("false" | "0")) => Some(false),
            _ => None,
        };
        let value = value.unwrap_or_else(|| {
            self.expected("true or false");
            false
        });
        self.place(visitor.visit_bool(value))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mut chars = self.value.and_then(Value::as_str).unwrap_or_default().chars();
        let char = match (chars.next(), chars.next()) {
            (Some(char), None) => char,
            _ => {
                self.expected("a single character");
                ' '
            }
        };
        self.place(visitor.visit_char(char))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.value.and_then(Value::as_str).unwrap_or_else(|| {
            self.expected("a string");
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
            Some(Value::Array(_)) => self.deserialize_seq(visitor),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            None | Some(Value::Null) => self.place(visitor.visit_none()),
            Some(_) => self.place(visitor.visit_some(self)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !matches!(self.value, None | Some(Value::Null)) {
            self.expected("null");
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
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_seq(self.items()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_map(self.fields()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let known = |name: &str| variants.contains(&name);
        let variant = match self.value {
            Some(Value::String(name)) if known(name) => name.as_str(),
            Some(Value::Object(object))
                if object.len() == 1 && object.keys().all(|name| known(name)) =>
            {
                let fields = MapAccessDeserializer::new(self.fields());
                return self.place(visitor.visit_enum(fields));
            }
            Some(_) => {
                self.note("invalid_option", one_of(variants));
                variants.first().copied().unwrap_or_default()
            }
            None => variants.first().copied().unwrap_or_default(),
        };
        self.place(visitor.visit_enum(BorrowedStrDeserializer::new(variant)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_unit())
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
        seed.deserialize(Examiner::new(Some(value), &path, self.round)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.values.size_hint().1
    }
}

struct Fields<'v, 'r> {
    given: Option<serde_json::map::Iter<'v>>,
    missing: std::vec::IntoIter<&'static str>,
    next: Option<(&'v str, Option<&'v Value>)>,
    path: &'r Path<'r>,
    round: &'r Round<'r>,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let given = self
            .given
            .as_mut()
            .and_then(Iterator::next)
            .map(|(name, value)| (name.as_str(), Some(value)));
        self.next = given.or_else(|| self.missing.next().map(|name| (name, None)));
        let Some((name, _)) = self.next else { return Ok(None) };
        let path = Path::Field(self.path, name);
        let key = seed.deserialize(BorrowedStrDeserializer::new(name));
        Examiner::new(Some(&Value::Null), &path, self.round).place(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let (name, value) = self.next.take().unwrap_or_default();
        let path = Path::Field(self.path, name);
        seed.deserialize(Examiner::new(value, &path, self.round))
    }
}
