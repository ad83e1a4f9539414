use serde::{
    Deserializer,
    de::{Visitor, value::BorrowedStrDeserializer},
};

use super::{Round, fault::Fault, path::Path};
use crate::{issue_codes, place::Found};

/// The name of a field, or a key of a map, which JSON writes as a text whatever it is.
#[derive(Clone, Copy)]
pub(super) struct Key<'v, 'r> {
    pub(super) name: &'v str,
    pub(super) path: &'r Path<'r>,
    pub(super) round: &'r Round<'r>,
}

impl Key<'_, '_> {
    fn place<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|fault| match fault {
            // A type that denies unknown fields says so when it reads their names.
            Fault::Here(why) if why.is_unknown_field() => Fault::Refused(self.path.to_place(), why),
            Fault::Here(_) => Fault::RefusedKey(self.path.to_place()),
            fault => fault,
        })
    }

    fn expected(self, words: &str) {
        let message = format!("its name must be {words}");
        self.round.note(Found::new(self.path.to_place(), issue_codes::INVALID_KEY, message));
    }
}

macro_rules! keys {
    ($($method:ident $visit:ident $key:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let key = self.name.parse::<$key>().unwrap_or_else(|_| {
                self.expected($what);
                <$key>::default()
            });
            self.place(visitor.$visit(key))
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_borrowed_str(self.name))
    }

    keys! {
        deserialize_i8 visit_i8 i8, "an integer";
        deserialize_i16 visit_i16 i16, "an integer";
        deserialize_i32 visit_i32 i32, "an integer";
        deserialize_i64 visit_i64 i64, "an integer";
        deserialize_i128 visit_i128 i128, "an integer";
        deserialize_u8 visit_u8 u8, "an integer";
        deserialize_u16 visit_u16 u16, "an integer";
        deserialize_u32 visit_u32 u32, "an integer";
        deserialize_u64 visit_u64 u64, "an integer";
        deserialize_u128 visit_u128 u128, "an integer";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
        deserialize_bool visit_bool bool, "true or false";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.place(visitor.visit_some(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.place(visitor.visit_enum(BorrowedStrDeserializer::new(self.name)))
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
