use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor, value::StrDeserializer},
};

use super::{
    Path,
    fault::Fault,
    round::{Fact, Round},
};
use crate::{issue_codes, place::Found};

/// The name of a field, or a key of a map. In JSON both are texts, also if the key is a number.
#[derive(Clone, Copy)]
pub(super) struct Key<'n, 'r, 't> {
    pub(super) name: &'n str,
    pub(super) path: &'r Path<'r>,
    pub(super) round: &'r Round<'t>,
}

impl Key<'_, '_, '_> {
    /// Notes the reason for which a name was rejected, at the name.
    pub(super) fn settle<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|fault| {
            let shows = self.round.mode.shows_own_words;
            match fault {
                Fault::Noted => {}
                Fault::Here(why) if why.is_unknown_field() => {
                    self.round.note(self.path, |place| why.at(place, shows));
                }
                _ => self.round.note(self.path, |place| {
                    Found::new(place, issue_codes::INVALID_KEY, "is not a valid name here")
                }),
            }
            self.round.learn(Fact::EndedAt(self.path.to_place()));
            Fault::Noted
        })
    }

    /// Reads the name as serde_json does: as the JSON of a number or a boolean, without blanks around it.
    fn value<T: DeserializeOwned>(self) -> Option<T> {
        let is_bare = |name: &str| !name.ends_with(|last: char| last.is_ascii_whitespace());
        let name = Some(self.name).filter(|name| is_bare(name) && name.trim_start() == *name)?;
        serde_json::from_str(name).ok()
    }

    fn expected(self, words: &str) {
        self.round.note(self.path, |place| {
            Found::new(place, issue_codes::INVALID_KEY, format!("its name must be {words}"))
        });
    }
}

macro_rules! keys {
    ($($method:ident $visit:ident $key:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let key = self.value::<$key>().unwrap_or_else(|| {
                self.expected($what);
                <$key>::default()
            });
            visitor.$visit(key)
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_, '_, '_> {
    type Error = Fault;

    methods! {
        deserialize_any => |this, visitor| visitor.visit_str(this.name);
        deserialize_option => |this, visitor| visitor.visit_some(this);
    }

    methods_with! {
        deserialize_newtype_struct(_name: &'static str) => |this, visitor| visitor.visit_newtype_struct(this);
        deserialize_enum(_name: &'static str, _variants: &'static [&'static str]) => |this, visitor| {
            visitor.visit_enum(StrDeserializer::new(this.name))
        };
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

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
